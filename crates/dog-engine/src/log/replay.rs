//! A socket that catches up: [`Replay`].

use std::collections::VecDeque;

use dog::internal::{LogEpoch, Position, Unrecovered};

use super::{Missed, Recorded, Window};

/// What a socket that catches up needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayStep {
    /// This publication. It counts as sent.
    Send(Recorded),
    /// The publications after this position, from the Group: the Replica does not keep them any more.
    Fetch(Position),
    /// Nothing: an answer is under way, or the Replica has not come as far as the socket yet.
    Wait,
    /// It has all that its Replica has, and gets what comes like every other subscriber.
    Done,
    /// The publications are lost.
    Lost(Unrecovered),
}

/// A socket that catches up with its Replica, at the pace of its client. What comes meanwhile waits in the Replica's
/// [`Window`], which all sockets share, and is dropped there at its bounds: the socket then goes on from the log.
#[derive(Clone, Debug)]
pub struct Replay {
    epoch: LogEpoch,
    /// The offset of the next publication for the socket.
    next: u64,
    /// From the log.
    page: VecDeque<Recorded>,
    is_fetching: bool,
}

impl Replay {
    /// Replays what came after this position.
    pub fn new(since: &Position) -> Self {
        Self {
            epoch: since.epoch().clone(),
            next: since.offset().saturating_add(1),
            page: VecDeque::new(),
            is_fetching: false,
        }
    }

    /// The offset of the next publication for the socket. The Replica should keep those from there on, as far as it can.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// What the socket has got last.
    pub fn position(&self) -> Position {
        Position::new(self.epoch.clone(), self.next - 1)
    }

    /// What to do next, when the socket has room or when something has come.
    pub fn step(&mut self, window: &Window) -> ReplayStep {
        if *window.epoch() != self.epoch {
            return ReplayStep::Lost(Unrecovered::EpochUnknown);
        }
        if self.next >= window.next() {
            return if self.next == window.next() { ReplayStep::Done } else { ReplayStep::Wait };
        }
        if self.is_fetching {
            return ReplayStep::Wait;
        }
        let of_page = self.page.pop_front().filter(|publication| publication.offset == self.next);
        if let Some(publication) = of_page.or_else(|| window.get(self.next).cloned()) {
            self.next += 1;
            return ReplayStep::Send(publication);
        }
        self.page.clear();
        self.is_fetching = true;
        ReplayStep::Fetch(Position::new(self.epoch.clone(), self.next - 1))
    }

    /// The publication that [`step`](Self::step) has given last was not sent after all.
    pub fn put_back(&mut self, publication: Recorded) {
        self.next = publication.offset;
        self.page.push_front(publication);
    }

    /// The Group has answered what came after `since`. Other answers than the one that is waited for change nothing: they are
    /// for an earlier replay of the same socket.
    ///
    /// # Errors
    /// The publications are lost.
    pub fn fetched(&mut self, since: &Position, missed: Missed) -> Result<(), Unrecovered> {
        if !self.waits_for(since) {
            return Ok(());
        }
        self.is_fetching = false;
        let page = missed.page?;
        if page.publications.first().is_none_or(|first| first.offset != self.next) {
            return Err(Unrecovered::Expired);
        }
        self.page = page.publications.into();
        Ok(())
    }

    /// The Group could not be asked what came after `since`. It can be asked again.
    pub fn fetch_failed(&mut self, since: &Position) {
        if self.waits_for(since) {
            self.is_fetching = false;
        }
    }

    fn waits_for(&self, since: &Position) -> bool {
        self.is_fetching && *since.epoch() == self.epoch && since.offset() + 1 == self.next
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use dog::internal::LogBounds;
    use dog::{Message, Timestamp};

    use super::*;
    use crate::log::{AnswerBounds, LogHead, PageOrder};

    fn position(offset: u64) -> Position {
        Position::new(LogEpoch::new("e").unwrap(), offset)
    }

    fn recorded(offset: u64) -> Recorded {
        Recorded { offset, at: Timestamp::default(), message: Message::text("m"), metadata: Bytes::new() }
    }

    fn window(count: u64) -> Window {
        let bounds = LogBounds { publications: u32::MAX, bytes: u32::MAX, age: Duration::MAX };
        let mut window = Window::new(&LogHead { position: position(0), bounds });
        (1..=count).for_each(|offset| assert!(window.push(recorded(offset))));
        window
    }

    fn sent(replay: &mut Replay, window: &Window) -> (Vec<u64>, ReplayStep) {
        let mut sent = Vec::new();
        loop {
            match replay.step(window) {
                ReplayStep::Send(publication) => sent.push(publication.offset),
                other => return (sent, other),
            }
        }
    }

    #[test]
    fn a_socket_gets_what_it_missed_and_what_came_meanwhile_once() {
        let mut window = window(5);
        let mut replay = Replay::new(&position(2));
        assert_eq!(replay.step(&window), ReplayStep::Send(recorded(3)));
        assert!(window.push(recorded(6)));
        assert_eq!(sent(&mut replay, &window), (vec![4, 5, 6], ReplayStep::Done));
    }

    #[test]
    fn what_was_not_sent_comes_again() {
        let window = window(4);
        let mut replay = Replay::new(&position(1));
        assert_eq!(replay.step(&window), ReplayStep::Send(recorded(2)));
        replay.put_back(recorded(2));
        assert_eq!((replay.next(), sent(&mut replay, &window)), (2, (vec![2, 3, 4], ReplayStep::Done)));
    }

    #[test]
    fn what_the_replica_has_dropped_comes_from_the_log() {
        let (log, mut window) = (window(9), window(9));
        let mut replay = Replay::new(&position(2));
        (0..4).for_each(|_| drop(window.pop_oldest()));
        assert_eq!(replay.step(&window), ReplayStep::Fetch(position(2)));
        assert_eq!(replay.step(&window), ReplayStep::Wait, "one question at a time");
        replay.fetch_failed(&position(1));
        assert_eq!(replay.step(&window), ReplayStep::Wait, "that was another question");
        replay.fetch_failed(&position(2));
        assert_eq!(replay.step(&window), ReplayStep::Fetch(position(2)));
        let most = AnswerBounds { publications: 3, bytes: u32::MAX };
        let page = log.page(Some(&position(2)), PageOrder::OldestFirst, most, Timestamp::default());
        let lost = Missed { head: log.head(), page: Err(Unrecovered::Expired) };
        assert_eq!(replay.fetched(&position(1), lost), Ok(()), "that was another question");
        replay.fetched(&position(2), Missed { head: log.head(), page }).unwrap();
        assert_eq!(sent(&mut replay, &window), (vec![3, 4, 5, 6, 7, 8, 9], ReplayStep::Done));
    }

    #[test]
    fn a_socket_that_is_ahead_of_its_replica_waits() {
        let mut window = window(3);
        let mut replay = Replay::new(&position(4));
        assert_eq!(replay.step(&window), ReplayStep::Wait);
        assert!(window.push(recorded(4)));
        assert_eq!(replay.step(&window), ReplayStep::Done);
    }

    #[test]
    fn what_is_lost_is_said() {
        let mut window = window(3);
        let mut replay = Replay::new(&position(0));
        (0..3).for_each(|_| drop(window.pop_oldest()));
        assert_eq!(replay.step(&window), ReplayStep::Fetch(position(0)));
        let page = Err(Unrecovered::GapTooLarge);
        assert_eq!(replay.fetched(&position(0), Missed { head: window.head(), page }), Err(Unrecovered::GapTooLarge));
        assert_eq!(replay.step(&window), ReplayStep::Fetch(position(0)));
        let empty =
            window.page(Some(&position(3)), PageOrder::OldestFirst, AnswerBounds::RECOVERY, Timestamp::default());
        assert_eq!(
            replay.fetched(&position(0), Missed { head: window.head(), page: empty }),
            Err(Unrecovered::Expired)
        );
        let other = LogHead { position: Position::new(LogEpoch::new("f").unwrap(), 7), ..window.head() };
        assert_eq!(replay.step(&Window::new(&other)), ReplayStep::Lost(Unrecovered::EpochUnknown));
    }
}
