//! Who has seats on which Replica, and which Replicas take no newcomers: [`SeatRecord`]. Promises 1 and 3.

use std::collections::BTreeMap;
use std::time::Duration;

use dog::{ReplicaId, Timestamp};
use dog_engine::address::Ticket;

/// A ticket has to be valid when it arrives. Its Replica may be activated for so long before it gives the seat.
const ACTIVATED_WITHIN: Duration = Duration::from_secs(11);

/// A life of a Replica.
type ReplicaLife = (ReplicaId, u64);

/// The seats of a run. Part of the [`RunRecord`](crate::record::RunRecord).
#[derive(Debug)]
pub(crate) struct SeatRecord {
    limit: u32,
    lives: BTreeMap<ReplicaLife, LifeSeats>,
    /// Until when the last ticket is valid that says that the Group remembers a client on a Replica.
    remembered: BTreeMap<(ReplicaId, String), Timestamp>,
    /// For which Replica each client has had its last ticket.
    last: BTreeMap<String, ReplicaId>,
}

/// The seats of one life of a Replica.
#[derive(Debug, Default)]
struct LifeSeats {
    /// Requests that are being answered, or whose answers are being read, with their clients if they are known.
    requests: BTreeMap<Option<String>, u32>,
    sockets: u32,
    door: Door,
}

/// Whether a Replica takes newcomers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Door {
    #[default]
    Open,
    Closed,
    /// It was closed and then empty, so it may have been parked since, which opens it.
    Unknown,
}

impl LifeSeats {
    fn requests(&self) -> u32 {
        self.requests.values().sum()
    }

    fn is_empty(&self) -> bool {
        self.sockets == 0 && self.requests() == 0
    }
}

impl SeatRecord {
    pub(crate) fn new(limit: u32) -> Self {
        Self { limit, lives: BTreeMap::new(), remembered: BTreeMap::new(), last: BTreeMap::new() }
    }

    /// A request has a seat. Promise 1.
    pub(crate) fn request_begins(&mut self, life: ReplicaLife, client: Option<&str>) -> Result<(), String> {
        *self.lives.entry(life).or_default().requests.entry(client.map(Into::into)).or_default() += 1;
        self.check_limit(life)
    }

    pub(crate) fn request_ends(&mut self, life: ReplicaLife, client: Option<&str>) {
        self.change(life, |seats| {
            if let Some(requests) = seats.requests.get_mut(&client.map(Into::into)) {
                *requests -= 1;
            }
        });
    }

    /// A socket has a seat. Promise 1.
    pub(crate) fn socket_opens(&mut self, life: ReplicaLife) -> Result<(), String> {
        self.lives.entry(life).or_default().sockets += 1;
        self.check_limit(life)
    }

    pub(crate) fn socket_ends(&mut self, life: ReplicaLife) {
        self.change(life, |seats| seats.sockets -= 1);
    }

    fn change(&mut self, life: ReplicaLife, change: impl FnOnce(&mut LifeSeats)) {
        if let Some(seats) = self.lives.get_mut(&life) {
            change(seats);
            if seats.door == Door::Closed && seats.is_empty() {
                seats.door = Door::Unknown;
            }
        }
    }

    /// For one life. When an old and a new life run at the same time, each keeps the limit by its own count.
    fn check_limit(&self, life: ReplicaLife) -> Result<(), String> {
        let Some(seats) = self.lives.get(&life) else { return Ok(()) };
        let (sockets, requests, limit) = (seats.sockets, seats.requests(), self.limit);
        if sockets + requests <= limit {
            return Ok(());
        }
        Err(format!("{:?} has {sockets} sockets and {requests} requests, the limit is {limit}", life.0))
    }

    /// A life says whether it takes newcomers.
    pub(crate) fn set_door(&mut self, life: ReplicaLife, door: Door) {
        self.change(life, |seats| seats.door = door);
    }

    /// Whether this life takes newcomers.
    pub(crate) fn door(&self, life: ReplicaLife) -> Door {
        self.lives.get(&life).map(|seats| seats.door).unwrap_or_default()
    }

    /// A Group has reserved a seat.
    pub(crate) fn is_reserved(&mut self, ticket: &Ticket) {
        self.last.insert(ticket.client.as_str().into(), ticket.replica);
        if !ticket.newcomer {
            self.remembered.insert((ticket.replica, ticket.client.as_str().into()), ticket.expires);
        }
    }

    /// The Replica for which a client has had its last ticket.
    pub(crate) fn last_reserved(&self, client: &str) -> Option<ReplicaId> {
        self.last.get(client).copied()
    }

    /// Promise 3: a client may have a seat now, which it has not got yet. From the moment on at which a Replica has closed, it
    /// gives seats only to clients that have one there already (`is_here`: a socket), or that its Group remembers there.
    pub(crate) fn check_newcomer(
        &self,
        life: ReplicaLife,
        client: Option<&str>,
        is_here: bool,
        now: Timestamp,
    ) -> Result<(), String> {
        let Some(seats) = self.lives.get(&life).filter(|seats| seats.door == Door::Closed) else { return Ok(()) };
        let has_request = |client: &str| seats.requests.get(&Some(client.into())).is_some_and(|requests| *requests > 0);
        let valid = |client: &str| self.remembered.get(&(life.0, client.into())).copied();
        let is_remembered = |client: &str| valid(client).is_some_and(|until| now < until + ACTIVATED_WITHIN);
        if is_here || client.is_some_and(|client| has_request(client) || is_remembered(client)) {
            return Ok(());
        }
        Err(format!("{:?} is closed, and gives a seat to the newcomer {client:?}", life.0))
    }
}

#[cfg(test)]
mod tests {
    use dog::{ClientId, Epoch};
    use dog_engine::address::TicketId;

    use super::*;

    const LIFE: ReplicaLife = (ReplicaId::from_bytes([7; 32]), 3);

    fn ticket(client: &str, newcomer: bool) -> Ticket {
        let id = TicketId { epoch: Epoch::from_raw(1), number: 1 };
        let client = ClientId::new(client).unwrap();
        Ticket { id, client, replica: LIFE.0, expires: Timestamp::from_millis(1000), newcomer }
    }

    #[test]
    fn more_seats_than_the_limit_are_noticed() {
        let mut seats = SeatRecord::new(2);
        seats.request_begins(LIFE, Some("ann")).unwrap();
        seats.socket_opens(LIFE).unwrap();
        seats.socket_opens(LIFE).unwrap_err();
        seats.socket_ends(LIFE);
        seats.request_ends(LIFE, Some("ann"));
        seats.request_begins(LIFE, None).unwrap();
        seats.request_begins((LIFE.0, 4), None).unwrap();
    }

    #[test]
    fn a_closed_replica_gives_seats_to_those_who_are_known_there() {
        let (mut seats, now) = (SeatRecord::new(9), Timestamp::from_millis(500));
        let check = |seats: &SeatRecord, client, is_here, now| seats.check_newcomer(LIFE, client, is_here, now);
        seats.request_begins(LIFE, Some("ann")).unwrap();
        check(&seats, Some("bea"), false, now).unwrap();
        seats.set_door(LIFE, Door::Closed);
        seats.is_reserved(&ticket("bea", true));
        check(&seats, Some("bea"), false, now).unwrap_err();
        check(&seats, Some("bea"), true, now).unwrap();
        check(&seats, None, false, now).unwrap_err();
        check(&seats, Some("ann"), false, now).unwrap();
        seats.is_reserved(&ticket("bea", false));
        check(&seats, Some("bea"), false, now).unwrap();
        check(&seats, Some("bea"), false, Timestamp::from_millis(60_000)).unwrap_err();
        seats.set_door(LIFE, Door::Open);
        check(&seats, None, false, now).unwrap();
    }

    #[test]
    fn one_that_was_empty_need_not_be_closed_any_more() {
        let mut seats = SeatRecord::new(9);
        seats.socket_opens(LIFE).unwrap();
        seats.set_door(LIFE, Door::Closed);
        seats.socket_opens(LIFE).unwrap();
        seats.socket_ends(LIFE);
        assert_eq!(seats.door(LIFE), Door::Closed);
        seats.socket_ends(LIFE);
        seats.socket_opens(LIFE).unwrap();
        assert_eq!(seats.door(LIFE), Door::Unknown);
        seats.set_door(LIFE, Door::Open);
        assert_eq!(seats.door(LIFE), Door::Open);
    }
}
