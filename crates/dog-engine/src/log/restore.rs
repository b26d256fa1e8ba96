//! A durable log that is read from the storage: [`Restore`].

use std::collections::VecDeque;

use bytes::Bytes;
use dog::internal::{Kind, LogBounds, LogEpoch, Position};
use dog::{Error, Timestamp};

use super::segment::{LogRead, Segment, SegmentPlace};
use super::stored_log::{Stored, StoredLog};
use super::trim::Trim;
use super::{AnswerBounds, KEY_AGE, LogHead, MAX_KEYS, StoredPublication, TopicLog};

/// How many segments are read at once.
const READ: usize = 8;

/// What is being read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reading {
    /// Older segments than those that were read.
    #[default]
    Older,
    /// The oldest segment.
    Oldest,
}

/// Reads a durable log, the newest segments first: as many publications as are kept in memory, and the idempotency keys.
#[derive(Clone, Debug)]
pub struct Restore {
    topic: String,
    bounds: LogBounds,
    /// How many publications are kept in memory.
    memory: AnswerBounds,
    /// The name of the log if nothing is stored.
    new_epoch: LogEpoch,
    /// What everybody has seen, if the log was in use.
    seen: Option<Position>,
    reading: Reading,
    /// What was read and is kept, the oldest first.
    segments: VecDeque<Segment>,
    /// The idempotency keys of earlier publications, the oldest first.
    keys: VecDeque<(Bytes, u64, Timestamp)>,
    /// The oldest segment that was read, and when its first publication was made.
    read_from: Option<(SegmentPlace, Timestamp)>,
    /// Whether all of the epoch was read.
    is_complete: bool,
    /// Whether all that is stored is in `segments`.
    has_all: bool,
    /// The first offset that is stored.
    oldest: Option<u64>,
}

impl Restore {
    /// The log of a topic, of which this much is kept in memory. If nothing is stored it begins with `epoch`, which no log had
    /// before.
    pub fn new(topic: &str, bounds: LogBounds, memory: AnswerBounds, epoch: LogEpoch) -> Self {
        Self {
            topic: topic.to_owned(),
            bounds,
            memory,
            new_epoch: epoch,
            seen: None,
            reading: Reading::Older,
            segments: VecDeque::new(),
            keys: VecDeque::new(),
            read_from: None,
            is_complete: false,
            has_all: true,
            oldest: None,
        }
    }

    /// A log in doubt. [`StoredLog::next_visible`] has then what was committed nevertheless.
    pub fn again(log: &StoredLog, epoch: LogEpoch) -> Self {
        let seen = log.window().position();
        // Nobody has seen anything of this epoch that could be lost.
        let epoch = if seen.offset() == 0 { seen.epoch().clone() } else { epoch };
        Self { seen: Some(seen), ..Self::new(log.topic(), log.window().bounds(), log.in_memory(), epoch) }
    }

    /// What has to be read next. `None`: [`finish`](Self::finish).
    pub fn next_read(&mut self, now: Timestamp) -> Option<LogRead> {
        if !self.is_complete && self.needs_more(now) {
            self.reading = Reading::Older;
            let read = match self.read_from {
                Some((place, _)) => place.read_before(&self.topic, READ),
                None => SegmentPlace::read_newest(&self.topic, READ),
            };
            return Some(read);
        }
        let (place, _) = self.read_from.filter(|_| self.oldest.is_none())?;
        self.reading = Reading::Oldest;
        Some(SegmentPlace { first: 0, ..place }.read_on(&self.topic, 1))
    }

    fn needs_more(&self, now: Timestamp) -> bool {
        let newest = self.segments.back().and_then(|segment| segment.publications.last());
        let (Some(newest), Some((_, oldest_at))) = (newest, self.read_from) else { return true };
        let has_keys = newest.publication.at.max(now).since(oldest_at) >= KEY_AGE || self.keys() >= MAX_KEYS;
        !has_keys || !self.has_enough(0)
    }

    /// Whether there is as much as a log keeps in memory, without the oldest segments.
    fn has_enough(&self, without: usize) -> bool {
        let publications = || self.segments.iter().skip(without).flat_map(|segment| &segment.publications);
        let bytes = publications().map(|stored| stored.publication.size()).sum();
        !self.memory.hold(publications().count(), bytes)
    }

    fn keys(&self) -> usize {
        let publications = self.segments.iter().flat_map(|segment| &segment.publications);
        self.keys.len() + publications.filter(|stored| stored.key.is_some()).count()
    }

    /// This was read.
    ///
    /// # Errors
    /// [`Error::is_storage`] if a record is damaged.
    pub fn read(&mut self, records: &[(Bytes, Bytes)]) -> Result<(), Error> {
        let segments =
            records.iter().map(|(key, record)| Segment::decode(key, record)).collect::<Result<Vec<_>, _>>()?;
        match self.reading {
            Reading::Older => self.read_older(segments),
            Reading::Oldest => {
                let oldest = segments.first().ok_or_else(|| {
                    Error::new(Kind::Storage, "the stored log of a topic was deleted while it was being read")
                })?;
                self.oldest = Some(oldest.place.first);
                Ok(())
            }
        }
    }

    /// Segments were read, the newest first.
    fn read_older(&mut self, segments: Vec<Segment>) -> Result<(), Error> {
        self.is_complete = segments.len() < READ;
        for segment in segments {
            if let Some(newer) = self.segments.front() {
                if newer.place.resets != segment.place.resets {
                    // A reset has left it to be deleted.
                    (self.is_complete, self.has_all) = (true, false);
                    break;
                }
                if newer.epoch != segment.epoch {
                    return Err(Error::new(Kind::Storage, "the stored log of a topic has two epochs"));
                }
            }
            let at = segment.publications.first().map(|stored| stored.publication.at).unwrap_or_default();
            self.read_from = Some((segment.place, at));
            self.segments.push_front(segment);
            self.limit();
        }
        if self.is_complete {
            self.oldest = self.read_from.map(|(place, _)| place.first);
        }
        Ok(())
    }

    /// Keeps only the keys of what is not kept in memory.
    fn limit(&mut self) {
        while self.segments.len() > 1 && self.has_enough(1) {
            let dropped = self.segments.pop_front();
            self.has_all = false;
            for StoredPublication { publication, key } in
                dropped.into_iter().flat_map(|segment| segment.publications).rev()
            {
                if let Some(key) = key {
                    self.keys.push_front((key, publication.offset, publication.at));
                }
            }
        }
    }

    /// The log as it is stored.
    ///
    /// # Errors
    /// [`Error::is_storage`] if something is missing.
    pub fn finish(self) -> Result<StoredLog, Error> {
        let Self { topic, bounds, memory, new_epoch, seen, segments, keys, has_all, is_complete, oldest, .. } = self;
        let (epoch, first) =
            segments.front().map_or((new_epoch, 1), |oldest| (oldest.epoch.clone(), oldest.place.first));
        let trim = if has_all && is_complete { Trim::all(&segments) } else { Trim::default() };
        let newest = segments.back().map(|newest| newest.place);
        let bytes = segments.back().map_or(0, |newest| newest.bytes_before + newest.bytes());
        let mut log = TopicLog::new(&LogHead { position: Position::new(epoch.clone(), first - 1), bounds });
        keys.iter().for_each(|(key, offset, at)| log.remember(key, *offset, *at));
        log.read_again(segments.into_iter().flat_map(|segment| segment.publications))?;
        let seen = seen.filter(|seen| *seen.epoch() == epoch).map_or(u64::MAX, |seen| seen.offset());
        let stored = Stored { newest, oldest: oldest.unwrap_or(1), bytes, trim, is_purged: false };
        Ok(StoredLog::restored(topic, memory, log, stored, seen))
    }
}
