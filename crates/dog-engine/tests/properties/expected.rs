//! The expected content of the books, in its simplest form: the last valid report of each member, the tickets that were
//! given and not removed, and the last Replica of each client.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dog::internal::Door;
use dog::{ClientId, Epoch, ReplicaId, Timestamp};
use dog_engine::address::{Ticket, TicketId};
use dog_engine::message::Report;

use crate::objects::Truth;

/// The books count a ticket for this much longer than the Replica accepts it.
pub(crate) const TICKET_MARGIN: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(crate) struct ExpectedBooks {
    pub(crate) members: BTreeMap<ReplicaId, Believed>,
    pub(crate) tickets: BTreeMap<TicketId, Ticket>,
    pub(crate) clients: BTreeMap<ClientId, Remembered>,
}

/// What the Group is expected to believe of a member.
#[derive(Debug, Default)]
pub(crate) struct Believed {
    pub(crate) epoch: Epoch,
    sequence: u64,
    /// Whether this life of the Group has counted all its seats.
    pub(crate) counted: bool,
    pub(crate) truth: Truth,
    /// The tickets that this life of the Replica has reported as used.
    heard: BTreeSet<TicketId>,
    /// The tickets among them that the books did not count when they were reported.
    orphans: BTreeSet<TicketId>,
}

impl Believed {
    pub(crate) fn occupied(&self) -> usize {
        self.truth.tickets.len()
    }

    /// Returns the number of seats that the books did not know when they reserved others.
    pub(crate) fn unforeseen(&self) -> usize {
        self.truth.tickets.iter().filter(|ticket| self.orphans.contains(ticket)).count()
    }
}

#[derive(Debug)]
pub(crate) struct Remembered {
    pub(crate) last: ReplicaId,
    /// Since when the client has had neither a seat nor a ticket.
    gone: Option<Timestamp>,
}

impl ExpectedBooks {
    pub(crate) fn restart(&mut self, records: impl Iterator<Item = ReplicaId>) {
        *self = Self::default();
        self.members = records.map(|replica| (replica, Believed::default())).collect();
    }

    pub(crate) fn admit(&mut self, replica: ReplicaId) {
        self.members.entry(replica).or_default();
    }

    pub(crate) fn remove(&mut self, replica: ReplicaId) {
        self.members.remove(&replica);
        self.tickets.retain(|_, ticket| ticket.replica != replica);
    }

    pub(crate) fn begin_life(&mut self, replica: ReplicaId, epoch: Epoch) {
        let Some(member) = self.members.get_mut(&replica).filter(|member| member.epoch < epoch) else { return };
        *member = Believed { epoch, counted: member.counted, ..Believed::default() };
    }

    /// Records that the Replica has woken without seats, so its seats are counted.
    pub(crate) fn enrolled(&mut self, replica: ReplicaId, epoch: Epoch) {
        self.admit(replica);
        self.begin_life(replica, epoch);
        if let Some(member) = self.members.get_mut(&replica).filter(|member| member.epoch == epoch) {
            member.counted = true;
        }
    }

    pub(crate) fn lost(&mut self, replica: ReplicaId, epoch: Epoch) {
        self.begin_life(replica, Epoch::from_raw(epoch.as_u64() + 1));
    }

    /// Records a report. Returns whether the books must acknowledge it. `out_of_view` is true for unknown and parked
    /// Replicas.
    pub(crate) fn report(&mut self, report: &Report, truth: &Truth, out_of_view: bool) -> bool {
        self.begin_life(report.replica, report.epoch);
        if self.members.get(&report.replica).is_some_and(|member| report.epoch < member.epoch) {
            return false;
        }
        let empty = report.occupied == 0;
        if out_of_view && !empty {
            self.admit(report.replica);
        }
        let reserved = self.reserved(report.replica) > 0;
        let Some(member) = self.members.get_mut(&report.replica) else { return true };
        if !(member.counted || report.census) {
            // An empty parked Replica is acknowledged, because it is asked for a census when it joins.
            return out_of_view && empty;
        }
        if report.sequence < member.sequence || (report.sequence == member.sequence && !report.census) {
            return true;
        }
        for ticket in &report.taken {
            let known = self.tickets.remove(ticket).is_some();
            if member.heard.insert(*ticket) && !known && (member.counted || reserved) {
                member.orphans.insert(*ticket);
            }
        }
        member.sequence = report.sequence;
        member.truth = truth.clone();
        if out_of_view && empty {
            // It stays parked.
            member.truth.door = Door::Open;
        }
        member.counted = true;
        true
    }

    /// A Replica was parked: it is open when it is used again.
    pub(crate) fn opens(&mut self, replica: ReplicaId) {
        if let Some(member) = self.members.get_mut(&replica) {
            member.truth.door = Door::Open;
        }
    }

    pub(crate) fn give(&mut self, ticket: &Ticket) {
        self.tickets.insert(ticket.id, ticket.clone());
        self.clients.insert(ticket.client.clone(), Remembered { last: ticket.replica, gone: None });
    }

    pub(crate) fn release(&mut self, ticket: TicketId) {
        self.tickets.remove(&ticket);
    }

    /// Removes what expires until `now`.
    pub(crate) fn advance(&mut self, now: Timestamp, sticky_for: Duration) {
        self.tickets.retain(|_, ticket| ticket.expires + TICKET_MARGIN > now);
        self.remember(now);
        self.clients.retain(|_, client| client.gone.is_none_or(|gone| gone + sticky_for > now));
    }

    /// Updates which clients have seats or tickets, and since when the others have none.
    pub(crate) fn remember(&mut self, now: Timestamp) {
        for (replica, member) in &self.members {
            for client in member.truth.clients.keys() {
                let remembered =
                    self.clients.entry(client.clone()).or_insert(Remembered { last: *replica, gone: None });
                // One that was nowhere has come there without a ticket in its name.
                if remembered.gone.is_some() {
                    remembered.last = *replica;
                }
            }
        }
        let here: BTreeSet<ClientId> =
            self.clients.keys().filter(|client| !self.places(client).is_empty()).cloned().collect();
        for (client, remembered) in &mut self.clients {
            if here.contains(client) {
                remembered.gone = None;
            } else {
                remembered.gone.get_or_insert(now);
            }
        }
    }

    /// Returns the Replicas on which a client has seats or tickets.
    pub(crate) fn places(&self, client: &ClientId) -> BTreeSet<ReplicaId> {
        let seated = self.members.iter().filter(|(_, member)| member.truth.clients.contains_key(client));
        let reserved = self.tickets.values().filter(|ticket| ticket.client == *client);
        seated.map(|(replica, _)| *replica).chain(reserved.map(|ticket| ticket.replica)).collect()
    }

    /// Returns how many sockets each client has, if it has any.
    pub(crate) fn sockets(&self) -> BTreeMap<ClientId, u32> {
        let mut sockets = BTreeMap::new();
        for (client, count) in self.members.values().flat_map(|member| &member.truth.sockets) {
            *sockets.entry(client.clone()).or_default() += count;
        }
        sockets
    }

    pub(crate) fn reserved(&self, replica: ReplicaId) -> usize {
        self.tickets.values().filter(|ticket| ticket.replica == replica).count()
    }
}
