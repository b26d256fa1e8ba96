//! A run of publications without a gap: [`Window`].

use std::collections::VecDeque;
use std::ops::Range;

use dog::Timestamp;
use dog::internal::{LogBounds, LogEpoch, Position, Unrecovered};

use super::{AnswerBounds, LogHead, Page, PageOrder, Recorded, Tail};

/// The newest publications of a log. A Group has all that the bounds keep, a Replica may have fewer, or some that the bounds
/// keep no more: the answers are the same, because every bound keeps the newest.
#[derive(Clone, Debug)]
pub struct Window {
    epoch: LogEpoch,
    bounds: LogBounds,
    /// The offset of the next publication. Those that are here end with the one before.
    next: u64,
    publications: VecDeque<Recorded>,
    bytes: usize,
    /// How many of them are within the bounds by count and bytes, and their bytes.
    kept: usize,
    kept_bytes: usize,
    /// When the newest of those was made that were removed.
    removed_at: Option<Timestamp>,
}

impl Window {
    /// A window without publications, after this position.
    pub fn new(head: &LogHead) -> Self {
        let (epoch, next) = (head.position.epoch().clone(), head.position.offset().saturating_add(1));
        let (bounds, publications) = (head.bounds, VecDeque::new());
        Self { epoch, bounds, next, publications, bytes: 0, kept: 0, kept_bytes: 0, removed_at: None }
    }

    /// The epoch of the log.
    pub fn epoch(&self) -> &LogEpoch {
        &self.epoch
    }

    /// What the log keeps.
    pub fn bounds(&self) -> LogBounds {
        self.bounds
    }

    /// The offset of the next publication.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The offset of the oldest publication that is here, kept by the bounds or not.
    pub fn first(&self) -> u64 {
        self.next - self.publications.len() as u64
    }

    /// How many publications are here.
    pub fn len(&self) -> usize {
        self.publications.len()
    }

    /// Whether none is here.
    pub fn is_empty(&self) -> bool {
        self.publications.is_empty()
    }

    /// The bytes of the messages and metadata that are here.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The newest publication.
    pub fn head(&self) -> LogHead {
        LogHead { position: self.position(), bounds: self.bounds }
    }

    /// The position of the newest publication.
    pub fn position(&self) -> Position {
        Position::new(self.epoch.clone(), self.next - 1)
    }

    /// The oldest offset that the log keeps at `now`, as far as the window shows: it is exact if it is not [`first`], and
    /// otherwise the log may keep older ones.
    ///
    /// [`first`]: Self::first
    pub fn kept_from(&self, now: Timestamp) -> u64 {
        let by_size = self.publications.len() - self.kept;
        // They are in the order of their times.
        let by_age = self.publications.partition_point(|publication| now.since(publication.at) >= self.bounds.age);
        self.first() + by_size.max(by_age) as u64
    }

    /// The publication with this offset, if it is here.
    pub fn get(&self, offset: u64) -> Option<&Recorded> {
        let at = offset.checked_sub(self.first())?;
        self.publications.get(usize::try_from(at).ok()?)
    }

    /// When the newest publication was made.
    pub fn newest_at(&self) -> Option<Timestamp> {
        self.publications.back().map(|newest| newest.at)
    }

    /// The offset of the last publication that was made before this time.
    ///
    /// # Errors
    /// Not all that were made since are here: the log keeps them no more, or they are too many for one recovery.
    pub fn before(&self, at: Timestamp) -> Result<u64, Unrecovered> {
        match self.publications.partition_point(|publication| publication.at < at) {
            0 if self.removed_at.is_some_and(|removed| removed >= at) => Err(Unrecovered::Expired),
            earlier => Ok(self.first() + earlier as u64 - 1),
        }
    }

    /// Appends the next publication. Returns `false`, and changes nothing, if it is not the next.
    #[must_use]
    pub fn push(&mut self, publication: Recorded) -> bool {
        if publication.offset != self.next {
            return false;
        }
        let size = publication.size();
        self.next += 1;
        self.bytes += size;
        self.kept += 1;
        self.kept_bytes += size;
        self.publications.push_back(publication);
        self.narrow();
        true
    }

    /// Leaves those out of what is kept that the bounds by count and bytes do not keep.
    fn narrow(&mut self) {
        while self.kept > self.bounds.publications as usize || self.kept_bytes > self.bounds.bytes as usize {
            let oldest = self.publications.len() - self.kept;
            self.kept_bytes -= self.publications.get(oldest).map_or(0, Recorded::size);
            self.kept -= 1;
        }
    }

    /// Puts the publication before the oldest one. Returns `false`, and changes nothing, if it is another one.
    #[must_use]
    pub fn push_older(&mut self, publication: Recorded) -> bool {
        if publication.offset == 0 || publication.offset + 1 != self.first() {
            return false;
        }
        let size = publication.size();
        let all_kept = self.kept == self.publications.len();
        self.bytes += size;
        self.publications.push_front(publication);
        if all_kept {
            self.kept += 1;
            self.kept_bytes += size;
            self.narrow();
        }
        true
    }

    /// Removes the oldest publication.
    pub fn pop_oldest(&mut self) -> Option<Recorded> {
        let oldest = self.publications.pop_front()?;
        self.bytes -= oldest.size();
        self.removed_at = Some(oldest.at);
        if self.kept > self.publications.len() {
            self.kept -= 1;
            self.kept_bytes -= oldest.size();
        }
        Some(oldest)
    }

    /// Removes what the bounds do not keep.
    pub fn expire(&mut self, now: Timestamp) {
        let from = self.kept_from(now);
        while self.first() < from {
            self.pop_oldest();
        }
    }

    /// Checks that a log that keeps offset `from` and later can say what came after a position.
    fn check(&self, since: &Position, from: u64) -> Result<(), Unrecovered> {
        if *since.epoch() != self.epoch {
            Err(Unrecovered::EpochUnknown)
        } else if since.offset() >= self.next {
            Err(Unrecovered::Future)
        } else if since.offset() + 1 < from {
            Err(Unrecovered::Expired)
        } else {
            Ok(())
        }
    }

    /// How many publications came after a position, if one recovery may replay them.
    ///
    /// # Errors
    /// The reason why they cannot be replayed.
    pub fn recover(&self, since: &Position, most: AnswerBounds, now: Timestamp) -> Result<u64, Unrecovered> {
        self.check(since, self.kept_from(now))?;
        let count = self.next - 1 - since.offset();
        if count > u64::from(most.publications) {
            return Err(Unrecovered::GapTooLarge);
        }
        let missed = usize::try_from(count).unwrap_or(usize::MAX);
        let bytes = self.publications.iter().rev().take(missed).map(Recorded::size).sum();
        if most.hold(missed, bytes) { Ok(count) } else { Err(Unrecovered::GapTooLarge) }
    }

    /// A part of what the log keeps. Without a position it begins with the oldest or the newest.
    ///
    /// # Errors
    /// The publications cannot be given without a gap. Those before a position have no gap that matters.
    pub fn page(
        &self,
        since: Option<&Position>,
        order: PageOrder,
        most: AnswerBounds,
        now: Timestamp,
    ) -> Result<Page, Unrecovered> {
        let offsets = self.offsets(since, order, self.kept_from(now))?;
        let here = offsets.start.max(self.first())..offsets.end;
        Ok(collect(here, order, most, |offset| self.get(offset)).unwrap_or_else(no_gap))
    }

    /// The offsets of a page without bounds, of a log that keeps offset `from` and later.
    ///
    /// # Errors
    /// As [`page`](Self::page).
    pub(super) fn offsets(
        &self,
        since: Option<&Position>,
        order: PageOrder,
        from: u64,
    ) -> Result<Range<u64>, Unrecovered> {
        match (order, since.map(|since| self.check(since, from))) {
            (PageOrder::OldestFirst, None | Some(Ok(()))) => {
                Ok(since.map_or(from, |since| since.offset() + 1)..self.next)
            }
            (PageOrder::NewestFirst, None | Some(Ok(()) | Err(Unrecovered::Expired))) => {
                Ok(from..since.map_or(self.next, Position::offset).max(from))
            }
            (_, Some(Err(reason))) => Err(reason),
        }
    }

    /// The newest publications that the log keeps, as many as one recovery may replay.
    pub fn tail(&self, most: AnswerBounds, now: Timestamp) -> Tail {
        let first = self.kept_from(now);
        let here = first.max(self.first())..self.next;
        let publications = newest(here, most, |offset| self.get(offset)).unwrap_or_else(no_gap);
        Tail { head: self.head(), first, publications }
    }
}

fn no_gap<T>(offset: u64) -> T {
    unreachable!("a window has no gap, and misses {offset}")
}

/// A page of the publications with these offsets.
///
/// # Errors
/// This one is missing.
pub(super) fn collect<'a>(
    offsets: Range<u64>,
    order: PageOrder,
    most: AnswerBounds,
    get: impl Fn(u64) -> Option<&'a Recorded>,
) -> Result<Page, u64> {
    let (mut publications, mut bytes) = (Vec::new(), 0);
    let (start, end) = (offsets.start, offsets.end);
    for offset in offsets {
        let offset = if order == PageOrder::OldestFirst { offset } else { start + (end - 1 - offset) };
        let publication = get(offset).ok_or(offset)?;
        bytes += publication.size();
        let is_first = publications.is_empty() && most.publications > 0;
        if !is_first && !most.hold(publications.len() + 1, bytes) {
            return Ok(Page { publications, more: true });
        }
        publications.push(publication.clone());
    }
    Ok(Page { publications, more: false })
}

/// The newest publications with these offsets, the oldest first.
///
/// # Errors
/// This one is missing.
pub(super) fn newest<'a>(
    offsets: Range<u64>,
    most: AnswerBounds,
    get: impl Fn(u64) -> Option<&'a Recorded>,
) -> Result<Vec<Recorded>, u64> {
    let (mut publications, mut bytes) = (Vec::new(), 0);
    for offset in offsets.rev() {
        let publication = get(offset).ok_or(offset)?;
        bytes += publication.size();
        if !most.hold(publications.len() + 1, bytes) {
            break;
        }
        publications.push(publication.clone());
    }
    publications.reverse();
    Ok(publications)
}
