//! A Replica's own books: who sits where, and what the Group has not heard of yet. Pure.

use std::collections::HashMap;
use std::fmt;

use dog::{ClientId, Epoch, Limit, ReplicaId, SocketId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::address::{NodeId, SeatId, Ticket, TicketId};
use crate::message::Report;

/// The seats of one Replica in one life.
#[derive(Debug)]
pub struct Seats {
    replica: ReplicaId,
    epoch: Epoch,
    node: NodeId,
    limit: Limit,
    next_seat: u64,
    /// Requests in flight, and connections that are being handed over.
    requests: HashMap<SeatId, ClientId>,
    sockets: HashMap<SocketId, Place>,
    /// The open sockets, dense, for fan-out.
    open: Vec<SocketId>,
    /// How often they have changed.
    changes: u64,
    clients: HashMap<ClientId, ClientSeats>,
    /// Tickets that were taken, until they would have expired: each is good once.
    used: HashMap<TicketId, Timestamp>,
    sequence: u64,
    /// What the Group may not know yet, by the report that said it first.
    unheard_clients: HashMap<ClientId, u64>,
    unheard_tickets: Vec<(TicketId, u64)>,
    acknowledged: u64,
}

#[derive(Debug)]
struct Place {
    client: ClientId,
    /// Where in `open`.
    at: usize,
}

#[derive(Debug, Default)]
struct ClientSeats {
    sockets: Vec<SocketId>,
    requests: u32,
}

impl ClientSeats {
    fn count(&self) -> u32 {
        count(self.sockets.len()) + self.requests
    }
}

/// All open sockets of a Replica. Two with the same names and numbers have the same sockets.
#[derive(Clone, Copy, Debug)]
pub struct Audience<'a> {
    /// Whose.
    pub replica: ReplicaId,
    /// In which life.
    pub epoch: Epoch,
    /// How often they have changed in this life.
    pub changes: u64,
    /// They.
    pub sockets: &'a [SocketId],
}

/// Why a ticket gets no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// It is past its time.
    Expired,
    /// It was used before.
    Used,
    /// It is for another Replica.
    Misdirected,
    /// All seats are taken.
    Full,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Expired => "the ticket has expired",
            Self::Used => "the ticket was used before",
            Self::Misdirected => "the ticket is for another Replica",
            Self::Full => "all seats of the Replica are taken",
        })
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

impl Seats {
    /// No seat is taken yet.
    pub fn new(replica: ReplicaId, epoch: Epoch, limit: Limit) -> Self {
        Self {
            replica,
            epoch,
            node: NodeId::default(),
            limit,
            next_seat: 0,
            requests: HashMap::new(),
            sockets: HashMap::new(),
            open: Vec::new(),
            changes: 0,
            clients: HashMap::new(),
            used: HashMap::new(),
            sequence: 0,
            unheard_clients: HashMap::new(),
            unheard_tickets: Vec::new(),
            acknowledged: 0,
        }
    }

    /// The same at this node.
    #[must_use]
    pub fn at(self, node: NodeId) -> Self {
        Self { node, ..self }
    }

    /// The Group says how many there are. Fewer than are taken means only that no more are given.
    pub fn set_limit(&mut self, limit: Limit) {
        self.limit = limit;
    }

    /// Seats taken: open sockets and requests in flight.
    pub fn occupied(&self) -> u32 {
        count(self.open.len()) + count(self.requests.len())
    }

    /// A request has come with a ticket.
    ///
    /// # Errors
    /// When the ticket is not good, or when nothing is free: never more than the limit, whatever the Group believes.
    pub fn take(&mut self, ticket: &Ticket, now: Timestamp) -> Result<SeatId, Refusal> {
        if ticket.replica != self.replica {
            return Err(Refusal::Misdirected);
        }
        if ticket.expires <= now {
            return Err(Refusal::Expired);
        }
        if self.used.contains_key(&ticket.id) {
            return Err(Refusal::Used);
        }
        if self.occupied() >= self.limit.get() {
            return Err(Refusal::Full);
        }
        self.forget_used(now);
        self.used.insert(ticket.id, ticket.expires);
        let seat = SeatId(self.next_seat);
        self.next_seat += 1;
        self.requests.insert(seat, ticket.client.clone());
        self.clients.entry(ticket.client.clone()).or_default().requests += 1;
        self.changed(&ticket.client);
        self.unheard_tickets.push((ticket.id, self.sequence));
        Ok(seat)
    }

    /// Drops used tickets that could not be used again anyway, now and then, so that each is looked at a bounded
    /// number of times.
    fn forget_used(&mut self, now: Timestamp) {
        if self.used.len() >= 64 && self.used.len() == self.used.capacity() {
            self.used.retain(|_, expires| *expires > now);
        }
    }

    /// The request has ended, or its connection never came. A seat given back before changes nothing.
    pub fn release(&mut self, seat: SeatId) -> bool {
        let Some(client) = self.requests.remove(&seat) else { return false };
        if let Some(seats) = self.clients.get_mut(&client) {
            seats.requests -= 1;
        }
        self.left(&client);
        true
    }

    /// The request's connection has become a socket, which has the seat from now on.
    pub fn open(&mut self, seat: SeatId, socket: SocketId) -> Option<ClientId> {
        let client = self.requests.remove(&seat)?;
        self.changes += 1;
        self.sockets.insert(socket, Place { client: client.clone(), at: self.open.len() });
        self.open.push(socket);
        let seats = self.clients.entry(client.clone()).or_default();
        seats.requests -= 1;
        seats.sockets.push(socket);
        Some(client)
    }

    /// A socket of the life before is open still, and has a seat in this one.
    pub fn reopen(&mut self, socket: SocketId, client: &ClientId) {
        self.changes += 1;
        self.sockets.insert(socket, Place { client: client.clone(), at: self.open.len() });
        self.open.push(socket);
        self.clients.entry(client.clone()).or_default().sockets.push(socket);
        self.changed(client);
    }

    /// Whose a request in flight is.
    pub fn client_of(&self, seat: SeatId) -> Option<&ClientId> {
        self.requests.get(&seat)
    }

    /// The socket has ended; whose was it? `None` of one that had ended before.
    pub fn close(&mut self, socket: SocketId) -> Option<ClientId> {
        let Place { client, at } = self.sockets.remove(&socket)?;
        self.changes += 1;
        self.open.swap_remove(at);
        if let Some(moved) = self.open.get(at).and_then(|moved| self.sockets.get_mut(moved)) {
            moved.at = at;
        }
        if let Some(seats) = self.clients.get_mut(&client) {
            seats.sockets.retain(|other| *other != socket);
        }
        self.left(&client);
        Some(client)
    }

    fn left(&mut self, client: &ClientId) {
        if self.clients.get(client).is_some_and(|seats| seats.count() == 0) {
            self.clients.remove(client);
        }
        self.changed(client);
    }

    fn changed(&mut self, client: &ClientId) {
        self.sequence += 1;
        self.unheard_clients.insert(client.clone(), self.sequence);
    }

    /// The open sockets.
    pub fn sockets(&self) -> &[SocketId] {
        &self.open
    }

    /// The same, with what tells whether they are still the same.
    pub fn audience(&self) -> Audience<'_> {
        Audience { replica: self.replica, epoch: self.epoch, changes: self.changes, sockets: &self.open }
    }

    /// One client's open sockets.
    pub fn sockets_of(&self, client: &ClientId) -> &[SocketId] {
        self.clients.get(client).map_or(&[], |seats| &seats.sockets)
    }

    /// Whose an open socket is.
    pub fn client(&self, socket: SocketId) -> Option<&ClientId> {
        self.sockets.get(&socket).map(|place| &place.client)
    }

    /// What the Group has not acknowledged, or nothing.
    pub fn report(&self) -> Option<Report> {
        (self.sequence > self.acknowledged).then(|| Report {
            replica: self.replica,
            epoch: self.epoch,
            node: self.node,
            sequence: self.sequence,
            occupied: self.occupied(),
            clients: self.unheard_clients.keys().map(|client| (client.clone(), self.seats_of(client))).collect(),
            taken: self.unheard_tickets.iter().map(|(ticket, _)| *ticket).collect(),
            census: false,
        })
    }

    /// Everything, for a Group that knows nothing.
    pub fn census(&self) -> Report {
        Report {
            replica: self.replica,
            epoch: self.epoch,
            node: self.node,
            sequence: self.sequence,
            occupied: self.occupied(),
            clients: self.clients.iter().map(|(client, seats)| (client.clone(), seats.count())).collect(),
            taken: self.used.keys().copied().collect(),
            census: true,
        }
    }

    fn seats_of(&self, client: &ClientId) -> u32 {
        self.clients.get(client).map_or(0, ClientSeats::count)
    }

    /// The Group has heard all up to `sequence` of this life.
    pub fn acknowledge(&mut self, epoch: Epoch, sequence: u64) {
        if epoch != self.epoch || sequence <= self.acknowledged || sequence > self.sequence {
            return;
        }
        self.acknowledged = sequence;
        if sequence == self.sequence {
            // The common case: nothing has changed since.
            self.unheard_clients.clear();
            self.unheard_tickets.clear();
        } else {
            self.unheard_clients.retain(|_, said| *said > sequence);
            self.unheard_tickets.retain(|(_, said)| *said > sequence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(number: u64, client: &str) -> Ticket {
        Ticket {
            id: crate::address::TicketId { epoch: Epoch::from_raw(1), number },
            replica: ReplicaId::from_name("room", "a"),
            client: ClientId::new(client).unwrap(),
            expires: Timestamp::from_millis(100),
        }
    }

    fn seats(limit: u32) -> Seats {
        Seats::new(ReplicaId::from_name("room", "a"), Epoch::from_raw(1), Limit::new(limit))
    }

    const NOW: Timestamp = Timestamp::from_millis(50);

    #[test]
    fn a_ticket_is_good_once_in_its_time_and_at_its_place() {
        let mut seats = seats(9);
        seats.take(&ticket(1, "ann"), NOW).unwrap();
        assert_eq!(seats.take(&ticket(1, "ann"), NOW), Err(Refusal::Used));
        assert_eq!(seats.take(&ticket(2, "ann"), Timestamp::from_millis(100)), Err(Refusal::Expired));
        let elsewhere = Ticket { replica: ReplicaId::from_name("room", "b"), ..ticket(3, "ann") };
        assert_eq!(seats.take(&elsewhere, NOW), Err(Refusal::Misdirected));
        assert_eq!(seats.occupied(), 1);
    }

    #[test]
    fn never_more_than_the_limit() {
        let mut seats = seats(2);
        let first = seats.take(&ticket(1, "ann"), NOW).unwrap();
        seats.open(first, SocketId::from_raw(7)).unwrap();
        seats.take(&ticket(2, "bob"), NOW).unwrap();
        assert_eq!(seats.take(&ticket(3, "cid"), NOW), Err(Refusal::Full));
        assert_eq!(seats.close(SocketId::from_raw(7)), Some(ClientId::new("ann").unwrap()));
        assert!(seats.take(&ticket(3, "cid"), NOW).is_ok());
    }

    #[test]
    fn closing_twice_or_releasing_twice_changes_nothing() {
        let mut seats = seats(2);
        let seat = seats.take(&ticket(1, "ann"), NOW).unwrap();
        seats.open(seat, SocketId::from_raw(1)).unwrap();
        assert!(!seats.release(seat), "the socket has the seat now");
        assert!(seats.close(SocketId::from_raw(1)).is_some());
        let sequence = seats.census().sequence;
        assert!(seats.close(SocketId::from_raw(1)).is_none());
        assert_eq!((seats.occupied(), seats.census().sequence), (0, sequence));
    }

    #[test]
    fn a_report_repeats_what_was_not_acknowledged() {
        let mut seats = seats(9);
        let ann = seats.take(&ticket(1, "ann"), NOW).unwrap();
        let first = seats.report().unwrap();
        seats.take(&ticket(2, "bob"), NOW).unwrap();
        seats.acknowledge(first.epoch, first.sequence);
        let second = seats.report().unwrap();
        assert_eq!(second.clients, [(ClientId::new("bob").unwrap(), 1)]);
        assert_eq!(second.taken.len(), 1);
        seats.release(ann);
        let third = seats.report().unwrap();
        assert_eq!(third.clients.len(), 2, "bob was not acknowledged, and ann has left");
        seats.acknowledge(third.epoch, third.sequence);
        assert_eq!(seats.report(), None);
    }

    #[test]
    fn sockets_stay_dense_whichever_closes() {
        let mut seats = seats(9);
        for number in 0..5 {
            let seat = seats.take(&ticket(number, "ann"), NOW).unwrap();
            seats.open(seat, SocketId::from_raw(number)).unwrap();
        }
        for (closing, left) in [(0, vec![1, 2, 3, 4]), (4, vec![1, 2, 3]), (2, vec![1, 3])] {
            seats.close(SocketId::from_raw(closing));
            let mut open: Vec<u64> = seats.sockets().iter().map(|socket| socket.raw()).collect();
            open.sort_unstable();
            assert_eq!(open, left);
            let mut hers: Vec<u64> = seats.sockets_of(&ClientId::new("ann").unwrap()).iter().map(|s| s.raw()).collect();
            hers.sort_unstable();
            assert_eq!(hers, left);
        }
    }
}
