//! What the books decide, case by case. Times are in seconds, Replicas are called `a`, `b`, `c`, and a decision is shown as
//! words: where the client goes, `a` or `a, joining`; or `unpark a`, `grow`, `wait`.

mod membership;
mod per_client;
mod placement;
mod reports;
mod time;

use std::time::Duration;

use dog::internal::Door;
use dog::{ClientId, Epoch, Limit, Policy, ReplicaId, Timestamp};

use super::{Books, Decision, MemberRecord};
use crate::address::{NodeId, Ticket, TicketId};
use crate::message::{Report, SeatCount};

fn replica(name: &str) -> ReplicaId {
    ReplicaId::from_name("room", name)
}

fn name(replica: ReplicaId) -> String {
    let found = ('a'..='z').map(String::from).find(|name| super::tests::replica(name) == replica);
    found.unwrap_or_else(|| format!("{replica:?}"))
}

fn client(name: &str) -> ClientId {
    ClientId::new(name).unwrap()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

/// Tickets are valid for 10 s, and 5 s longer in the books. Clients are known for 30 s. Replicas are parked after 100 s.
fn policy() -> Policy {
    Policy {
        ticket_lifetime: Duration::from_secs(10),
        sticky_for: Duration::from_secs(30),
        park_after: Duration::from_secs(100),
        ..Policy::default()
    }
}

/// The books, the time, and the tickets that were given.
struct Desk {
    books: Books,
    now: Timestamp,
    tickets: Vec<Ticket>,
}

impl Desk {
    /// A new Group whose Replicas have `limit` seats each, with these members, which have joined in their first lives.
    fn new(limit: u32, members: &[&str]) -> Self {
        Self::with_policy(limit, members, policy())
    }

    fn with_policy(limit: u32, members: &[&str], policy: Policy) -> Self {
        let books = Books::new(Epoch::from_raw(1), Limit::new(limit), policy);
        let mut desk = Self { books, now: at(0), tickets: Vec::new() };
        for member in members {
            desk.admit(member);
            desk.join(member, 1);
        }
        desk
    }

    /// The next life of the Group, with the stored members.
    fn restarted(self) -> Self {
        let mut records: Vec<MemberRecord> = self.books.records().collect();
        records.sort_unstable_by_key(|record| name(record.replica));
        let epoch = Epoch::from_raw(self.books.view().version.epoch.as_u64() + 1);
        let books = Books::restore(epoch, self.books.limit(), policy(), records);
        Self { books, now: self.now, tickets: Vec::new() }
    }

    fn admit(&mut self, member: &str) {
        assert!(self.books.admit(replica(member), self.now), "{member} was a member");
    }

    /// `member` joins, in this life and without seats.
    fn join(&mut self, member: &str, epoch: u64) {
        self.books.joined(&census(member, epoch, 0, &[]), self.now);
    }

    /// Time passes to `seconds`. Returns the names of the Replicas that are parked then.
    fn pass_to(&mut self, seconds: u64) -> Vec<String> {
        self.now = at(seconds);
        self.books.advance(self.now).into_iter().map(name).collect()
    }

    fn identify(&mut self, who: &str) -> String {
        self.identify_refused(who, None)
    }

    /// A client that `refused` has refused.
    fn identify_refused(&mut self, who: &str, refused: Option<&str>) -> String {
        let placement = self.books.identify(&client(who), refused.map(replica), self.now);
        self.read(placement)
    }

    /// A client that has reached this node.
    fn identify_near(&mut self, who: &str, near: NodeId) -> String {
        let placement = self.books.identify_near(&client(who), None, near, self.now);
        self.read(placement)
    }

    fn read(&mut self, placement: Decision) -> String {
        match placement {
            Decision::Placed { ticket, joined } => {
                let place = name(ticket.replica);
                self.tickets.push(ticket);
                if joined { place } else { format!("{place}, joining") }
            }
            Decision::Unpark(parked) => format!("unpark {}", name(parked)),
            Decision::Grow => "grow".into(),
            Decision::Wait => "wait".into(),
            Decision::Refuse => "refuse".into(),
        }
    }

    /// The last ticket that was given.
    fn ticket(&self) -> Ticket {
        self.tickets.last().unwrap().clone()
    }

    /// `clients` use the last tickets on `member`, which reports it with this sequence number.
    fn seat(&mut self, member: &str, sequence: u64, clients: &[(&str, u32)]) -> bool {
        let taken: Vec<TicketId> = self.tickets.drain(..).map(|ticket| ticket.id).collect();
        self.report(&Report { taken, ..report(member, 1, sequence, clients) })
    }

    fn report(&mut self, report: &Report) -> bool {
        self.books.report(report, self.now)
    }

    fn seats(&self, member: &str) -> u32 {
        self.books.seats(replica(member))
    }

    /// The Replicas of a client, in the order of their names.
    fn locate(&self, who: &str) -> Vec<String> {
        let mut places: Vec<String> = self.books.locate(&client(who)).into_iter().map(name).collect();
        places.sort_unstable();
        places
    }

    /// The members of the view, in its order.
    fn view(&self) -> Vec<String> {
        self.books.view().members.iter().copied().map(name).collect()
    }
}

/// The count of a client that has sockets and no requests.
fn of_sockets(sockets: u32) -> SeatCount {
    SeatCount { seats: sockets, sockets }
}

/// In this life `member` reports that these clients have changed, and that they have all its seats.
fn report(member: &str, epoch: u64, sequence: u64, clients: &[(&str, u32)]) -> Report {
    Report {
        node: NodeId::default(),
        replica: replica(member),
        epoch: Epoch::from_raw(epoch),
        sequence,
        occupied: clients.iter().map(|(_, seats)| seats).sum(),
        clients: clients.iter().map(|(who, sockets)| (client(who), of_sockets(*sockets))).collect(),
        taken: Vec::new(),
        census: false,
        door: Door::Open,
    }
}

fn census(member: &str, epoch: u64, sequence: u64, clients: &[(&str, u32)]) -> Report {
    Report { census: true, ..report(member, epoch, sequence, clients) }
}
