//! A Replica's books: who has which seat, and what its Group has not acknowledged. Pure.
//!
//! - this file: [`Seats`], requests and tickets
//! - `sockets`: the open sockets, dense for fan-out
//! - `unreported`: what a report repeats until it is acknowledged

mod sockets;
mod unreported;

use std::collections::HashMap;
use std::fmt;

use dog::{ClientId, Epoch, Limit, ReplicaId, SocketId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::address::{NodeId, SeatId, Ticket, TicketId};
use crate::message::{Report, SeatCount};

use sockets::OpenSockets;
use unreported::Unreported;

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
    sockets: OpenSockets,
    clients: HashMap<ClientId, ClientSeats>,
    /// Used tickets, until they would have expired: each can be used once.
    used: HashMap<TicketId, Timestamp>,
    unreported: Unreported,
}

#[derive(Debug, Default)]
struct ClientSeats {
    sockets: Vec<SocketId>,
    requests: u32,
}

impl ClientSeats {
    fn count(&self) -> SeatCount {
        let sockets = count(self.sockets.len());
        SeatCount { seats: sockets + self.requests, sockets }
    }
}

/// All open sockets of a Replica. Two audiences with the same Replica, epoch and number of changes have the same sockets.
#[derive(Clone, Copy, Debug)]
pub struct Audience<'a> {
    /// The Replica.
    pub replica: ReplicaId,
    /// Its life.
    pub epoch: Epoch,
    /// How often the sockets have changed in this life.
    pub changes: u64,
    /// The sockets.
    pub sockets: &'a [SocketId],
}

/// Why a ticket gets no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// It has expired.
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
    /// No seat is taken.
    pub fn new(replica: ReplicaId, epoch: Epoch, limit: Limit) -> Self {
        Self {
            replica,
            epoch,
            node: NodeId::default(),
            limit,
            next_seat: 0,
            requests: HashMap::new(),
            sockets: OpenSockets::default(),
            clients: HashMap::new(),
            used: HashMap::new(),
            unreported: Unreported::default(),
        }
    }

    /// The same on this node.
    #[must_use]
    pub fn at(self, node: NodeId) -> Self {
        Self { node, ..self }
    }

    /// The Group tells the number of seats. If more are taken, they stay taken, and no more are given.
    pub fn set_limit(&mut self, limit: Limit) {
        self.limit = limit;
    }

    /// Seats taken: open sockets and requests in flight.
    pub fn occupied(&self) -> u32 {
        count(self.sockets.all().len()) + count(self.requests.len())
    }

    /// A request has come with a ticket.
    ///
    /// # Errors
    /// When the ticket is not valid, or no seat is free. Never more seats are given than the limit, whatever the Group
    /// believes.
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
        self.unreported.client_changed(&ticket.client);
        self.unreported.ticket_used(ticket.id);
        Ok(seat)
    }

    /// Removes used tickets that have expired, each time the map is about to grow. So each ticket is visited a bounded number
    /// of times.
    fn forget_used(&mut self, now: Timestamp) {
        if self.used.len() >= 64 && self.used.len() == self.used.capacity() {
            self.used.retain(|_, expires| *expires > now);
        }
    }

    /// The request has ended, or its connection never came. Returns `false` if the seat was free before.
    pub fn release(&mut self, seat: SeatId) -> bool {
        let Some(client) = self.requests.remove(&seat) else { return false };
        if let Some(seats) = self.clients.get_mut(&client) {
            seats.requests -= 1;
        }
        self.left(&client);
        true
    }

    /// The connection of the request has become a socket, which has the seat from now on.
    pub fn open(&mut self, seat: SeatId, socket: SocketId) -> Option<ClientId> {
        let client = self.requests.remove(&seat)?;
        self.sockets.insert(socket, client.clone());
        let seats = self.clients.entry(client.clone()).or_default();
        seats.requests -= 1;
        seats.sockets.push(socket);
        self.unreported.client_changed(&client);
        Some(client)
    }

    /// The client of a socket has become known. The socket keeps its seat. Returns the number of the change, or `None` if the
    /// socket is not open.
    pub fn assign(&mut self, socket: SocketId, client: &ClientId) -> Option<u64> {
        let before = self.sockets.set_client(socket, client.clone())?;
        if let Some(seats) = self.clients.get_mut(&before) {
            seats.sockets.retain(|other| *other != socket);
        }
        self.left(&before);
        self.clients.entry(client.clone()).or_default().sockets.push(socket);
        self.unreported.client_changed(client);
        Some(self.unreported.sequence())
    }

    /// Whether the Group has acknowledged the change with this number.
    pub fn is_acknowledged(&self, change: u64) -> bool {
        self.unreported.is_acknowledged(change)
    }

    /// A socket of the life before is still open, and has a seat in this one.
    pub fn reopen(&mut self, socket: SocketId, client: &ClientId) {
        self.sockets.insert(socket, client.clone());
        self.clients.entry(client.clone()).or_default().sockets.push(socket);
        self.unreported.client_changed(client);
    }

    /// The client of a request in flight.
    pub fn client_of(&self, seat: SeatId) -> Option<&ClientId> {
        self.requests.get(&seat)
    }

    /// The socket has ended. Returns its client, or `None` if the socket had ended before.
    pub fn close(&mut self, socket: SocketId) -> Option<ClientId> {
        let client = self.sockets.remove(socket)?;
        if let Some(seats) = self.clients.get_mut(&client) {
            seats.sockets.retain(|other| *other != socket);
        }
        self.left(&client);
        Some(client)
    }

    fn left(&mut self, client: &ClientId) {
        if self.clients.get(client).is_some_and(|seats| seats.count().seats == 0) {
            self.clients.remove(client);
        }
        self.unreported.client_changed(client);
    }

    /// The open sockets.
    pub fn sockets(&self) -> &[SocketId] {
        self.sockets.all()
    }

    /// The open sockets, with what tells whether they are still the same.
    pub fn audience(&self) -> Audience<'_> {
        let (changes, sockets) = (self.sockets.changes(), self.sockets.all());
        Audience { replica: self.replica, epoch: self.epoch, changes, sockets }
    }

    /// The open sockets of one client.
    pub fn sockets_of(&self, client: &ClientId) -> &[SocketId] {
        self.clients.get(client).map_or(&[], |seats| &seats.sockets)
    }

    /// The client of an open socket.
    pub fn client(&self, socket: SocketId) -> Option<&ClientId> {
        self.sockets.client(socket)
    }

    /// What the Group has not acknowledged. `None` if it has acknowledged everything.
    pub fn report(&self) -> Option<Report> {
        self.unreported.any().then(|| Report {
            clients: self.unreported.clients().map(|client| (client.clone(), self.count_of(client))).collect(),
            taken: self.unreported.tickets().collect(),
            ..self.empty_report()
        })
    }

    /// All seats, for a Group that knows nothing.
    pub fn census(&self) -> Report {
        Report {
            clients: self.clients.iter().map(|(client, seats)| (client.clone(), seats.count())).collect(),
            taken: self.used.keys().copied().collect(),
            census: true,
            ..self.empty_report()
        }
    }

    fn empty_report(&self) -> Report {
        Report {
            replica: self.replica,
            epoch: self.epoch,
            node: self.node,
            sequence: self.unreported.sequence(),
            occupied: self.occupied(),
            clients: Vec::new(),
            taken: Vec::new(),
            census: false,
        }
    }

    fn count_of(&self, client: &ClientId) -> SeatCount {
        self.clients.get(client).map(ClientSeats::count).unwrap_or_default()
    }

    /// The Group has acknowledged everything up to `sequence` of this life.
    pub fn acknowledge(&mut self, epoch: Epoch, sequence: u64) {
        if epoch == self.epoch {
            self.unreported.acknowledge(sequence);
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
    fn a_ticket_is_valid_once_in_its_time_and_on_its_replica() {
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
    fn a_socket_that_is_assigned_keeps_its_seat_under_another_client() {
        let mut seats = seats(2);
        let (ann, stranger) = (ClientId::new("ann").unwrap(), ClientId::new("stranger").unwrap());
        for (number, client) in [(1, "stranger"), (2, "ann")] {
            let seat = seats.take(&ticket(number, client), NOW).unwrap();
            seats.open(seat, SocketId::from_raw(number)).unwrap();
        }
        let before = seats.report().unwrap();
        seats.acknowledge(before.epoch, before.sequence);
        let (changes, occupied) = (seats.audience().changes, seats.occupied());
        let change = seats.assign(SocketId::from_raw(1), &ann).unwrap();
        assert_eq!((seats.audience().changes, seats.occupied()), (changes, occupied), "the same sockets are open");
        assert_eq!(seats.client(SocketId::from_raw(1)), Some(&ann));
        assert_eq!((seats.sockets_of(&ann).len(), seats.sockets_of(&stranger).len()), (2, 0));
        let report = seats.report().unwrap();
        let mut clients: Vec<_> = report.clients.iter().map(|(client, _)| client.as_str()).collect();
        clients.sort_unstable();
        assert_eq!(clients, ["ann", "stranger"], "one has more, the other none");
        assert!(!seats.is_acknowledged(change));
        seats.acknowledge(report.epoch, report.sequence);
        assert!(seats.is_acknowledged(change));
        assert_eq!(seats.close(SocketId::from_raw(1)), Some(ann.clone()));
        assert_eq!(seats.assign(SocketId::from_raw(1), &ann), None, "it has ended");
    }

    #[test]
    fn a_report_repeats_what_was_not_acknowledged() {
        let mut seats = seats(9);
        let ann = seats.take(&ticket(1, "ann"), NOW).unwrap();
        let first = seats.report().unwrap();
        seats.take(&ticket(2, "bob"), NOW).unwrap();
        seats.acknowledge(first.epoch, first.sequence);
        let second = seats.report().unwrap();
        assert_eq!(second.clients, [(ClientId::new("bob").unwrap(), SeatCount { seats: 1, sockets: 0 })]);
        assert_eq!(second.taken.len(), 1);
        seats.release(ann);
        let third = seats.report().unwrap();
        assert_eq!(third.clients.len(), 2, "bob was not acknowledged, and ann has left");
        seats.acknowledge(third.epoch, third.sequence);
        assert_eq!(seats.report(), None);
    }

    #[test]
    fn a_socket_that_opens_is_reported_although_it_takes_no_further_seat() {
        let mut seats = seats(9);
        let seat = seats.take(&ticket(1, "ann"), NOW).unwrap();
        let first = seats.report().unwrap();
        seats.open(seat, SocketId::from_raw(1)).unwrap();
        seats.acknowledge(first.epoch, first.sequence);
        let second = seats.report().unwrap();
        assert_eq!(second.clients, [(ClientId::new("ann").unwrap(), SeatCount { seats: 1, sockets: 1 })]);
        assert_eq!((first.occupied, second.occupied), (1, 1));
        assert_eq!(seats.census().clients, second.clients);
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
