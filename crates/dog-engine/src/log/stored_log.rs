//! The log of one topic and its records: [`StoredLog`].

use bytes::Bytes;
use dog::internal::LogEpoch;
use dog::{Error, Timestamp};

use super::edge::{Kept, Oldest};
use super::log_topics::{PURGED, name_key};
use super::segment::{LogRead, Segment, SegmentPlace};
use super::trim::Trim;
use super::{AnswerBounds, Appended, NewPublication, Recorded, StoredPublication, TopicLog, Window};

/// How many old segments one commit deletes at most. It adds one, so the stored log gets shorter.
const MAX_DELETED: usize = 16;

/// Keys to write, each with its value, or with `None` to delete it.
pub type LogEntries = Vec<(Vec<u8>, Option<Bytes>)>;

/// A write whose outcome is not known yet.
#[derive(Clone, Debug)]
enum UnderWay {
    Nothing,
    /// A commit of this segment.
    Commit(Segment),
    /// The log begins, or begins again, with this segment.
    Reset(Segment),
    /// The same, and is purged.
    Purge(Segment),
    /// Segments are deleted.
    Trim,
    /// Nothing of the log is left.
    Removal,
}

/// What is stored of a log.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    /// The newest segment.
    pub(super) newest: Option<SegmentPlace>,
    /// The first offset that may be stored.
    pub(super) oldest: u64,
    /// The bytes of all publications that were ever committed.
    pub(super) bytes: u64,
    pub(super) trim: Trim,
    /// Whether the log was purged, and not used since.
    pub(super) is_purged: bool,
}

/// The durable log of one topic: says what each commit writes and deletes. Some of the newest
/// publications are in memory; an [`Inquiry`](super::Inquiry) has the others read. One write is under way at a time; after one that
/// has failed, the log has to be [restored](super::Restore) from what is stored.
#[derive(Clone, Debug)]
pub struct StoredLog {
    topic: String,
    /// How many publications are kept in memory.
    memory: AnswerBounds,
    log: TopicLog,
    stored: Stored,
    /// The bytes of all publications that everybody may see or could once.
    seen_bytes: u64,
    oldest: Oldest,
    under_way: UnderWay,
    /// How many segments the write that is under way deletes.
    deleting: usize,
}

impl StoredLog {
    /// The log goes on where it ended. Everybody has seen it up to offset `seen`.
    pub(super) fn restored(topic: String, memory: AnswerBounds, log: TopicLog, stored: Stored, seen: u64) -> Self {
        let unseen = log.pending().filter(|publication| publication.offset > seen);
        let seen_bytes = stored.bytes - unseen.map(|publication| publication.size() as u64).sum::<u64>();
        let (oldest, under_way) = (Oldest::default(), UnderWay::Nothing);
        let mut restored = Self { topic, memory, log, stored, seen_bytes, oldest, under_way, deleting: 0 };
        while restored.log.pending().next().is_some_and(|next| next.offset <= seen)
            && restored.log.next_visible().is_some()
        {}
        restored.log.keep(memory);
        restored
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The newest publications that everybody may see. The log may keep older ones.
    pub fn window(&self) -> &Window {
        self.log.window()
    }

    /// Gives a publication its offset: see [`TopicLog::append`].
    pub fn append(&mut self, new: NewPublication, now: Timestamp) -> Appended {
        if matches!(self.under_way, UnderWay::Removal) {
            return Appended::NotNow;
        }
        self.log.append(new, now)
    }

    /// Whether a publication with this key would be a repeated one.
    pub fn knows(&mut self, key: &[u8], now: Timestamp) -> bool {
        self.log.knows(key, now)
    }

    /// Whether this offset is seen. An answer with it has to wait until it is.
    pub fn is_visible(&self, offset: u64) -> bool {
        self.log.is_visible(offset)
    }

    /// Whether its epoch is stored. Before that nobody may be told a position: the next life of the Group would begin with another
    /// epoch, and would not know it. The epoch of one that was purged is removed with it.
    pub fn has_begun(&self) -> bool {
        self.has_records() && !self.stored.is_purged
    }

    /// Whether anything of it is stored.
    pub fn has_records(&self) -> bool {
        self.stored.newest.is_some()
    }

    /// Whether it was purged, and not used since: it is empty, and what is stored of it is to be removed.
    pub fn is_purged(&self) -> bool {
        self.stored.is_purged
    }

    /// It was [read](super::LogTopics::purged) that the log was purged in an earlier life, or by a write whose outcome was not known.
    pub fn was_purged(&mut self) {
        self.stored.is_purged = self.has_records() && self.window().next() == 1 && self.log.pending().next().is_none();
    }

    /// Whether what is stored has, or may have, segments of before a reset or a purge.
    pub fn has_leftovers(&self) -> bool {
        self.has_records() && self.stored.trim.has_earlier(self.resets())
    }

    /// Whether the log has to be restored before it can go on.
    pub fn is_in_doubt(&self) -> bool {
        self.log.is_in_doubt()
    }

    fn is_idle(&self) -> bool {
        matches!(self.under_way, UnderWay::Nothing)
    }

    fn resets(&self) -> u64 {
        self.stored.newest.map_or(0, |newest| newest.resets)
    }

    fn kept(&self) -> Kept {
        let window = self.window();
        Kept { bounds: window.bounds(), resets: self.resets(), next: window.next(), bytes: self.seen_bytes }
    }

    /// What has to be read to know which segments the next writes can delete. The answer goes to
    /// [`trim_found`](Self::trim_found).
    pub fn trim_read(&mut self) -> Option<LogRead> {
        self.stored.trim.read(&self.topic)
    }

    /// This was read.
    ///
    /// # Errors
    /// [`Error::is_storage`] if a record is damaged.
    pub fn trim_found(&mut self, records: &[(Bytes, Bytes)]) -> Result<(), Error> {
        let segments =
            records.iter().map(|(key, record)| Segment::decode(key, record)).collect::<Result<Vec<_>, _>>()?;
        self.stored.trim.found(&segments);
        Ok(())
    }

    /// Deletes the oldest segments that are not needed, `most` at most.
    fn delete_expired(&mut self, now: Timestamp, most: usize) -> LogEntries {
        let expired = self.stored.trim.expired(self.stored.newest, &self.kept(), now, most);
        self.deleting = expired.len();
        expired.into_iter().map(|place| (place.key(&self.topic), None)).collect()
    }

    /// What the next commit writes, as a whole or not at all, if one may begin now.
    pub fn begin_commit(&mut self, now: Timestamp) -> Option<LogEntries> {
        if !self.is_idle() {
            return None;
        }
        let publications: Vec<StoredPublication> = self.log.begin_commit()?.cloned().collect();
        let place = SegmentPlace { resets: self.resets(), first: publications.first()?.publication.offset };
        let epoch = self.window().epoch().clone();
        let segment = Segment { place, epoch, bytes_before: self.stored.bytes, publications };
        let mut entries = self.delete_expired(now, MAX_DELETED);
        if !self.has_begun() {
            entries.push((name_key(&self.topic), Some(Bytes::new())));
        }
        entries.push((place.key(&self.topic), Some(segment.encode())));
        self.under_way = UnderWay::Commit(segment);
        Some(entries)
    }

    /// Deletes old segments without a commit, `most` at most. `None`: there are none, or another write is under way. If it fails,
    /// the log goes on.
    pub fn begin_trim(&mut self, now: Timestamp, most: usize) -> Option<LogEntries> {
        if !self.is_idle() || self.is_in_doubt() {
            return None;
        }
        let entries = self.delete_expired(now, most);
        if entries.is_empty() {
            return None;
        }
        self.under_way = UnderWay::Trim;
        Some(entries)
    }

    /// What a reset writes: the name of another epoch, which no log had before. What was stored is gone with it, and is deleted
    /// with later writes. `None`: something is pending or in doubt, and has to end before.
    pub fn begin_reset(&mut self, epoch: LogEpoch) -> Option<LogEntries> {
        let resets = self.stored.newest.map_or(0, |newest| newest.resets + 1);
        let (segment, entries) = self.begin_again(SegmentPlace { resets, first: 1 }, epoch, Bytes::new())?;
        self.under_way = UnderWay::Reset(segment);
        Some(entries)
    }

    /// What a purge writes first: the log begins again as with a reset, and says that it was purged. After that
    /// [`begin_trim`](Self::begin_trim) deletes what was stored as long as there are [leftovers](Self::has_leftovers), and
    /// [`begin_removal`](Self::begin_removal) the rest. `None`: it is purged already, or nothing is stored, or something is pending
    /// or in doubt.
    pub fn begin_purge(&mut self, epoch: LogEpoch) -> Option<LogEntries> {
        let newest = self.stored.newest.filter(|_| self.has_begun())?;
        let place = SegmentPlace { resets: newest.resets + 1, first: 1 };
        let (segment, entries) = self.begin_again(place, epoch, Bytes::from_static(PURGED))?;
        self.under_way = UnderWay::Purge(segment);
        Some(entries)
    }

    fn begin_again(&mut self, place: SegmentPlace, epoch: LogEpoch, name: Bytes) -> Option<(Segment, LogEntries)> {
        if !self.is_idle() || !self.log.begin_reset() {
            return None;
        }
        let segment = Segment { place, epoch, bytes_before: 0, publications: Vec::new() };
        let record = segment.encode();
        let entries = vec![(name_key(&self.topic), Some(name)), (place.key(&self.topic), Some(record))];
        Some((segment, entries))
    }

    /// What stores the epoch of a log without publications, so that others may know it. `None`: it [has begun](Self::has_begun),
    /// or something is pending or in doubt.
    pub fn begin_empty(&mut self) -> Option<LogEntries> {
        let epoch = (!self.has_begun()).then(|| self.window().epoch().clone())?;
        let place = self.stored.newest.unwrap_or(SegmentPlace { resets: 0, first: 1 });
        let (segment, entries) = self.begin_again(place, epoch, Bytes::new())?;
        self.under_way = UnderWay::Reset(segment);
        Some(entries)
    }

    /// Deletes the last record of a log that was purged: the topic is then as if it had never been used, and this value is of no
    /// use any more. `None`: the log was used since, or has other records, which [`begin_trim`](Self::begin_trim) deletes.
    pub fn begin_removal(&mut self) -> Option<LogEntries> {
        let newest = self.stored.newest.filter(|_| self.is_purged())?;
        let is_used = self.log.pending().next().is_some();
        if !self.is_idle() || is_used || self.is_in_doubt() || !self.stored.trim.is_only(newest) {
            return None;
        }
        self.under_way = UnderWay::Removal;
        Some(vec![(newest.key(&self.topic), None), (name_key(&self.topic), None)])
    }

    /// What is under way is durable.
    pub fn succeeded(&mut self) {
        self.note_deleted();
        match std::mem::replace(&mut self.under_way, UnderWay::Nothing) {
            UnderWay::Nothing | UnderWay::Trim => {}
            UnderWay::Commit(segment) => {
                self.stored.bytes += segment.bytes();
                self.stored.newest = Some(segment.place);
                self.stored.is_purged = false;
                self.stored.trim.written(&segment);
                self.log.commit_succeeded();
            }
            UnderWay::Reset(segment) => self.has_begun_again(segment),
            UnderWay::Purge(segment) => {
                self.has_begun_again(segment);
                self.stored.is_purged = true;
            }
            // A topic that is used again is restored first.
            UnderWay::Removal => self.log.commit_failed(),
        }
    }

    fn has_begun_again(&mut self, segment: Segment) {
        self.stored.trim.written(&segment);
        (self.stored.newest, self.stored.oldest, self.stored.bytes) = (Some(segment.place), 1, 0);
        (self.stored.is_purged, self.seen_bytes, self.oldest) = (false, 0, Oldest::default());
        self.log.reset(segment.epoch);
    }

    fn note_deleted(&mut self) {
        let resets = self.resets();
        let end = self.stored.trim.deleted(std::mem::take(&mut self.deleting), resets);
        self.stored.oldest = self.stored.oldest.max(end);
        self.log.drop_before(self.stored.oldest);
    }

    /// What is under way has failed, or nobody knows. Unless it was a trim, the log has to be restored, and no publication gets an
    /// offset before.
    pub fn failed(&mut self) {
        // Perhaps they are deleted.
        self.note_deleted();
        self.stored.trim.forget();
        if !matches!(std::mem::replace(&mut self.under_way, UnderWay::Nothing), UnderWay::Trim | UnderWay::Nothing) {
            self.log.commit_failed();
        }
    }

    /// The next publication that everybody may see from now on.
    pub fn next_visible(&mut self) -> Option<Recorded> {
        let publication = self.log.next_visible()?;
        self.seen_bytes += publication.size() as u64;
        self.log.keep(self.memory);
        Some(publication)
    }

    /// Removes from memory what the bounds do not keep. It is deleted from the storage with later commits.
    pub fn expire(&mut self, now: Timestamp) {
        self.log.expire(now);
    }

    /// Keeps this much in memory from now on. Answers do not depend on it.
    pub fn keep_in_memory(&mut self, most: AnswerBounds) {
        self.memory = most;
        self.log.keep(most);
    }

    /// How much is kept in memory.
    pub fn in_memory(&self) -> AnswerBounds {
        self.memory
    }

    /// The oldest offset that the log keeps; that of the next publication if it keeps nothing.
    ///
    /// # Errors
    /// The segment with this offset has to be read first.
    pub(super) fn kept_from(&mut self, now: Timestamp) -> Result<u64, u64> {
        let (kept, window) = (self.kept(), self.log.window());
        let (from, first) = (window.kept_from(now), window.first());
        let low = self.stored.oldest.max(kept.next.saturating_sub(u64::from(kept.bounds.publications)));
        if from > first || first <= low {
            return Ok(from.max(low));
        }
        self.oldest.find((low, first), &kept, now)
    }

    /// A segment was read.
    pub(super) fn found(&mut self, segment: &Segment, now: Timestamp) {
        if segment.place.resets == self.resets() {
            let kept = self.kept();
            self.oldest.found(segment, &kept, now);
        }
    }

    /// The place of a segment that begins with this offset.
    pub(super) fn place(&self, first: u64) -> SegmentPlace {
        SegmentPlace { resets: self.resets(), first }
    }

    /// About how many bytes of memory it takes.
    pub fn memory(&self) -> usize {
        self.log.memory() + self.stored.trim.memory() + self.topic.len() + size_of::<Self>()
    }
}
