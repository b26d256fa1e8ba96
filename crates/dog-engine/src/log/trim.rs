//! Which stored segments are not needed any more: [`Trim`].

use std::collections::VecDeque;

use dog::Timestamp;

use super::edge::{Edge, Kept};
use super::segment::{LogRead, Segment, SegmentPlace};
use super::{KEY_AGE, StoredPublication};

/// How many of the oldest segments are known. The others are read when these are deleted.
const MAX_KNOWN: usize = 128;

/// How many segments are read at once, and below which number of known ones.
const READ: usize = 16;

/// The oldest stored segments of one topic. A segment is deleted as a whole, with a later write, when nothing in it is needed.
/// The newest one stays, because it says which offset is next.
#[derive(Clone, Debug, Default)]
pub(super) struct Trim {
    /// The oldest first, without a gap.
    known: VecDeque<StoredSegment>,
    /// Whether these are all.
    is_complete: bool,
    /// How many segments were written or deleted, and how many when the read began that is under way.
    changes: u64,
    reading: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct StoredSegment {
    place: SegmentPlace,
    /// The last publication, if there is one.
    last: Option<Edge>,
    /// Until when its keys are needed.
    keys_until: Option<Timestamp>,
}

impl StoredSegment {
    fn new(segment: &Segment) -> Self {
        let newest_key = segment.publications.iter().rev().find(|stored: &&StoredPublication| stored.key.is_some());
        let keys_until = newest_key.map(|stored| stored.publication.at + KEY_AGE);
        Self { place: segment.place, last: Edge::all(segment).last(), keys_until }
    }

    /// Whether what a log keeps needs it. What was before a reset is not needed.
    fn is_needed(&self, kept: &Kept, now: Timestamp) -> bool {
        let has_keys = self.keys_until.is_some_and(|until| now < until);
        self.place.resets == kept.resets && (has_keys || self.last.is_some_and(|last| kept.holds(&last, now)))
    }
}

impl Trim {
    /// The segments that are stored are these.
    pub(super) fn all<'a>(segments: impl IntoIterator<Item = &'a Segment>) -> Self {
        let mut trim = Self { is_complete: true, ..Self::default() };
        segments.into_iter().for_each(|segment| trim.written(segment));
        trim
    }

    /// A segment is stored, after all others.
    pub(super) fn written(&mut self, segment: &Segment) {
        self.changes += 1;
        // It replaces one without publications.
        self.known.pop_back_if(|last| last.place == segment.place);
        if self.is_complete && self.known.len() < MAX_KNOWN {
            self.known.push_back(StoredSegment::new(segment));
        } else {
            self.is_complete = false;
        }
    }

    /// What has to be read to know the oldest segments.
    pub(super) fn read(&mut self, topic: &str) -> Option<LogRead> {
        if self.is_complete || self.known.len() >= READ {
            return None;
        }
        self.reading = Some(self.changes);
        Some(SegmentPlace::read_after(self.known.back().map(|last| last.place), topic, READ))
    }

    /// This was read, for the request made last.
    pub(super) fn found(&mut self, segments: &[Segment]) {
        // What was written meanwhile may have replaced a segment that was found.
        if self.reading.take() != Some(self.changes) || self.is_complete {
            return;
        }
        self.known.extend(segments.iter().map(StoredSegment::new));
        self.is_complete = segments.len() < READ;
    }

    /// The segments that the next write can delete, `most` at most. `newest` is the last one of the log.
    pub(super) fn expired(
        &self,
        newest: Option<SegmentPlace>,
        kept: &Kept,
        now: Timestamp,
        most: usize,
    ) -> Vec<SegmentPlace> {
        let is_expired = |stored: &&StoredSegment| Some(stored.place) != newest && !stored.is_needed(kept, now);
        self.known.iter().take_while(is_expired).take(most).map(|stored| stored.place).collect()
    }

    /// Whether this is the only segment.
    pub(super) fn is_only(&self, place: SegmentPlace) -> bool {
        self.is_complete && self.known.iter().all(|stored| stored.place == place)
    }

    /// Whether segments of before this number of resets are stored, as far as is known.
    pub(super) fn has_earlier(&self, resets: u64) -> bool {
        self.known.front().map_or(!self.is_complete, |oldest| oldest.place.resets < resets)
    }

    /// The oldest segments are deleted, this many. Returns the offset before which the log has nothing any more.
    pub(super) fn deleted(&mut self, count: usize, resets: u64) -> u64 {
        self.changes += 1;
        let deleted = self.known.drain(..count.min(self.known.len()));
        let ends = deleted.filter(|stored| stored.place.resets == resets).filter_map(|stored| stored.last);
        ends.map(|last| last.offset + 1).max().unwrap_or(0)
    }

    /// Nothing is known of what is stored.
    pub(super) fn forget(&mut self) {
        *self = Self { changes: self.changes + 1, ..Self::default() };
    }

    /// About how many bytes of memory it takes.
    pub(super) fn memory(&self) -> usize {
        self.known.len() * size_of::<StoredSegment>()
    }
}
