//! Who is owed which message, and whether it came: exactly once, in its sender's order, to everyone in the room and to
//! nobody else. Pure but for the times it is told.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::frame::Tag;
use crate::histogram::Histogram;

/// Who is to get a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Everyone in the sender's room, the sender too.
    #[default]
    Room,
    /// The one that stands across: with half of all sockets between it and the sender.
    Across,
    /// The sender.
    Sender,
}

impl Reach {
    /// The socket that stands across.
    pub fn across(number: usize, sockets: usize) -> usize {
        (number + sockets / 2) % sockets
    }
}

/// The books of one crowd. Socket number `i` is in room `i % rooms`, and the first so many sockets are the senders.
pub struct Ledger {
    sockets: usize,
    rooms: usize,
    reach: Reach,
    /// Socket number `i` is at node `i % nodes`.
    nodes: usize,
    /// The most senders that one room has.
    senders_a_room: usize,
    /// For each socket and each sender of its room, the number of the message that must come next.
    expected: Vec<u32>,
    senders: Vec<Sender>,
    /// Messages that not everyone has yet.
    pub in_flight: usize,
    /// Deliveries that are owed.
    pub owed: usize,
    /// What has been counted since [`Ledger::start_count`].
    pub count: Count,
}

#[derive(Default)]
struct Sender {
    next: u32,
    /// Oldest first. As each socket gets a sender's messages in order, the oldest is the first that all have.
    in_flight: VecDeque<InFlight>,
}

struct InFlight {
    sent: Instant,
    /// How many sockets do not have it yet.
    missing: usize,
}

/// What has arrived, and how long that took.
#[derive(Clone, Debug, Default)]
pub struct Count {
    /// Messages times the sockets that got them.
    pub deliveries: u64,
    /// Messages that all have.
    pub messages: u64,
    /// From the sending of a message until a socket had it.
    pub each: Histogram,
    /// From the sending of a message until all had it.
    pub last: Histogram,
    /// Of several nodes: as `each`, where sender and receiver are at the same one.
    pub within: Histogram,
    /// The same, where they are at two.
    pub across: Histogram,
    /// How many of the deliveries came compressed.
    pub compressed: u64,
    /// All bytes that came.
    pub bytes: u64,
}

impl Count {
    /// A delivery, whether it was the last of its message, and, of several nodes, whether it was to another one.
    fn take(&mut self, took: Duration, is_last: bool, is_across: Option<bool>) {
        self.each.record(took);
        self.deliveries += 1;
        if is_last {
            self.last.record(took);
            self.messages += 1;
        }
        match is_across {
            Some(true) => self.across.record(took),
            Some(false) => self.within.record(took),
            None => {}
        }
    }
}

impl Ledger {
    /// Nothing is owed yet.
    pub fn new(sockets: usize, senders: usize, rooms: usize, reach: Reach) -> Self {
        let senders_a_room = senders.div_ceil(rooms);
        Self {
            sockets,
            rooms,
            reach,
            nodes: 1,
            senders_a_room,
            expected: vec![0; sockets * senders_a_room],
            senders: (0..senders).map(|_| Sender::default()).collect(),
            in_flight: 0,
            owed: 0,
            count: Count::default(),
        }
    }

    /// The sockets are at so many nodes, in turn.
    pub fn spread_over(&mut self, nodes: usize) {
        self.nodes = nodes.max(1);
    }

    /// How many messages were sent so far.
    pub fn sent(&self) -> u64 {
        self.senders.iter().map(|sender| u64::from(sender.next)).sum()
    }

    /// Counts from here on.
    pub fn start_count(&mut self) {
        self.count = Count::default();
    }

    /// Whether the messages of sender `number` are for `socket`.
    fn reaches(&self, number: usize, socket: usize) -> bool {
        match self.reach {
            Reach::Room => number % self.rooms == socket % self.rooms,
            Reach::Across => socket == Reach::across(number, self.sockets),
            Reach::Sender => socket == number,
        }
    }

    /// From now on everyone whom the sender reaches is owed this message.
    ///
    /// # Errors
    /// When a sender has no numbers left, after four billion messages.
    pub fn send(&mut self, number: usize, sent: Instant) -> Result<Tag> {
        let missing = match self.reach {
            Reach::Room => (self.sockets - number % self.rooms).div_ceil(self.rooms),
            Reach::Across | Reach::Sender => 1,
        };
        let sender = &mut self.senders[number];
        let tag = Tag { sender: u32::try_from(number)?, sequence: sender.next };
        let Some(next) = sender.next.checked_add(1) else { bail!("sender {number} has sent too many messages") };
        sender.next = next;
        sender.in_flight.push_back(InFlight { sent, missing });
        self.in_flight += 1;
        self.owed += missing;
        Ok(tag)
    }

    /// A socket has got a message.
    ///
    /// # Errors
    /// When it is not the one that must come next.
    pub fn arrive(&mut self, socket: usize, tag: Tag, now: Instant) -> Result<()> {
        let number = tag.sender as usize;
        let reached = self.reaches(number, socket);
        let Some(sender) = self.senders.get_mut(number).filter(|_| reached) else {
            bail!("socket {socket} got a message for others or of nobody, {tag:?}");
        };
        let expected = &mut self.expected[socket * self.senders_a_room + number / self.rooms];
        ensure!(
            tag.sequence == *expected && tag.sequence < sender.next,
            "socket {socket} got message {} of sender {number} where {expected} was due",
            tag.sequence
        );
        *expected += 1;
        let first = sender.next as usize - sender.in_flight.len();
        let Some(message) = sender.in_flight.get_mut(tag.sequence as usize - first) else {
            bail!("socket {socket} got a message that everyone has, {tag:?}");
        };
        message.missing -= 1;
        self.owed -= 1;
        let took = now.duration_since(message.sent);
        let is_last = message.missing == 0;
        if is_last {
            sender.in_flight.pop_front();
            self.in_flight -= 1;
        }
        let is_across = number % self.nodes != socket % self.nodes;
        self.count.take(took, is_last, (self.nodes > 1).then_some(is_across));
        Ok(())
    }

    /// A socket has got a message whose tag cannot be seen: the one that must come next, of the only sender.
    ///
    /// # Errors
    /// When none is due.
    pub fn arrive_compressed(&mut self, socket: usize, now: Instant) -> Result<()> {
        ensure!(self.senders.len() == 1, "whose message is it? There are {} senders", self.senders.len());
        self.count.compressed += 1;
        self.arrive(socket, Tag { sender: 0, sequence: self.expected[socket] }, now)
    }

    /// Checks that everyone has everything.
    ///
    /// # Errors
    /// When somebody is owed a message.
    pub fn check_settled(&self) -> Result<()> {
        ensure!(self.in_flight == 0, "{} messages did not reach everyone", self.in_flight);
        for (number, sender) in self.senders.iter().enumerate() {
            let mut reached = (0..self.sockets).filter(|socket| self.reaches(number, *socket));
            let has_all = |socket| self.expected[socket * self.senders_a_room + number / self.rooms] == sender.next;
            ensure!(reached.all(has_all), "somebody is owed a message of sender {number}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_done_when_all_of_its_room_have_it() {
        let now = Instant::now();
        let mut ledger = Ledger::new(5, 3, 2, Reach::Room);
        // Rooms: 0, 2, 4 and 1, 3. Senders: 0 and 2 in the first, 1 in the second.
        let (first, second, other) =
            (ledger.send(0, now).unwrap(), ledger.send(2, now).unwrap(), ledger.send(1, now).unwrap());
        for socket in [0, 2, 4] {
            assert!(ledger.check_settled().is_err());
            ledger.arrive(socket, second, now).unwrap();
            ledger.arrive(socket, first, now).unwrap();
        }
        assert_eq!((ledger.in_flight, ledger.owed), (1, 2));
        assert_eq!((ledger.count.messages, ledger.count.deliveries), (2, 6));
        ledger.arrive(1, other, now).unwrap();
        ledger.arrive(3, other, now).unwrap();
        ledger.check_settled().unwrap();
    }

    #[test]
    fn of_several_nodes_it_is_told_who_was_at_the_same() {
        let (sent, second) = (Instant::now(), Duration::from_secs(1));
        let mut ledger = Ledger::new(3, 2, 1, Reach::Room);
        ledger.spread_over(2);
        let tag = ledger.send(1, sent).unwrap();
        for (socket, seconds) in [(0, 1), (1, 5), (2, 3)] {
            ledger.arrive(socket, tag, sent + second * seconds).unwrap();
        }
        let about = |time: Duration, seconds| time.abs_diff(second * seconds) < second / 8;
        assert!(about(ledger.count.within.quantile(1.0), 5) && about(ledger.count.within.quantile(0.0), 5));
        assert!(about(ledger.count.across.quantile(1.0), 3) && about(ledger.count.across.quantile(0.0), 1));
        assert_eq!(ledger.sent(), 1);
    }

    #[test]
    fn doubled_reordered_misdirected_and_invented_messages_are_found() {
        let now = Instant::now();
        let mut ledger = Ledger::new(4, 2, 2, Reach::Room);
        let (first, second) = (ledger.send(0, now).unwrap(), ledger.send(0, now).unwrap());
        assert!(ledger.arrive(0, second, now).is_err());
        ledger.arrive(0, first, now).unwrap();
        assert!(ledger.arrive(0, first, now).is_err());
        assert!(ledger.arrive(1, first, now).is_err());
        ledger.arrive(0, second, now).unwrap();
        assert!(ledger.arrive(0, Tag { sender: 0, sequence: 2 }, now).is_err());
        assert!(ledger.arrive(0, Tag { sender: 2, sequence: 0 }, now).is_err());
    }

    #[test]
    fn who_stands_across_or_sends_is_reached_alone() {
        let now = Instant::now();
        let mut ledger = Ledger::new(6, 2, 1, Reach::Across);
        let tag = ledger.send(1, now).unwrap();
        assert!(ledger.arrive(1, tag, now).is_err());
        ledger.arrive(4, tag, now).unwrap();
        ledger.check_settled().unwrap();
        let mut ledger = Ledger::new(6, 2, 1, Reach::Sender);
        let tag = ledger.send(1, now).unwrap();
        assert!(ledger.arrive(4, tag, now).is_err());
        ledger.arrive(1, tag, now).unwrap();
        ledger.check_settled().unwrap();
    }

    #[test]
    fn a_compressed_message_is_the_next_one() {
        let now = Instant::now();
        let mut ledger = Ledger::new(2, 1, 1, Reach::Room);
        ledger.send(0, now).unwrap();
        ledger.arrive_compressed(0, now).unwrap();
        assert!(ledger.arrive_compressed(0, now).is_err());
        ledger.arrive_compressed(1, now).unwrap();
        ledger.check_settled().unwrap();
    }
}
