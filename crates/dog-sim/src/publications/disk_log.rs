//! What the disk has of one durable log, and has had: [`DiskLog`], the reference for what anybody is shown. Promise 18.

use std::collections::BTreeMap;

use dog::{LogEpoch, Position, Timestamp};
use dog_engine::log::Segment;

use super::model::{Kept, LogReset};
use crate::parsed::number;

/// The records of one durable log on disk, by their keys, and all publications that were ever in one.
#[derive(Clone, Debug, Default)]
pub(crate) struct DiskLog {
    segments: BTreeMap<Vec<u8>, Segment>,
    /// The publications of each epoch, by their offsets.
    epochs: Vec<(LogEpoch, BTreeMap<u64, u64>)>,
    /// Whether the disk says that it was purged, and it was not used since.
    is_purged: bool,
    /// How often it was to be reset and purged, and how often it has begun again.
    resets: u64,
    purges: u64,
    begun: u64,
}

impl DiskLog {
    fn epoch(&self, epoch: &LogEpoch) -> Option<&BTreeMap<u64, u64>> {
        self.epochs.iter().find(|(of, _)| of == epoch).map(|(_, publications)| publications)
    }

    fn newest(&self) -> Option<&Segment> {
        self.segments.values().max_by_key(|segment| segment.place)
    }

    /// It is to begin again. Returns the epochs that are known.
    pub(crate) fn begins_again(&mut self, reset: LogReset) -> Vec<LogEpoch> {
        match reset {
            LogReset::Reset => self.resets += 1,
            LogReset::Purge => self.purges += 1,
        }
        self.epochs.iter().map(|(epoch, _)| epoch.clone()).collect()
    }

    /// The disk says that the log was purged, or is used.
    ///
    /// # Errors
    /// Nobody has purged it.
    pub(crate) fn is_named(&mut self, is_purged: bool) -> Result<(), String> {
        if is_purged && self.purges == 0 {
            return Err("a log is purged, and nobody has asked for it".into());
        }
        self.is_purged = is_purged;
        Ok(())
    }

    /// The log was purged, and all of it is deleted: nothing of these epochs is on disk.
    pub(crate) fn check_purged(&self, gone: &[LogEpoch]) -> Result<(), String> {
        match self.segments.values().find(|segment| gone.contains(&segment.epoch)) {
            Some(left) => Err(format!("a log was purged, and the disk has {:?} of {:?}", left.place, left.epoch)),
            None => Ok(()),
        }
    }

    /// A record is the first of a log that has begun again, or that was removed before.
    fn begins(&mut self, epoch: &LogEpoch, has_begun_again: bool) -> Result<(), String> {
        self.begun += u64::from(has_begun_again);
        if self.begun > self.resets + self.purges {
            return Err(format!("a durable log has begun again with {epoch:?}, and nobody has asked for it"));
        }
        // One that has had no publication is the same for all if it begins again.
        if self.epoch(epoch).is_some_and(|publications| !publications.is_empty()) {
            return Err(format!("a durable log begins again with {epoch:?}, which it had before"));
        }
        Ok(())
    }

    /// Whether this publication was ever stored.
    pub(crate) fn has(&self, number: u64) -> bool {
        self.epochs.iter().any(|(_, publications)| publications.values().any(|stored| *stored == number))
    }

    /// Checks that a publication is stored at the position that is shown for it.
    pub(crate) fn check_shown(&self, position: &Position, number: u64) -> Result<(), String> {
        match self.epoch(position.epoch()).and_then(|publications| publications.get(&position.offset())) {
            Some(stored) if *stored == number => Ok(()),
            stored => Err(format!("publication {number} is shown at {position}, where the disk has {stored:?}")),
        }
    }

    /// A record is on disk now. Returns its publications with their positions.
    ///
    /// # Errors
    /// A position is given twice, or a publication is stored twice; offsets have a gap; or the epoch has changed, although the log
    /// was not reset.
    pub(crate) fn stores(&mut self, key: &[u8], segment: Segment) -> Result<Vec<(u64, Position, Timestamp)>, String> {
        let (place, epoch) = (segment.place, segment.epoch.clone());
        if let Some(newest) = self.newest()
            && (newest.place.resets == place.resets) != (newest.epoch == epoch)
        {
            return Err(format!(
                "the epoch of a durable log has changed to {epoch:?}: {place:?} after {:?}",
                newest.place
            ));
        }
        match self.newest().map(|newest| newest.place.resets) {
            Some(resets) if place.resets < resets => {
                return Err(format!("{place:?} of a log is stored that has begun again {resets} times"));
            }
            Some(resets) if place.resets > resets => self.begins(&epoch, true)?,
            Some(_) => {}
            None => self.begins(&epoch, false)?,
        }
        if self.epoch(&epoch).is_none() {
            self.epochs.push((epoch.clone(), BTreeMap::new()));
        }
        let Some((_, known)) = self.epochs.iter_mut().find(|(of, _)| *of == epoch) else { return Ok(Vec::new()) };
        let next = known.last_key_value().map_or(1, |(offset, _)| offset + 1);
        if place.first > next {
            return Err(format!("the stored log goes on with offset {} and not with {next}", place.first));
        }
        let mut stored = Vec::new();
        for one in &segment.publications {
            let (offset, at) = (one.publication.offset, one.publication.at);
            let Some(number) = number(&one.publication.message) else { continue };
            if let Some(before) = known.insert(offset, number).filter(|before| *before != number) {
                return Err(format!("offset {offset} of {epoch:?} is given to publication {before} and to {number}"));
            }
            if let Some((other, _)) = known.iter().find(|(other, stored)| **stored == number && **other != offset) {
                return Err(format!("publication {number} is stored at offset {other} and at {offset} of {epoch:?}"));
            }
            stored.push((number, Position::new(epoch.clone(), offset), at));
        }
        self.segments.insert(key.to_owned(), segment);
        Ok(stored)
    }

    /// A record is deleted. `removes`: its write removes the log.
    ///
    /// # Errors
    /// The log has to keep something of it.
    pub(crate) fn deletes(&mut self, key: &[u8], removes: bool, kept: Kept, now: Timestamp) -> Result<(), String> {
        let Some(deleted) = self.segments.remove(key) else { return Ok(()) };
        if removes && self.is_purged && self.segments.is_empty() {
            return Ok(());
        }
        let Some(newest) = self.newest().filter(|newest| newest.place >= deleted.place) else {
            return Err(format!("the newest record of a durable log is deleted: {:?}", deleted.place));
        };
        let is_kept = |offset: u64, at| !kept.is_dropped(newest.end() - 1, offset, at, now);
        let mut publications = deleted.publications.iter().map(|one| &one.publication);
        match publications.find(|one| newest.place.resets == deleted.place.resets && is_kept(one.offset, one.at)) {
            Some(one) => Err(format!("a durable log has dropped offset {}, which it must keep", one.offset)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dog::{Bytes, Message};
    use dog_engine::log::{Recorded, SegmentPlace, StoredPublication};

    use super::*;

    const KEPT: Kept = Kept { publications: 3, age: Duration::from_secs(10), is_durable: true };

    fn segment(epoch: &str, (resets, first): (u64, u64), numbers: &[u64]) -> Segment {
        let stored = |(offset, number): (u64, &u64)| StoredPublication {
            publication: Recorded {
                offset,
                at: Timestamp::from_millis(1000 * offset),
                message: Message::text(format!("p 0 {number} -")),
                metadata: Bytes::new(),
            },
            key: None,
        };
        let publications = (first..).zip(numbers).map(stored).collect();
        let place = SegmentPlace { resets, first };
        Segment { place, epoch: LogEpoch::new(epoch).unwrap(), bytes_before: 0, publications }
    }

    fn store(log: &mut DiskLog, segment: &Segment) -> Result<(), String> {
        log.stores(&segment.place.key("a"), segment.clone()).map(drop)
    }

    fn log() -> DiskLog {
        let mut log = DiskLog::default();
        store(&mut log, &segment("e", (0, 1), &[71, 72])).unwrap();
        store(&mut log, &segment("e", (0, 3), &[73, 74])).unwrap();
        log
    }

    #[test]
    fn a_position_is_given_once_and_a_publication_is_stored_once() {
        for (wrong, first, numbers) in
            [("e", 3, &[75][..]), ("e", 5, &[72]), ("e", 6, &[75]), ("f", 5, &[75]), ("f", 1, &[75])]
        {
            store(&mut log(), &segment(wrong, (0, first), numbers)).unwrap_err();
        }
        store(&mut log(), &segment("e", (0, 5), &[75])).unwrap();
        store(&mut log(), &segment("e", (1, 1), &[75])).unwrap_err();
        store(&mut log(), &segment("f", (1, 1), &[71])).unwrap_err();
        let mut reset = log();
        reset.begins_again(LogReset::Reset);
        store(&mut reset, &segment("f", (1, 1), &[71])).unwrap();
        store(&mut reset, &segment("e", (0, 5), &[75])).unwrap_err();
        store(&mut reset, &segment("g", (2, 1), &[76])).unwrap_err();
    }

    #[test]
    fn a_purged_log_is_removed_and_begins_with_another_epoch() {
        let (mut log, now) = (log(), Timestamp::from_millis(1000));
        log.is_named(true).unwrap_err();
        let known = log.begins_again(LogReset::Purge);
        store(&mut log, &segment("f", (1, 1), &[])).unwrap();
        log.check_purged(&known).unwrap_err();
        for first in [1, 3] {
            log.deletes(&SegmentPlace { resets: 0, first }.key("a"), false, KEPT, now).unwrap();
        }
        log.check_purged(&known).unwrap();
        let last = SegmentPlace { resets: 1, first: 1 }.key("a");
        log.clone().deletes(&last, true, KEPT, now).unwrap_err();
        log.is_named(true).unwrap();
        log.clone().deletes(&last, false, KEPT, now).unwrap_err();
        log.deletes(&last, true, KEPT, now).unwrap();
        store(&mut log.clone(), &segment("e", (0, 1), &[75])).unwrap_err();
        store(&mut log, &segment("g", (0, 1), &[75])).unwrap();
    }

    #[test]
    fn what_is_shown_is_stored() {
        let position = |epoch, offset| Position::new(LogEpoch::new(epoch).unwrap(), offset);
        log().check_shown(&position("e", 2), 72).unwrap();
        for (epoch, offset, number) in [("e", 2, 73), ("e", 5, 75), ("f", 2, 72)] {
            log().check_shown(&position(epoch, offset), number).unwrap_err();
        }
        assert!(log().has(74) && !log().has(75));
    }

    #[test]
    fn only_what_the_bounds_drop_is_deleted() {
        let delete = |first, second: u64| {
            let place = SegmentPlace { resets: 0, first };
            log().deletes(&place.key("a"), false, KEPT, Timestamp::from_millis(1000 * second))
        };
        delete(1, 11).unwrap_err();
        delete(1, 12).unwrap();
        delete(3, 99).unwrap_err();
        let mut log = log();
        store(&mut log, &segment("e", (0, 5), &[75])).unwrap();
        log.deletes(&SegmentPlace { resets: 0, first: 1 }.key("a"), false, KEPT, Timestamp::from_millis(5000)).unwrap();
    }
}
