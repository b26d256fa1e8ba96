//! The tickets of one life of a Group: [`Tickets`].

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use dog::{ClientId, Epoch, ReplicaId, Timestamp};

use super::sweep::sweep;
use crate::address::{Ticket, TicketId};

/// How much longer than the Replica the Group counts a ticket: the report that a ticket was taken in its last moment may be on
/// its way.
const MARGIN: Duration = Duration::from_secs(5);

/// The valid tickets.
#[derive(Debug)]
pub(super) struct Tickets {
    epoch: Epoch,
    lifetime: Duration,
    valid: HashMap<TicketId, Reservation>,
    /// In the order of expiry, which is the order of issue, because all live equally long. Stale entries are skipped.
    expiries: VecDeque<(Timestamp, TicketId)>,
    next: u64,
}

/// The seat that a ticket reserves.
#[derive(Debug)]
pub(super) struct Reservation {
    pub(super) replica: ReplicaId,
    pub(super) client: ClientId,
}

impl Tickets {
    pub(super) fn new(epoch: Epoch, lifetime: Duration) -> Self {
        Self { epoch, lifetime, valid: HashMap::new(), expiries: VecDeque::new(), next: 0 }
    }

    /// For tickets that are issued from now on.
    pub(super) fn set_lifetime(&mut self, lifetime: Duration) {
        self.lifetime = lifetime;
    }

    pub(super) fn len(&self) -> usize {
        self.valid.len()
    }

    pub(super) fn is_valid(&self, ticket: TicketId) -> bool {
        self.valid.contains_key(&ticket)
    }

    /// The length of the queue of deadlines, with stale entries.
    #[cfg(test)]
    pub(super) fn queue_length(&self) -> usize {
        self.expiries.len()
    }

    pub(super) fn issue(&mut self, client: &ClientId, replica: ReplicaId, newcomer: bool, now: Timestamp) -> Ticket {
        let id = TicketId { epoch: self.epoch, number: self.next };
        self.next += 1;
        let expires = now + self.lifetime;
        self.valid.insert(id, Reservation { replica, client: client.clone() });
        self.expiries.push_back((expires + MARGIN, id));
        let valid = &self.valid;
        sweep(&mut self.expiries, valid.len(), |(_, id)| valid.contains_key(id));
        Ticket { id, replica, client: client.clone(), expires, newcomer }
    }

    /// The ticket is used, released or expired.
    pub(super) fn remove(&mut self, ticket: TicketId) -> Option<Reservation> {
        self.valid.remove(&ticket)
    }

    pub(super) fn of_replica(&self, replica: ReplicaId) -> Vec<TicketId> {
        let tickets = self.valid.iter().filter(|(_, reservation)| reservation.replica == replica);
        tickets.map(|(id, _)| *id).collect()
    }

    /// One ticket that has expired. It has to be [removed](Self::remove).
    pub(super) fn next_expired(&mut self, now: Timestamp) -> Option<TicketId> {
        let (expires, ticket) = self.expiries.front().copied()?;
        if expires > now {
            return None;
        }
        self.expiries.pop_front();
        Some(ticket)
    }

    /// When the next ticket expires.
    pub(super) fn next_expiry(&mut self) -> Option<Timestamp> {
        while let Some((_, ticket)) = self.expiries.front()
            && !self.valid.contains_key(ticket)
        {
            self.expiries.pop_front();
        }
        self.expiries.front().map(|(expires, _)| *expires)
    }
}
