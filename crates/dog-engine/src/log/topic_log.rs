//! One topic's log in its Group: [`TopicLog`].

use std::collections::VecDeque;

use bytes::Bytes;
use dog::internal::{Kind, LogEpoch, Position};
use dog::{Error, Timestamp};

use super::keys::Keys;
use super::{AnswerBounds, LogHead, NewPublication, Recorded, Window};
use crate::fault_injection::{Fault, is_planted};

/// What one commit stores at most, if it is not a single publication.
pub(crate) const COMMIT: AnswerBounds = AnswerBounds { publications: 1000, bytes: 512 * 1024 };

/// A publication with its idempotency key, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPublication {
    /// The publication.
    pub publication: Recorded,
    /// Its key.
    pub key: Option<Bytes>,
}

/// What has become of a new publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It has this offset, and is seen once it is committed.
    New(u64),
    /// Its key has named this publication before.
    Repeated(u64),
    /// It cannot have an offset now: what is stored is not known, or is being reset. Ask again when that is over.
    NotNow,
}

/// What the storage has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// All that is not pending.
    #[default]
    Known,
    /// That, and soon what is pending up to this offset.
    Committing(u64),
    /// A commit has failed: perhaps the storage has it nevertheless.
    InDoubt,
    /// The storage is about to forget the log.
    Resetting,
}

/// Numbers the publications of a topic, and shows them once they are committed (promise 18). One commit is under way at a
/// time, so that a publication is never stored without those before it; what comes meanwhile goes with the next commit.
///
/// A log in memory has the same steps: its commits succeed at once.
#[derive(Clone, Debug)]
pub struct TopicLog {
    /// What everybody may see.
    window: Window,
    /// What has an offset, and is not seen yet.
    pending: VecDeque<StoredPublication>,
    /// Up to which offset what is pending is committed.
    committed: u64,
    state: State,
    keys: Keys,
    last_at: Timestamp,
}

impl TopicLog {
    /// A log without publications, that goes on after this position.
    pub fn new(head: &LogHead) -> Self {
        Self {
            committed: head.position.offset(),
            window: Window::new(head),
            pending: VecDeque::new(),
            state: State::default(),
            keys: Keys::default(),
            last_at: Timestamp::default(),
        }
    }

    /// What everybody may see.
    pub fn window(&self) -> &Window {
        &self.window
    }

    fn next_offset(&self) -> u64 {
        self.window.next() + self.pending.len() as u64
    }

    /// Whether a publication with this key would be a repeated one.
    pub fn knows(&mut self, key: &[u8], now: Timestamp) -> bool {
        self.keys.get(key, now).is_some()
    }

    /// Gives a publication its offset, or finds the earlier one with its key.
    pub fn append(&mut self, new: NewPublication, now: Timestamp) -> Appended {
        if let Some(offset) = new.key.as_ref().and_then(|key| self.keys.get(key, now)) {
            return Appended::Repeated(offset);
        }
        if matches!(self.state, State::InDoubt | State::Resetting) {
            return Appended::NotNow;
        }
        let NewPublication { message, metadata, key } = new;
        let (offset, at) = (self.next_offset(), now.max(self.last_at));
        self.take(StoredPublication { publication: Recorded { offset, at, message, metadata }, key });
        Appended::New(offset)
    }

    fn take(&mut self, stored: StoredPublication) {
        let Recorded { offset, at, .. } = stored.publication;
        self.last_at = self.last_at.max(at);
        if let Some(key) = &stored.key {
            self.keys.insert(key, offset, at);
        }
        self.pending.push_back(stored);
    }

    /// Whether this offset is seen. An answer with it has to wait until it is.
    pub fn is_visible(&self, offset: u64) -> bool {
        offset < self.window.next()
    }

    /// What the next commit has to store, if one may begin now.
    pub fn begin_commit(&mut self) -> Option<impl Iterator<Item = &StoredPublication>> {
        let from = self.committed;
        let new = self.pending.iter().filter(move |stored| stored.publication.offset > from);
        let (mut last, mut bytes) = (from, 0);
        for (index, StoredPublication { publication, .. }) in new.enumerate() {
            bytes += publication.size();
            if index > 0 && !COMMIT.hold(index + 1, bytes) {
                break;
            }
            last = publication.offset;
        }
        if self.state != State::Known || last == from {
            return None;
        }
        self.state = State::Committing(last);
        let offset = |stored: &&StoredPublication| stored.publication.offset;
        Some(
            self.pending
                .iter()
                .skip_while(move |stored| offset(stored) <= from)
                .take_while(move |stored| offset(stored) <= last),
        )
    }

    /// The commit is durable: [`next_visible`](Self::next_visible) has what it has stored.
    pub fn commit_succeeded(&mut self) {
        if let State::Committing(last) = self.state {
            (self.state, self.committed) = (State::Known, last);
        }
    }

    /// The commit, or the reset, has failed or has an unknown outcome. No publication gets an offset until the end of the log
    /// was read again. What was pending may be stored or not: who has made it gets an error that says so.
    pub fn commit_failed(&mut self) {
        self.state = if is_planted(Fault::OffsetIsGivenTwice) { State::Known } else { State::InDoubt };
        self.pending.retain(|stored| stored.publication.offset <= self.committed);
        self.keys.forget_from(self.committed + 1);
    }

    /// Whether the end of the log has to be read again.
    pub fn is_in_doubt(&self) -> bool {
        self.state == State::InDoubt
    }

    /// The offset after which the stored publications have to be read again.
    pub fn committed(&self) -> Position {
        Position::new(self.window.epoch().clone(), self.committed)
    }

    /// The end of the log was read: these publications follow [`committed`](Self::committed).
    ///
    /// # Errors
    /// They do not follow it without a gap: the storage is damaged. The log stays in doubt.
    pub fn read_again(&mut self, stored: impl IntoIterator<Item = StoredPublication>) -> Result<(), Error> {
        for stored in stored {
            if stored.publication.offset != self.committed + 1 {
                self.state = State::InDoubt;
                return Err(Error::new(Kind::Storage, "a publication is missing in the stored log of a topic"));
            }
            self.committed += 1;
            self.take(stored);
        }
        self.state = State::Known;
        Ok(())
    }

    /// The next publication that everybody may see from now on. It is to be sent to those who follow the topic.
    pub fn next_visible(&mut self) -> Option<Recorded> {
        let stored = self.pending.pop_front_if(|stored| stored.publication.offset <= self.committed)?;
        let publication = stored.publication;
        let is_next = self.window.push(publication.clone());
        debug_assert!(is_next, "what is pending follows what is seen");
        Some(publication)
    }

    /// What has an offset and is not seen yet, in the order of the offsets.
    pub(super) fn pending(&self) -> impl Iterator<Item = &Recorded> {
        self.pending.iter().map(|stored| &stored.publication)
    }

    /// A publication that is not in the window had this key. They come in the order of their offsets, before all others.
    pub(super) fn remember(&mut self, key: &[u8], offset: u64, at: Timestamp) {
        self.last_at = self.last_at.max(at);
        self.keys.insert(key, offset, at);
    }

    /// Keeps only this many of the newest publications in the window.
    pub(super) fn keep(&mut self, most: AnswerBounds) {
        while !most.hold(self.window.len(), self.window.bytes()) && self.window.pop_oldest().is_some() {}
    }

    /// Drops the publications before this offset from the window.
    pub(super) fn drop_before(&mut self, offset: u64) {
        while self.window.first() < offset && self.window.pop_oldest().is_some() {}
    }

    /// Removes what the bounds do not keep, and keys that are too old. Answers do not depend on it.
    pub fn expire(&mut self, now: Timestamp) {
        self.window.expire(now);
        self.keys.expire(now);
    }

    /// When [`expire`](Self::expire) has something to remove next. `None`: the log keeps nothing.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        let oldest = self.window.get(self.window.first()).map(|oldest| oldest.at + self.window.bounds().age);
        oldest.into_iter().chain(self.keys.next_expiry()).min()
    }

    /// Prepares a reset: no publication gets an offset until [`reset`](Self::reset) or
    /// [`commit_failed`](Self::commit_failed). Returns `false` if something is pending or in doubt: it has to end before.
    #[must_use]
    pub fn begin_reset(&mut self) -> bool {
        let may_begin = self.state == State::Known && self.pending.is_empty();
        if may_begin {
            self.state = State::Resetting;
        }
        may_begin
    }

    /// The log begins again, with an epoch that it never had. Its publications and keys are gone.
    pub fn reset(&mut self, epoch: LogEpoch) {
        let head = LogHead { position: Position::new(epoch, 0), bounds: self.window.bounds() };
        *self = Self { last_at: self.last_at, ..Self::new(&head) };
    }

    /// About how many bytes of memory it takes.
    pub fn memory(&self) -> usize {
        const OVERHEAD: usize = 128;
        let pending: usize = self.pending.iter().map(|stored| stored.publication.size() + OVERHEAD).sum();
        self.window.bytes() + self.window.len() * OVERHEAD + pending + self.keys.memory()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dog::Message;
    use dog::internal::LogBounds;

    use super::*;
    use crate::log::PageOrder;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn log() -> TopicLog {
        let position = Position::new(LogEpoch::new("e").unwrap(), 0);
        TopicLog::new(&LogHead { position, bounds: LogBounds::default() })
    }

    fn new(text: &str, key: Option<&'static str>) -> NewPublication {
        NewPublication { message: Message::text(text), metadata: Bytes::new(), key: key.map(Bytes::from) }
    }

    fn seen(log: &mut TopicLog) -> Vec<u64> {
        std::iter::from_fn(|| log.next_visible()).map(|publication| publication.offset).collect()
    }

    #[test]
    fn nothing_is_seen_before_its_commit_and_one_commit_is_under_way() {
        let mut log = log();
        assert_eq!(log.append(new("a", Some("k")), at(1)), Appended::New(1));
        assert_eq!(log.begin_commit().unwrap().count(), 1);
        assert_eq!(log.append(new("b", None), at(1)), Appended::New(2));
        assert_eq!(log.append(new("a", Some("k")), at(1)), Appended::Repeated(1));
        assert!(log.begin_commit().is_none() && seen(&mut log).is_empty() && !log.is_visible(1));
        log.commit_succeeded();
        assert_eq!(seen(&mut log), [1]);
        assert!(log.is_visible(1) && !log.is_visible(2));
        assert_eq!(log.begin_commit().unwrap().next().unwrap().publication.offset, 2);
        log.commit_succeeded();
        assert_eq!(seen(&mut log), [2]);
        assert!(log.begin_commit().is_none());
    }

    #[test]
    fn after_a_failed_commit_the_end_is_read_before_another_offset_is_given() {
        for was_stored in [false, true] {
            let mut log = log();
            log.append(new("a", Some("k")), at(1));
            let stored: Vec<_> = log.begin_commit().unwrap().cloned().collect();
            log.append(new("b", None), at(1));
            log.commit_failed();
            assert!(log.is_in_doubt());
            assert_eq!(log.append(new("a", Some("k")), at(2)), Appended::NotNow);
            assert_eq!(log.committed().offset(), 0);
            log.read_again(if was_stored { stored } else { Vec::new() }).unwrap();
            let repeated = log.append(new("a", Some("k")), at(2));
            if was_stored {
                assert_eq!((repeated, seen(&mut log)), (Appended::Repeated(1), vec![1]));
                assert_eq!(log.append(new("b", None), at(2)), Appended::New(2));
            } else {
                assert_eq!((repeated, seen(&mut log)), (Appended::New(1), vec![]));
            }
        }
    }

    #[test]
    fn a_commit_is_bounded() {
        let mut log = log();
        for offset in 1..=1500 {
            assert_eq!(log.append(new("a", None), at(1)), Appended::New(offset));
        }
        log.append(new(&"x".repeat(600 * 1024), None), at(1));
        for expected in [1000, 500, 1] {
            assert_eq!(log.begin_commit().map(Iterator::count), Some(expected));
            log.commit_succeeded();
            assert_eq!(seen(&mut log).len(), expected);
        }
        assert!(log.begin_commit().is_none());
    }

    #[test]
    fn a_stored_log_with_a_gap_is_damaged() {
        let mut log = log();
        let publication = Recorded { offset: 2, at: at(1), message: Message::text("b"), metadata: Bytes::new() };
        let error = log.read_again([StoredPublication { publication, key: None }]).unwrap_err();
        assert_eq!(error.kind(), Kind::Storage);
        assert!(log.is_in_doubt());
    }

    #[test]
    fn a_reset_waits_for_what_is_pending_and_begins_with_offset_1() {
        let mut log = log();
        log.append(new("a", Some("k")), at(1));
        assert!(!log.begin_reset());
        log.begin_commit().map(Iterator::count);
        log.commit_succeeded();
        seen(&mut log);
        assert!(log.begin_reset());
        assert_eq!(log.append(new("b", None), at(2)), Appended::NotNow);
        log.reset(LogEpoch::new("f").unwrap());
        assert_eq!(log.append(new("a", Some("k")), at(2)), Appended::New(1));
        let page = log.window().page(None, PageOrder::OldestFirst, AnswerBounds::RECOVERY, at(2)).unwrap();
        assert!(page.publications.is_empty());
    }

    #[test]
    fn a_clock_that_goes_back_makes_no_publication_older_than_the_one_before() {
        let mut log = log();
        for now in [1000, 500] {
            log.append(new("a", None), at(now));
        }
        log.begin_commit().map(Iterator::count);
        log.commit_succeeded();
        seen(&mut log);
        assert_eq!(log.window().newest_at(), Some(at(1000)));
        log.expire(at(1000) + Duration::from_secs(299));
        assert_eq!((log.window().len(), log.memory()), (2, 2 + 2 * 128));
        assert_eq!(log.next_expiry(), Some(at(1000) + Duration::from_secs(300)));
        log.expire(at(1000) + Duration::from_secs(300));
        assert_eq!((log.window().len(), log.memory(), log.next_expiry()), (0, 0, None));
    }
}
