//! What the log of one topic must have, as far as anybody was shown it: [`LogModel`]. Promise 18.

use std::collections::BTreeMap;
use std::time::Duration;

use dog::{HistoryOrder, LogEpoch, Position, Timestamp};

/// Why a log begins again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogReset {
    Reset,
    Purge,
}

/// What a log keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) publications: u64,
    pub(crate) age: Duration,
    /// Whether it survives its Group.
    pub(crate) is_durable: bool,
}

impl Kept {
    /// Whether a log that ends with `head` has dropped a publication at this time.
    pub(crate) fn is_dropped(self, head: u64, offset: u64, at: Timestamp, now: Timestamp) -> bool {
        offset + self.publications <= head || now >= at + self.age
    }
}

/// A publication that has a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Numbered {
    /// The number of the publication in the run.
    number: u64,
    /// When it was made, if that was shown.
    at: Option<Timestamp>,
    /// When it was first sent to subscribers, in the order of what happens in the run.
    sent: Option<u64>,
}

/// The publications of one epoch.
#[derive(Clone, Debug)]
struct EpochModel {
    epoch: LogEpoch,
    publications: BTreeMap<u64, Numbered>,
}

impl EpochModel {
    fn head(&self) -> u64 {
        self.publications.last_key_value().map_or(0, |(offset, _)| *offset)
    }
}

/// Where a publication stands: the number of the epoch, in the order in which they were shown first, and the offset.
pub(crate) type Place = (usize, u64);

/// A page of the history as it was answered, and when it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Page<'a> {
    pub(crate) head: &'a Position,
    /// The offset, the number and the time of each publication.
    pub(crate) publications: &'a [(u64, u64, Timestamp)],
    pub(crate) more: bool,
    pub(crate) since: Option<&'a Position>,
    pub(crate) order: HistoryOrder,
    pub(crate) limit: usize,
    pub(crate) asked: (Timestamp, Timestamp),
}

/// The log of one topic of one Group, epoch by epoch. An offset that nobody was shown is not in it.
#[derive(Clone, Debug)]
pub(crate) struct LogModel {
    kept: Kept,
    epochs: Vec<EpochModel>,
    /// How often it was to begin again, by a reset or a purge.
    resets: usize,
    /// How many of the epochs were there when it was to begin again last.
    doubted: usize,
    /// The epochs that are gone because it has begun again, each since a moment of the run.
    gone: BTreeMap<String, u64>,
}

impl LogModel {
    pub(crate) fn new(kept: Kept) -> Self {
        Self { kept, epochs: Vec::new(), resets: 0, doubted: 0, gone: BTreeMap::new() }
    }

    /// It is to begin again. Returns the epochs that are known.
    pub(crate) fn begins_again(&mut self) -> Vec<LogEpoch> {
        self.resets += 1;
        self.doubted = self.epochs.len();
        self.epochs.iter().map(|model| model.epoch.clone()).collect()
    }

    /// Whether it may have begun again, by a reset or a purge.
    pub(crate) fn may_have_begun_again(&self) -> bool {
        self.resets > 0
    }

    /// Whether the epoch of this place may be gone, because the log was to begin again since.
    pub(crate) fn may_be_gone(&self, (epoch, _): Place) -> bool {
        epoch < self.doubted
    }

    /// It has begun again at this moment, and these epochs are gone.
    pub(crate) fn has_begun_again(&mut self, gone: &[LogEpoch], moment: u64) {
        for epoch in gone {
            self.gone.entry(epoch.as_str().to_owned()).or_insert(moment);
        }
    }

    /// Since which moment this epoch is gone.
    pub(crate) fn gone(&self, epoch: &LogEpoch) -> Option<u64> {
        self.gone.get(epoch.as_str()).copied()
    }

    /// Where the log of each epoch ends.
    pub(crate) fn heads(&self) -> Vec<u64> {
        self.epochs.iter().map(EpochModel::head).collect()
    }

    /// A publication is sent to those who may be subscribed.
    pub(crate) fn is_sent(&mut self, (epoch, offset): Place, moment: u64) {
        let of_epoch = self.epochs.get_mut(epoch).and_then(|model| model.publications.get_mut(&offset));
        of_epoch.into_iter().for_each(|numbered| numbered.sent = numbered.sent.or(Some(moment)));
    }

    /// The first offset of an epoch that was sent after this moment: all that are subscribed since then must have it.
    pub(crate) fn first_due(&self, epoch: usize, since: u64) -> Option<u64> {
        let mut publications = self.epochs.get(epoch)?.publications.iter();
        publications.find(|(_, numbered)| numbered.sent.is_some_and(|sent| sent > since)).map(|(offset, _)| *offset)
    }

    /// How many epochs there were.
    pub(crate) fn epochs(&self) -> usize {
        self.epochs.len()
    }

    /// The place of a position, if the log has this epoch.
    pub(crate) fn place(&self, position: &Position) -> Option<Place> {
        let index = self.epochs.iter().position(|model| model.epoch == *position.epoch())?;
        Some((index, position.offset()))
    }

    /// The position of a place.
    pub(crate) fn position(&self, (epoch, offset): Place) -> Option<Position> {
        Some(Position::new(self.epochs.get(epoch)?.epoch.clone(), offset))
    }

    /// Whether the epoch of this position has all publications that follow it, up to this offset.
    pub(crate) fn has(&self, since: &Position, until: u64) -> bool {
        let of_epoch = self.epochs.iter().find(|model| model.epoch == *since.epoch());
        let has =
            |model: &EpochModel| (since.offset() + 1..=until).all(|offset| model.publications.contains_key(&offset));
        of_epoch.is_some_and(has)
    }

    /// The positions of the newest epoch that were shown.
    pub(crate) fn newest_positions(&self) -> Vec<Position> {
        let newest = self.epochs.last();
        let offsets =
            newest.into_iter().flat_map(|model| model.publications.keys().map(move |offset| (model, *offset)));
        offsets.map(|(model, offset)| Position::new(model.epoch.clone(), offset)).collect()
    }

    /// Whether something is kept at this time, as far as is known.
    pub(crate) fn keeps_something(&self, now: Timestamp) -> bool {
        let newest = self.epochs.iter().filter_map(|model| model.publications.last_key_value());
        newest.into_iter().any(|(_, newest)| newest.at.is_none_or(|at| now < at + self.kept.age))
    }

    /// Somebody is shown that this publication has this position.
    ///
    /// # Errors
    /// Another publication has it, or the epoch has changed although nothing was lost.
    pub(crate) fn shown(&mut self, position: &Position, number: u64, at: Option<Timestamp>) -> Result<Place, String> {
        let (index, offset) = self.place(position).unwrap_or_else(|| {
            self.epochs.push(EpochModel { epoch: position.epoch().clone(), publications: BTreeMap::new() });
            (self.epochs.len() - 1, position.offset())
        });
        if self.kept.is_durable && self.epochs.len() > 1 + self.resets {
            return Err(format!("the epoch of a durable log has changed to {position}"));
        }
        let numbered = self.epochs[index].publications.entry(offset).or_insert(Numbered { number, at, sent: None });
        numbered.at = numbered.at.or(at);
        if offset == 0 || numbered.number != number {
            return Err(format!("{position} is given to publication {number} and to {}", numbered.number));
        }
        if at.is_some() && numbered.at != at {
            return Err(format!("publication {number} at {position} has two times: {at:?} and {:?}", numbered.at));
        }
        Ok((index, offset))
    }

    /// Checks a page of the history. Its publications were shown before.
    pub(crate) fn check_page(&self, page: &Page<'_>) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("{what}: {page:?}, the ends of its epochs are {:?}", self.heads()));
        let head = page.head.offset();
        let since = page.since.map(Position::offset);
        let offsets: Vec<u64> = page.publications.iter().map(|(offset, ..)| *offset).collect();
        let is_oldest_first = page.order == HistoryOrder::OldestFirst;
        let step = |pair: &[u64]| if is_oldest_first { pair[0] + 1 == pair[1] } else { pair[0] == pair[1] + 1 };
        if !offsets.windows(2).all(step) || offsets.iter().any(|offset| *offset > head) {
            return wrong("a page has a gap");
        }
        if offsets.len() > page.limit {
            return wrong("a page has too much");
        }
        if page.publications.iter().any(|(offset, _, at)| self.kept.is_dropped(head, *offset, *at, page.asked.0)) {
            return wrong("a page has what the log does not keep any more");
        }
        let first_of_all = match (since, is_oldest_first) {
            (Some(since), true) => since + 1,
            (Some(since), false) => since.saturating_sub(1).min(head),
            (None, true) => head.saturating_sub(self.kept.publications) + 1,
            (None, false) => head,
        };
        let first = offsets.first().copied();
        let is_complete = match (first, is_oldest_first) {
            (Some(first), true) if since.is_some() => first == first_of_all,
            (Some(first), true) => (first_of_all..first).all(|offset| self.may_be_dropped(page, offset)),
            (Some(first), false) => first == first_of_all,
            (None, true) => (first_of_all..=head).all(|offset| self.may_be_dropped(page, offset)),
            (None, false) => first_of_all == 0 || self.may_be_dropped(page, first_of_all),
        };
        if !is_complete {
            return wrong("a page does not begin where it has to");
        }
        let Some(last) = offsets.last().copied() else { return Ok(()) };
        let ends = if is_oldest_first { last == head } else { last == 1 || self.may_be_dropped(page, last - 1) };
        if !page.more && !ends || page.more && is_oldest_first && last == head {
            return wrong("a page ends too early, or is said to go on");
        }
        Ok(())
    }

    /// Whether this publication may have been dropped when the page was made.
    fn may_be_dropped(&self, page: &Page<'_>, offset: u64) -> bool {
        let of_epoch = self.epochs.iter().find(|model| model.epoch == *page.head.epoch());
        let at = of_epoch.and_then(|model| model.publications.get(&offset)).and_then(|numbered| numbered.at);
        at.is_none_or(|at| self.kept.is_dropped(page.head.offset(), offset, at, page.asked.1))
    }

    /// Checks that publications after this position may have been dropped at `now`, by its count or by their age.
    pub(crate) fn check_expired(&self, since: &Position, now: Timestamp) -> Result<(), String> {
        let Some((index, offset)) = self.place(since) else { return Ok(()) };
        let model = &self.epochs[index];
        let next = model.publications.get(&(offset + 1)).and_then(|numbered| numbered.at);
        match next {
            Some(at) if !self.kept.is_dropped(model.head(), offset + 1, at, now) => {
                Err(format!("the log is said to have dropped what follows {since}, which it must keep"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn position(epoch: &str, offset: u64) -> Position {
        Position::new(LogEpoch::new(epoch).unwrap(), offset)
    }

    fn model(is_durable: bool, publications: u64) -> LogModel {
        let mut model = LogModel::new(Kept { publications: 3, age: Duration::from_secs(10), is_durable });
        for offset in 1..=publications {
            model.shown(&position("e", offset), 100 + offset, Some(at(offset))).unwrap();
        }
        model
    }

    #[test]
    fn a_position_has_one_publication_and_one_time() {
        let mut log = model(false, 2);
        assert_eq!(log.shown(&position("e", 2), 102, None), Ok((0, 2)));
        log.shown(&position("e", 2), 103, None).unwrap_err();
        log.shown(&position("e", 1), 101, Some(at(9))).unwrap_err();
        log.shown(&position("e", 0), 1, None).unwrap_err();
        assert_eq!(log.shown(&position("f", 1), 104, None), Ok((1, 1)));
        assert_eq!(log.heads(), [2, 1]);
        model(true, 2).shown(&position("f", 1), 104, None).unwrap_err();
    }

    #[test]
    fn the_epoch_of_a_durable_log_changes_once_for_each_time_that_it_begins_again() {
        let mut log = model(true, 2);
        assert!(!log.may_have_begun_again() && !log.may_be_gone((0, 2)));
        let known = log.begins_again();
        assert!(log.may_have_begun_again() && log.may_be_gone((0, 2)) && !log.may_be_gone((1, 1)));
        log.shown(&position("f", 1), 104, None).unwrap();
        log.shown(&position("g", 1), 105, None).unwrap_err();
        assert_eq!(log.gone(position("e", 2).epoch()), None);
        log.has_begun_again(&known, 7);
        log.has_begun_again(&known, 9);
        assert_eq!(["e", "f"].map(|epoch| log.gone(position(epoch, 1).epoch())), [Some(7), None]);
    }

    #[test]
    fn what_is_sent_after_a_moment_is_due() {
        let mut log = model(false, 3);
        log.is_sent((0, 2), 7);
        log.is_sent((0, 2), 9);
        assert_eq!([6, 7, 8].map(|since| log.first_due(0, since)), [Some(2), None, None]);
        assert_eq!(log.first_due(1, 0), None);
    }

    #[test]
    fn a_page_has_what_is_kept_and_no_gap() {
        let log = model(false, 5);
        let check = |offsets: &[u64], since: Option<u64>, order, more, asked| {
            let publications: Vec<_> = offsets.iter().map(|offset| (*offset, 100 + offset, at(*offset))).collect();
            let (head, since) = (position("e", 5), since.map(|offset| position("e", offset)));
            let asked = (at(asked), at(asked));
            let page =
                Page { head: &head, publications: &publications, more, since: since.as_ref(), order, limit: 3, asked };
            log.check_page(&page)
        };
        let (oldest, newest) = (HistoryOrder::OldestFirst, HistoryOrder::NewestFirst);
        for (offsets, since, order, more, asked) in [
            (&[3, 4, 5][..], None, oldest, false, 6),
            (&[3, 4], None, oldest, true, 6),
            (&[4, 5], None, oldest, false, 13),
            (&[], None, oldest, false, 15),
            (&[4], Some(3), oldest, true, 6),
            (&[5, 4, 3], None, newest, false, 6),
            (&[3], Some(4), newest, false, 6),
            (&[], Some(3), newest, false, 6),
        ] {
            check(offsets, since, order, more, asked).unwrap();
        }
        for (offsets, since, order, more, asked) in [
            (&[3, 5][..], None, oldest, false, 6),
            (&[2, 3, 4], None, oldest, true, 6),
            (&[4, 5], None, oldest, false, 6),
            (&[3, 4], None, oldest, false, 6),
            (&[], None, oldest, false, 6),
            (&[3, 4, 5], None, oldest, true, 6),
            (&[5], Some(3), oldest, false, 6),
            (&[4, 3], None, newest, false, 6),
            (&[5, 4], None, newest, false, 6),
            (&[3, 4, 5], None, oldest, false, 13),
        ] {
            check(offsets, since, order, more, asked).unwrap_err();
        }
    }

    #[test]
    fn what_is_kept_has_not_expired() {
        let log = model(false, 5);
        log.check_expired(&position("e", 1), at(6)).unwrap();
        log.check_expired(&position("e", 2), at(6)).unwrap_err();
        log.check_expired(&position("e", 2), at(13)).unwrap();
        assert!(log.keeps_something(at(14)) && !log.keeps_something(at(15)));
    }
}
