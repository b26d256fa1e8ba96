//! Which message each socket must receive next: [`Deliveries`] checks that every message arrives exactly once, in its
//! sender's order, at every recipient and at nobody else, and counts the arrivals. Callers pass the time in.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::latencies::Latencies;
use super::payload::Tag;

/// Who receives a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recipients {
    /// Everyone in the sender's room, including the sender.
    #[default]
    Room,
    /// One socket: the one half of all sockets further on.
    Opposite,
    /// Only the sender.
    Sender,
    /// The first sockets, as many as this says: the subscribers of a topic. Senders are among them.
    Subscribers(usize),
}

impl Recipients {
    /// The socket opposite of another.
    pub fn opposite(number: usize, sockets: usize) -> usize {
        (number + sockets / 2) % sockets
    }
}

/// What the sockets of one load generator must still receive. Socket `i` is in room `i % rooms`; the first sockets are the
/// senders.
pub struct Deliveries {
    sockets: usize,
    rooms: usize,
    recipients: Recipients,
    /// Socket `i` is at node `i % nodes`.
    nodes: usize,
    /// Senders per room, at most.
    senders_per_room: usize,
    /// For each socket and each sender of its room, the sequence number that must arrive next.
    expected: Vec<u32>,
    senders: Vec<Sender>,
    in_flight: usize,
    pending: usize,
    arrivals: Arrivals,
}

#[derive(Default)]
struct Sender {
    next: u32,
    /// Oldest first. Sockets receive a sender's messages in order, so the oldest is the first that all have.
    in_flight: VecDeque<InFlight>,
}

struct InFlight {
    sent: Instant,
    /// Sockets that have not received it yet.
    missing: usize,
}

/// What has arrived, and after how long.
#[derive(Clone, Debug, Default)]
pub struct Arrivals {
    /// Messages times the sockets that received them.
    pub deliveries: u64,
    /// Messages that all recipients have.
    pub messages: u64,
    /// From when a message was sent to each of its deliveries.
    pub each: Latencies,
    /// From when a message was sent to the last of its deliveries.
    pub last: Latencies,
    /// With several nodes: as `each`, where sender and recipient are at the same node.
    pub same_node: Latencies,
    /// With several nodes: as `each`, where sender and recipient are at different nodes.
    pub other_node: Latencies,
    /// Deliveries that were compressed.
    pub compressed: u64,
    /// All bytes that were received.
    pub bytes: u64,
}

impl Arrivals {
    /// Counts a delivery. `is_last`: of its message. `crossed`: from one node to another; `None` with one node.
    fn add(&mut self, latency: Duration, is_last: bool, crossed: Option<bool>) {
        self.each.record(latency);
        self.deliveries += 1;
        if is_last {
            self.last.record(latency);
            self.messages += 1;
        }
        match crossed {
            Some(true) => self.other_node.record(latency),
            Some(false) => self.same_node.record(latency),
            None => {}
        }
    }
}

impl Deliveries {
    /// Nothing was sent yet.
    pub fn new(sockets: usize, senders: usize, rooms: usize, recipients: Recipients) -> Self {
        let senders_per_room = senders.div_ceil(rooms);
        Self {
            sockets,
            rooms,
            recipients,
            nodes: 1,
            senders_per_room,
            expected: vec![0; sockets * senders_per_room],
            senders: (0..senders).map(|_| Sender::default()).collect(),
            in_flight: 0,
            pending: 0,
            arrivals: Arrivals::default(),
        }
    }

    /// Socket `i` is at node `i % nodes`.
    pub fn spread_over(&mut self, nodes: usize) {
        self.nodes = nodes.max(1);
    }

    /// Messages sent so far.
    pub fn sent(&self) -> u64 {
        self.senders.iter().map(|sender| u64::from(sender.next)).sum()
    }

    /// Messages that not all recipients have yet.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Deliveries that have not arrived yet.
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// What has arrived since [`Deliveries::start_count`].
    pub fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }

    /// Counts from zero.
    pub fn start_count(&mut self) {
        self.arrivals = Arrivals::default();
    }

    /// Counts bytes that a socket has read.
    pub fn add_bytes(&mut self, bytes: usize) {
        self.arrivals.bytes += bytes as u64;
    }

    /// Whether `socket` receives the messages of sender `number`.
    fn receives(&self, number: usize, socket: usize) -> bool {
        match self.recipients {
            Recipients::Room => number % self.rooms == socket % self.rooms,
            Recipients::Opposite => socket == Recipients::opposite(number, self.sockets),
            Recipients::Sender => socket == number,
            Recipients::Subscribers(subscribers) => socket < subscribers,
        }
    }

    /// A sender sends its next message: every recipient must receive it from now on.
    ///
    /// # Errors
    /// When a sender has no sequence numbers left, after four billion messages.
    pub fn send(&mut self, number: usize, sent: Instant) -> Result<Tag> {
        let missing = match self.recipients {
            Recipients::Room => (self.sockets - number % self.rooms).div_ceil(self.rooms),
            Recipients::Opposite | Recipients::Sender => 1,
            Recipients::Subscribers(subscribers) => subscribers.min(self.sockets),
        };
        let sender = &mut self.senders[number];
        let tag = Tag { sender: u32::try_from(number)?, sequence: sender.next };
        let Some(next) = sender.next.checked_add(1) else { bail!("sender {number} has sent too many messages") };
        sender.next = next;
        sender.in_flight.push_back(InFlight { sent, missing });
        self.in_flight += 1;
        self.pending += missing;
        Ok(tag)
    }

    /// A socket has received a message.
    ///
    /// # Errors
    /// When it is not the one that must arrive next.
    pub fn arrive(&mut self, socket: usize, tag: Tag, now: Instant) -> Result<()> {
        let number = tag.sender as usize;
        let receives = self.receives(number, socket);
        let Some(sender) = self.senders.get_mut(number).filter(|_| receives) else {
            bail!("socket {socket} received a message that nobody sent to it, {tag:?}");
        };
        let expected = &mut self.expected[socket * self.senders_per_room + number / self.rooms];
        ensure!(
            tag.sequence == *expected && tag.sequence < sender.next,
            "socket {socket} received message {} of sender {number} where {expected} was next",
            tag.sequence
        );
        *expected += 1;
        let first = sender.next as usize - sender.in_flight.len();
        let Some(message) = sender.in_flight.get_mut(tag.sequence as usize - first) else {
            bail!("socket {socket} received a message that everyone has, {tag:?}");
        };
        message.missing -= 1;
        self.pending -= 1;
        let latency = now.duration_since(message.sent);
        let is_last = message.missing == 0;
        if is_last {
            sender.in_flight.pop_front();
            self.in_flight -= 1;
        }
        let crossed = number % self.nodes != socket % self.nodes;
        self.arrivals.add(latency, is_last, (self.nodes > 1).then_some(crossed));
        Ok(())
    }

    /// A socket has received a compressed message. Its tag cannot be read: it counts as the next one of the only sender.
    ///
    /// # Errors
    /// When none can be next.
    pub fn arrive_compressed(&mut self, socket: usize, now: Instant) -> Result<()> {
        ensure!(self.senders.len() == 1, "compressed messages of {} senders cannot be told apart", self.senders.len());
        self.arrivals.compressed += 1;
        self.arrive(socket, Tag { sender: 0, sequence: self.expected[socket] }, now)
    }

    /// Checks that every recipient has every message.
    ///
    /// # Errors
    /// When a message is missing.
    pub fn check_settled(&self) -> Result<()> {
        ensure!(self.in_flight == 0, "{} messages did not reach everyone", self.in_flight);
        for (number, sender) in self.senders.iter().enumerate() {
            let mut recipients = (0..self.sockets).filter(|socket| self.receives(number, *socket));
            let has_all = |socket| self.expected[socket * self.senders_per_room + number / self.rooms] == sender.next;
            ensure!(recipients.all(has_all), "a message of sender {number} is missing");
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
        let mut deliveries = Deliveries::new(5, 3, 2, Recipients::Room);
        // Rooms: 0, 2, 4 and 1, 3. Senders: 0 and 2 in the first, 1 in the second.
        let (first, second, other) =
            (deliveries.send(0, now).unwrap(), deliveries.send(2, now).unwrap(), deliveries.send(1, now).unwrap());
        for socket in [0, 2, 4] {
            assert!(deliveries.check_settled().is_err());
            deliveries.arrive(socket, second, now).unwrap();
            deliveries.arrive(socket, first, now).unwrap();
        }
        assert_eq!((deliveries.in_flight, deliveries.pending), (1, 2));
        assert_eq!((deliveries.arrivals.messages, deliveries.arrivals.deliveries), (2, 6));
        deliveries.arrive(1, other, now).unwrap();
        deliveries.arrive(3, other, now).unwrap();
        deliveries.check_settled().unwrap();
    }

    #[test]
    fn latencies_within_a_node_and_between_nodes_are_counted_apart() {
        let (sent, second) = (Instant::now(), Duration::from_secs(1));
        let mut deliveries = Deliveries::new(3, 2, 1, Recipients::Room);
        deliveries.spread_over(2);
        let tag = deliveries.send(1, sent).unwrap();
        for (socket, seconds) in [(0, 1), (1, 5), (2, 3)] {
            deliveries.arrive(socket, tag, sent + second * seconds).unwrap();
        }
        let about = |time: Duration, seconds| time.abs_diff(second * seconds) < second / 8;
        assert!(
            about(deliveries.arrivals.same_node.quantile(1.0), 5)
                && about(deliveries.arrivals.same_node.quantile(0.0), 5)
        );
        assert!(
            about(deliveries.arrivals.other_node.quantile(1.0), 3)
                && about(deliveries.arrivals.other_node.quantile(0.0), 1)
        );
        assert_eq!(deliveries.sent(), 1);
    }

    #[test]
    fn doubled_reordered_misdirected_and_invented_messages_are_found() {
        let now = Instant::now();
        let mut deliveries = Deliveries::new(4, 2, 2, Recipients::Room);
        let (first, second) = (deliveries.send(0, now).unwrap(), deliveries.send(0, now).unwrap());
        assert!(deliveries.arrive(0, second, now).is_err());
        deliveries.arrive(0, first, now).unwrap();
        assert!(deliveries.arrive(0, first, now).is_err());
        assert!(deliveries.arrive(1, first, now).is_err());
        deliveries.arrive(0, second, now).unwrap();
        assert!(deliveries.arrive(0, Tag { sender: 0, sequence: 2 }, now).is_err());
        assert!(deliveries.arrive(0, Tag { sender: 2, sequence: 0 }, now).is_err());
    }

    #[test]
    fn one_recipient_is_the_opposite_socket_or_the_sender() {
        let now = Instant::now();
        let mut deliveries = Deliveries::new(6, 2, 1, Recipients::Opposite);
        let tag = deliveries.send(1, now).unwrap();
        assert!(deliveries.arrive(1, tag, now).is_err());
        deliveries.arrive(4, tag, now).unwrap();
        deliveries.check_settled().unwrap();
        let mut deliveries = Deliveries::new(6, 2, 1, Recipients::Sender);
        let tag = deliveries.send(1, now).unwrap();
        assert!(deliveries.arrive(4, tag, now).is_err());
        deliveries.arrive(1, tag, now).unwrap();
        deliveries.check_settled().unwrap();
    }

    #[test]
    fn subscribers_are_the_first_sockets() {
        let now = Instant::now();
        let mut deliveries = Deliveries::new(6, 2, 1, Recipients::Subscribers(3));
        let tag = deliveries.send(1, now).unwrap();
        assert!(deliveries.arrive(3, tag, now).is_err());
        (0..3).for_each(|socket| deliveries.arrive(socket, tag, now).unwrap());
        deliveries.check_settled().unwrap();
        assert_eq!(deliveries.arrivals.messages, 1);
    }

    #[test]
    fn a_compressed_message_is_the_next_one() {
        let now = Instant::now();
        let mut deliveries = Deliveries::new(2, 1, 1, Recipients::Room);
        deliveries.send(0, now).unwrap();
        deliveries.arrive_compressed(0, now).unwrap();
        assert!(deliveries.arrive_compressed(0, now).is_err());
        deliveries.arrive_compressed(1, now).unwrap();
        deliveries.check_settled().unwrap();
    }
}
