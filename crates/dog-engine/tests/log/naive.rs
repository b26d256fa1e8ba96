//! A reference log. It keeps every publication and computes each answer from the whole list.

use dog::Timestamp;
use dog::internal::{LogBounds, Position, Unrecovered};
use dog_engine::log::{AnswerBounds, LogHead, Page, PageOrder, Recorded, Tail};

use crate::epoch;

pub(crate) struct Naive {
    pub(crate) bounds: LogBounds,
    pub(crate) epoch: u64,
    /// What everybody has seen.
    seen: Vec<Recorded>,
    /// How many of them were deleted for good, although the clock may go back.
    pub(crate) gone: usize,
}

impl Naive {
    pub(crate) fn new(bounds: LogBounds) -> Self {
        Self { bounds, epoch: 0, seen: Vec::new(), gone: 0 }
    }

    pub(crate) fn reset(&mut self, epoch: u64) {
        *self = Self { epoch, ..Self::new(self.bounds) };
    }

    pub(crate) fn see(&mut self, publication: Recorded) {
        self.seen.push(publication);
    }

    pub(crate) fn head(&self) -> u64 {
        self.seen.len() as u64
    }

    pub(crate) fn get(&self, offset: u64) -> Option<&Recorded> {
        self.seen.get(usize::try_from(offset.checked_sub(1)?).ok()?)
    }

    /// A position that is so far before the second one after the newest.
    pub(crate) fn position(&self, back: u64, of_other_epoch: bool) -> Position {
        let epoch = epoch(if of_other_epoch { 1_000_000 } else { self.epoch });
        Position::new(epoch, (self.head() + 2).saturating_sub(back))
    }

    /// The newest that the bounds keep.
    pub(crate) fn kept(&self, now: Timestamp) -> &[Recorded] {
        let is_within = |from: &usize| {
            let kept = &self.seen[*from..];
            let is_young = kept.iter().all(|publication| now.since(publication.at) < self.bounds.age);
            kept.len() <= self.bounds.publications as usize && size(kept) <= self.bounds.bytes as usize && is_young
        };
        let from = (self.gone..=self.seen.len()).find(is_within).unwrap_or(self.seen.len());
        &self.seen[from..]
    }

    pub(crate) fn keeps(&self, offset: u64, now: Timestamp) -> bool {
        self.kept(now).first().is_some_and(|oldest| offset >= oldest.offset)
    }

    fn reason(&self, since: &Position, now: Timestamp) -> Option<Unrecovered> {
        let head = self.head();
        if *since.epoch() != epoch(self.epoch) {
            Some(Unrecovered::EpochUnknown)
        } else if since.offset() > head {
            Some(Unrecovered::Future)
        } else {
            let lost = head - since.offset() > self.kept(now).len() as u64;
            lost.then_some(Unrecovered::Expired)
        }
    }

    pub(crate) fn recover(&self, since: &Position, most: AnswerBounds, now: Timestamp) -> Result<u64, Unrecovered> {
        let after: Vec<_> = self.seen.iter().filter(|seen| seen.offset > since.offset()).cloned().collect();
        match self.reason(since, now) {
            Some(reason) => Err(reason),
            None if fits(&after, most) => Ok(after.len() as u64),
            None => Err(Unrecovered::GapTooLarge),
        }
    }

    pub(crate) fn page(
        &self,
        since: Option<&Position>,
        order: PageOrder,
        most: AnswerBounds,
        now: Timestamp,
    ) -> Result<Page, Unrecovered> {
        let reason = since.and_then(|since| self.reason(since, now));
        if let Some(reason) = reason
            && !(order == PageOrder::NewestFirst && reason == Unrecovered::Expired)
        {
            return Err(reason);
        }
        let mut all: Vec<Recorded> = self.kept(now).to_vec();
        match order {
            PageOrder::OldestFirst => all.retain(|kept| since.is_none_or(|since| kept.offset > since.offset())),
            PageOrder::NewestFirst => {
                all.retain(|kept| since.is_none_or(|since| kept.offset < since.offset()));
                all.reverse();
            }
        }
        let count = (0..=all.len()).rev().find(|count| fits(&all[..*count], most)).unwrap_or(0);
        let count = if count == 0 && most.publications > 0 { all.len().min(1) } else { count };
        Ok(Page { publications: all[..count].to_vec(), more: count < all.len() })
    }

    pub(crate) fn tail(&self, most: AnswerBounds, now: Timestamp) -> Tail {
        let kept = self.kept(now);
        let from = (0..=kept.len()).find(|from| fits(&kept[*from..], most)).unwrap_or(kept.len());
        let position = Position::new(epoch(self.epoch), self.head());
        Tail {
            head: LogHead { position, bounds: self.bounds },
            first: self.head() + 1 - kept.len() as u64,
            publications: kept[from..].to_vec(),
        }
    }
}

fn size(publications: &[Recorded]) -> usize {
    publications.iter().map(Recorded::size).sum()
}

fn fits(publications: &[Recorded], most: AnswerBounds) -> bool {
    publications.len() <= most.publications as usize && size(publications) <= most.bytes as usize
}
