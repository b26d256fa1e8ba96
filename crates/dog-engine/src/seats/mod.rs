//! A Replica's books: who has which seat, and what its Group has not acknowledged. Pure.
//!
//! - this file: [`Seats`], requests and tickets
//! - `sockets`: the open sockets, dense for fan-out
//! - `topics`: which socket is subscribed to which topic, and what the Group has to know of it
//! - `unreported`: what a report repeats until it is acknowledged

mod sockets;
#[cfg(test)]
mod tests;
mod topics;
mod unreported;

use std::collections::HashMap;
use std::fmt;

use dog::internal::{Door, Except, Topic, Topics as Feature};
use dog::{ClientId, Epoch, Limit, ReplicaId, SocketId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::address::{NodeId, SeatId, Ticket, TicketId};
use crate::fault_injection::{Fault, is_planted};
use crate::message::{InterestReport, Report, SeatCount};

use sockets::OpenSockets;
use unreported::Unreported;

pub use topics::{InterestRound, Subscribed, Topics};

/// The seats of one Replica in one life.
#[derive(Debug)]
pub struct Seats {
    replica: ReplicaId,
    epoch: Epoch,
    node: NodeId,
    limit: Limit,
    door: Door,
    next_seat: u64,
    /// Requests in flight, and connections that are being handed over.
    requests: HashMap<SeatId, ClientId>,
    sockets: OpenSockets,
    clients: HashMap<ClientId, ClientSeats>,
    /// Used tickets, until they would have expired: each can be used once.
    used: HashMap<TicketId, Timestamp>,
    unreported: Unreported,
    topics: Topics,
    /// When the ticket of the first of the sockets was used. `None`: one of them is of the life before.
    open_since: Option<Timestamp>,
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
    /// The Replica takes no newcomers.
    Closed,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Expired => "the ticket has expired",
            Self::Used => "the ticket was used before",
            Self::Misdirected => "the ticket is for another Replica",
            Self::Full => "all seats of the Replica are taken",
            Self::Closed => "the Replica is closed to newcomers",
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
            door: Door::Open,
            next_seat: 0,
            requests: HashMap::new(),
            sockets: OpenSockets::default(),
            clients: HashMap::new(),
            used: HashMap::new(),
            unreported: Unreported::default(),
            topics: Topics::default(),
            open_since: None,
        }
    }

    /// The Replica.
    pub fn replica(&self) -> ReplicaId {
        self.replica
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

    /// Says whether newcomers may come. Returns whether that has changed.
    pub fn set_door(&mut self, door: Door) -> bool {
        let changes = std::mem::replace(&mut self.door, door) != door;
        if changes {
            self.unreported.changed();
        }
        changes
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
        let is_shut = self.door == Door::Closed && !is_planted(Fault::ClosingIsIgnored);
        if is_shut && ticket.newcomer && !self.clients.contains_key(&ticket.client) {
            return Err(Refusal::Closed);
        }
        if self.sockets.all().is_empty() {
            self.open_since = Some(now);
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

    /// The number of the last change.
    pub fn last_change(&self) -> u64 {
        self.unreported.sequence()
    }

    /// Whether the Group has acknowledged the change with this number.
    pub fn is_acknowledged(&self, change: u64) -> bool {
        self.unreported.is_acknowledged(change)
    }

    /// A socket of the life before is still open, and has a seat in this one.
    pub fn reopen(&mut self, socket: SocketId, client: &ClientId) {
        self.open_since = None;
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
        self.topics.close(socket);
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

    /// The subscribers of a topic, or, without a topic, the open sockets.
    pub fn subscribers(&self, topic: Option<&Topic>) -> &[SocketId] {
        topic.map_or(self.sockets(), |topic| self.topics.subscribers(topic))
    }

    /// Since when a topic has subscribers, or, without a topic, since when there are open sockets. `None` if some are of the life
    /// before.
    pub fn subscribed_since(&self, topic: Option<&Topic>) -> Option<Timestamp> {
        topic.map_or(self.open_since, |topic| self.topics.subscribed_since(topic))
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

    /// The topics of the open sockets.
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// The same, to change them.
    pub fn topics_mut(&mut self) -> &mut Topics {
        &mut self.topics
    }

    /// What the Group has to know of the topics, and has not acknowledged. `None` if it has acknowledged everything.
    pub fn interest(&self) -> Option<(InterestRound, InterestReport)> {
        let feature = Feature::get()?;
        let (round, topics) = self.topics.report()?;
        let InterestRound { sequence, census } = round;
        let (replica, epoch, node) = (self.replica, self.epoch, self.node);
        Some((round, InterestReport { replica, epoch, node, sequence, topics, census, feature }))
    }

    /// The open sockets that a verb leaves out.
    pub fn left_out<'a>(&'a self, except: &'a Except<&ClientId>) -> &'a [SocketId] {
        match except {
            Except::Nobody => &[],
            Except::Client(client) => self.sockets_of(client),
            Except::Socket(socket) => std::slice::from_ref(socket),
        }
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
            door: self.door,
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
