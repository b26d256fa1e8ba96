//! What a Replica keeps of one topic's log: [`Follower`].

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use dog::Timestamp;
use dog::internal::{LogEpoch, Position, Unrecovered};

use super::{AnswerBounds, LogHead, Missed, Recorded, Tail, Window};

/// How long an acknowledgement waits for further publications. The Group repeats the end of its log after 250 ms.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_millis(100);

/// Bounds of what came before something that is missing. What is over them is fetched with it.
const AHEAD: AnswerBounds = AnswerBounds { publications: 256, bytes: 256 * 1024 };

/// How many epochs that the log does not have are remembered.
const MAX_REFUSED: usize = 16;

/// What a publication that has come is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The next one: it is for the subscribers now. [`Follower::advance`] has those that wait behind it.
    InOrder,
    /// It has come before.
    Known,
    /// Others before it are missing.
    Ahead,
    /// The log seems to have another epoch. Only the Group knows which of the two is the older one.
    OtherEpoch,
}

/// What a Replica can say of the publications after a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// How many there are, or why they cannot be given.
    Known(Result<u64, Unrecovered>),
    /// The newest of the log are needed: [`Follower::fill`]. After that, [`Follower::recover_now`] says it, for this position
    /// and all others that came before the question. A socket that comes while the Group is being asked may have seen more
    /// elsewhere than the answer has: for that one, [`Follower::recover`] decides again.
    AskGroup,
}

/// What is known of the publications before the oldest one that is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// Nothing.
    Unknown,
    /// The log has dropped them.
    Expired,
    /// They are too many for one recovery.
    TooMany,
}

/// Puts the publications of one topic into order, for the sockets of a Replica. Notices and repairs gaps (promise 17). Keeps
/// as many as one recovery may replay, so that a Replica asks its Group once for all sockets that come back.
#[derive(Clone, Debug)]
pub struct Follower {
    window: Window,
    /// What is kept at most.
    most: AnswerBounds,
    before: Before,
    /// What has come and is not next.
    ahead: BTreeMap<u64, Recorded>,
    ahead_bytes: usize,
    /// The newest offset that the log is known to have.
    head: u64,
    doubts_epoch: bool,
    /// Whether the log was purged, and nothing has come since.
    is_purged: bool,
    /// The offset after which missing publications are being fetched.
    fetching: Option<u64>,
    acknowledge_at: Option<Timestamp>,
    /// Epochs that the log does not have. It will never have them.
    refused: VecDeque<LogEpoch>,
}

impl Follower {
    /// Follows the log after this position: where it ends now, or what an earlier life of the Replica has acknowledged.
    pub fn new(head: &LogHead) -> Self {
        Self {
            head: head.position.offset(),
            window: Window::new(head),
            most: AnswerBounds::RECOVERY,
            before: Before::Unknown,
            ahead: BTreeMap::new(),
            ahead_bytes: 0,
            doubts_epoch: false,
            is_purged: false,
            fetching: None,
            acknowledge_at: None,
            refused: VecDeque::new(),
        }
    }

    /// Keeps this much at most: as much as one recovery may replay.
    #[must_use]
    pub fn keeping(self, most: AnswerBounds) -> Self {
        Self { most, ..self }
    }

    /// The newest publications that were given to the subscribers.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// The newest publication that the log is known to have. Nothing before it is missing for who subscribes next.
    pub fn head(&self) -> Position {
        Position::new(self.window.epoch().clone(), self.head.max(self.window.next() - 1))
    }

    /// A publication has come from the Group.
    pub fn came(&mut self, epoch: &LogEpoch, publication: &Recorded, now: Timestamp) -> Arrival {
        if epoch != self.window.epoch() {
            self.doubts_epoch = true;
            return Arrival::OtherEpoch;
        }
        let offset = publication.offset;
        self.head = self.head.max(offset);
        if offset < self.window.next() {
            Arrival::Known
        } else if self.take(publication, now) {
            Arrival::InOrder
        } else {
            if AHEAD.hold(self.ahead.len() + 1, self.ahead_bytes + publication.size()) {
                self.put_ahead(publication.clone());
            }
            Arrival::Ahead
        }
    }

    /// Takes the publication if it is the next.
    fn take(&mut self, publication: &Recorded, now: Timestamp) -> bool {
        if publication.offset != self.window.next() || !self.window.push(publication.clone()) {
            return false;
        }
        self.acknowledge_at.get_or_insert(now + ACKNOWLEDGE_WITHIN);
        self.limit(now);
        true
    }

    fn put_ahead(&mut self, publication: Recorded) {
        let size = publication.size();
        if self.ahead.insert(publication.offset, publication).is_none() {
            self.ahead_bytes += size;
        }
    }

    /// The next publication for the subscribers among those that have come.
    pub fn advance(&mut self, now: Timestamp) -> Option<Recorded> {
        while let Some(first) = self.ahead.first_entry().filter(|first| *first.key() <= self.window.next()) {
            let publication = first.remove();
            self.ahead_bytes -= publication.size();
            if self.take(&publication, now) {
                return Some(publication);
            }
        }
        None
    }

    /// Keeps no more than one recovery may replay.
    fn limit(&mut self, now: Timestamp) {
        while !self.most.hold(self.window.len(), self.window.bytes()) {
            let is_kept = self.window.first() >= self.window.kept_from(now);
            self.window.pop_oldest();
            self.before = if is_kept { Before::TooMany } else { Before::Expired };
        }
    }

    /// The Group has repeated where its log ends, because it misses an acknowledgement.
    pub fn told(&mut self, head: &Position, now: Timestamp) {
        if head.epoch() == self.window.epoch() {
            self.head = self.head.max(head.offset());
            self.acknowledge_at = Some(now);
        } else {
            self.doubts_epoch = true;
        }
    }

    /// The position after which the Group has to be asked for what is missing, if something is. The answer goes to
    /// [`fetched`](Self::fetched) or [`fetch_failed`](Self::fetch_failed), and nothing is asked before.
    pub fn begin_fetch(&mut self) -> Option<Position> {
        let is_missing = self.head >= self.window.next() && !self.ahead.contains_key(&self.window.next());
        if self.fetching.is_some() || !(is_missing || self.doubts_epoch) {
            return None;
        }
        let since = self.window.position();
        self.fetching = Some(since.offset());
        Some(since)
    }

    /// The Group has answered. [`advance`](Self::advance) has the publications.
    ///
    /// # Errors
    /// They are lost. The Replica goes on where the log ends now, or where its new epoch begins: that is fetched next. Its subscribers
    /// have to be told, except for those that catch up: a [`Replay`](super::Replay) finds out itself.
    pub fn fetched(&mut self, missed: Missed, now: Timestamp) -> Result<(), Unrecovered> {
        let asked = self.fetching.take();
        match missed.page {
            Ok(page) => {
                self.doubts_epoch = false;
                self.head = self.head.max(missed.head.position.offset());
                let next = self.window.next();
                page.publications.into_iter().filter(|came| came.offset >= next).for_each(|came| self.put_ahead(came));
                Ok(())
            }
            // What was missing has come after all. If something else is missing, that is another question.
            Err(reason) if reason != Unrecovered::EpochUnknown && asked != Some(self.window.next() - 1) => Ok(()),
            Err(reason) => {
                let misses_nothing = self.is_purged && self.head().offset() == 0;
                self.begin_again(&missed.head, reason, now);
                if misses_nothing { Ok(()) } else { Err(reason) }
            }
        }
    }

    /// The answer before was about a log that was purged: if nothing comes before it begins again with another epoch, nothing is lost.
    pub fn was_purged(&mut self) {
        self.is_purged = true;
    }

    fn begin_again(&mut self, head: &LogHead, reason: Unrecovered, now: Timestamp) {
        let refused = std::mem::take(&mut self.refused);
        let (most, earlier) = (self.most, self.window.epoch().clone());
        let (epoch, offset) = (head.position.epoch(), head.position.offset());
        // What the new epoch has had until now is for the subscribers, too.
        let from = if reason == Unrecovered::EpochUnknown { 0 } else { offset };
        let begin = LogHead { position: Position::new(epoch.clone(), from), bounds: head.bounds };
        *self = Self { refused, most, head: offset, acknowledge_at: Some(now), ..Self::new(&begin) };
        self.refuse(&earlier);
    }

    /// The Group could not be asked. It can be asked again.
    pub fn fetch_failed(&mut self) {
        self.fetching = None;
    }

    /// When the Group has to hear what has come. `None`: it knows.
    pub fn acknowledge_at(&self) -> Option<Timestamp> {
        self.acknowledge_at
    }

    /// What the Group has to hear now: everything up to this position has come.
    pub fn acknowledgement(&mut self, now: Timestamp) -> Option<Position> {
        self.acknowledge_at.take_if(|at| *at <= now).map(|_| self.window.position())
    }

    /// What came after the position of a socket that has come back.
    pub fn recover(&mut self, since: &Position, now: Timestamp) -> Recovery {
        let is_unclear = if since.epoch() != self.window.epoch() {
            !self.refused.contains(since.epoch())
        } else if since.offset() >= self.window.next() {
            since.offset() > self.head
        } else {
            self.is_before(since, now) && self.before == Before::Unknown
        };
        if is_unclear { Recovery::AskGroup } else { self.recover_now(since, now) }
    }

    /// Whether only [`Before`] can say what was after a position.
    fn is_before(&self, since: &Position, now: Timestamp) -> bool {
        let first = self.window.first();
        since.offset() + 1 < first && self.window.kept_from(now) == first
    }

    /// What came after the position of a socket that has come back, when the Group was asked after that. Of a position that this Replica
    /// has not come to yet, and the log has, it is nothing so far. The Group has to be asked again if the Replica has
    /// [shrunk](Self::shrink) meanwhile: then its answer may not reach up to what is here.
    pub fn recover_now(&mut self, since: &Position, now: Timestamp) -> Recovery {
        if since.epoch() != self.window.epoch() {
            self.refuse(since.epoch());
            return Recovery::Known(Err(Unrecovered::EpochUnknown));
        }
        if (self.window.next()..=self.head).contains(&since.offset()) {
            return Recovery::Known(Ok(0));
        }
        if !self.is_before(since, now) {
            return Recovery::Known(self.window.recover(since, self.most, now));
        }
        match self.before {
            Before::Unknown => Recovery::AskGroup,
            Before::Expired => Recovery::Known(Err(Unrecovered::Expired)),
            Before::TooMany => Recovery::Known(Err(Unrecovered::GapTooLarge)),
        }
    }

    fn refuse(&mut self, epoch: &LogEpoch) {
        if epoch == self.window.epoch() || self.refused.contains(epoch) {
            return;
        }
        if self.refused.len() >= MAX_REFUSED {
            self.refused.pop_front();
        }
        self.refused.push_back(epoch.clone());
    }

    /// The Group has sent the newest publications, as many as one recovery may replay. If the log has another epoch than the
    /// one that is followed, [`begin_fetch`](Self::begin_fetch) has to clear this up first.
    pub fn fill(&mut self, tail: Tail, now: Timestamp) {
        let Tail { head, first: log_first, publications } = tail;
        if head.position.epoch() != self.window.epoch() {
            self.doubts_epoch = true;
            return;
        }
        self.head = self.head.max(head.position.offset());
        let first = publications.first().map_or(head.position.offset() + 1, |oldest| oldest.offset);
        let next = self.window.next();
        for publication in publications.into_iter().rev() {
            if publication.offset >= next {
                self.put_ahead(publication);
            } else if !self.window.push_older(publication) {
                // It is here already, or there would be a gap.
            }
        }
        if self.window.first() <= first {
            self.before = if first > log_first { Before::TooMany } else { Before::Expired };
        }
        self.limit(now);
    }

    /// Removes publications that the log does not keep any more and that no socket waits for: those before `needed`.
    pub fn expire(&mut self, needed: u64, now: Timestamp) {
        let until = self.window.kept_from(now).min(needed);
        while self.window.first() < until {
            self.window.pop_oldest();
            self.before = Before::Expired;
        }
    }

    /// Removes the oldest publications until no more than this number of bytes are here, because memory is scarce.
    pub fn shrink(&mut self, bytes: usize) {
        while self.window.bytes() > bytes && self.window.pop_oldest().is_some() {
            self.before = Before::Unknown;
        }
    }
}

#[cfg(test)]
mod tests;
