//! Where each client is, and was.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use dog::{ClientId, ReplicaId, Timestamp};

use super::remembering::ClientRecord;
use super::sweep;

/// What the Group remembers of clients: those with seats or tickets, and for a grace time those without.
#[derive(Debug, Default)]
pub(super) struct Clients {
    known: HashMap<ClientId, Whereabouts>,
    /// When each was left without a seat, in that order, and which leaving it was; those that came back are passed over.
    pub(super) leaving: VecDeque<(Timestamp, u64, ClientId)>,
    next_leaving: u64,
}

#[derive(Debug)]
struct Whereabouts {
    /// Where it went last.
    last: ReplicaId,
    /// Where it has seats or tickets, and how many tickets. Nearly always one.
    places: Vec<Presence>,
    /// If it has neither, which leaving that was: the clock may not tell two of them apart.
    left: Option<u64>,
}

#[derive(Debug)]
struct Presence {
    replica: ReplicaId,
    seated: bool,
    tickets: u32,
}

impl Clients {
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// The Replica that it went to last.
    pub(super) fn last(&self, client: &ClientId) -> Option<ReplicaId> {
        self.known.get(client).map(|whereabouts| whereabouts.last)
    }

    /// All Replicas where it has seats or tickets.
    pub(super) fn places(&self, client: &ClientId) -> impl Iterator<Item = ReplicaId> + '_ {
        let places = self.known.get(client).map_or(&[][..], |whereabouts| &whereabouts.places);
        places.iter().map(|presence| presence.replica)
    }

    pub(super) fn ticket_given(&mut self, client: &ClientId, replica: ReplicaId) {
        let whereabouts = self.enter(client, replica);
        whereabouts.last = replica;
        whereabouts.presence(replica).tickets += 1;
    }

    pub(super) fn ticket_gone(&mut self, client: &ClientId, replica: ReplicaId, now: Timestamp) {
        let Some(whereabouts) = self.known.get_mut(client) else { return };
        let presence = whereabouts.presence(replica);
        presence.tickets = presence.tickets.saturating_sub(1);
        self.settle(client, now);
    }

    pub(super) fn seated(&mut self, client: &ClientId, replica: ReplicaId, seated: bool, now: Timestamp) {
        if seated {
            self.enter(client, replica).presence(replica).seated = true;
        } else if let Some(whereabouts) = self.known.get_mut(client) {
            whereabouts.presence(replica).seated = false;
            self.settle(client, now);
        }
    }

    fn enter(&mut self, client: &ClientId, replica: ReplicaId) -> &mut Whereabouts {
        let whereabouts = self.known.entry(client.clone()).or_insert_with(|| Whereabouts {
            last: replica,
            places: Vec::with_capacity(1),
            left: None,
        });
        whereabouts.left = None;
        whereabouts
    }

    /// Drops places that are empty, and notes since when there is none at all.
    fn settle(&mut self, client: &ClientId, now: Timestamp) {
        let Some(whereabouts) = self.known.get_mut(client) else { return };
        whereabouts.places.retain(|presence| presence.seated || presence.tickets > 0);
        if whereabouts.places.is_empty() && whereabouts.left.is_none() {
            let leaving = self.next_leaving;
            self.next_leaving += 1;
            whereabouts.left = Some(leaving);
            self.leaving.push_back((now, leaving, client.clone()));
            let known = &self.known;
            sweep(&mut self.leaving, known.len(), |(_, leaving, client)| {
                known.get(client).is_some_and(|whereabouts| whereabouts.left == Some(*leaving))
            });
        }
    }

    /// Forgets those that have been without a seat for `grace`.
    pub(super) fn forget(&mut self, now: Timestamp, grace: Duration) {
        while let Some((since, leaving, client)) = self.leaving.front() {
            if *since + grace > now {
                return;
            }
            // One that came back and left again stands further behind.
            if self.known.get(client).is_some_and(|whereabouts| whereabouts.left == Some(*leaving)) {
                self.known.remove(client);
            }
            self.leaving.pop_front();
        }
    }

    /// Drops those that came back from the head of the queue.
    pub(super) fn pass_over(&mut self) {
        while let Some((_, leaving, client)) = self.leaving.front() {
            if self.known.get(client).is_some_and(|whereabouts| whereabouts.left == Some(*leaving)) {
                return;
            }
            self.leaving.pop_front();
        }
    }

    /// All of them: those without a seat in the order in which they left, then the others by name.
    pub(super) fn records(&self, now: Timestamp) -> Vec<ClientRecord> {
        let record = |client: &ClientId, whereabouts: &Whereabouts, since| ClientRecord {
            client: client.clone(),
            replica: whereabouts.last,
            since,
        };
        let left = self.leaving.iter().filter_map(|(since, leaving, client)| {
            let whereabouts = self.known.get(client).filter(|whereabouts| whereabouts.left == Some(*leaving))?;
            Some(record(client, whereabouts, *since))
        });
        let mut records: Vec<_> = left.collect();
        let here = records.len();
        let seated = self.known.iter().filter(|(_, whereabouts)| whereabouts.left.is_none());
        records.extend(seated.map(|(client, whereabouts)| record(client, whereabouts, now)));
        records[here..].sort_unstable_by(|one, other| one.client.cmp(&other.client));
        records
    }

    /// Clients that had a place in an earlier life, and have none yet in this one.
    pub(super) fn restore(&mut self, mut records: Vec<ClientRecord>, now: Timestamp) {
        // The clock may have been put back meanwhile; nobody is remembered for longer because of it.
        records.iter_mut().for_each(|record| record.since = record.since.min(now));
        records.sort_by_key(|record| record.since);
        for ClientRecord { client, replica, since } in records {
            if !self.known.contains_key(&client) {
                self.enter(&client, replica);
                self.settle(&client, since);
            }
        }
    }

    /// When the next one is to be forgotten.
    pub(super) fn next_deadline(&self, grace: Duration) -> Option<Timestamp> {
        self.leaving.front().map(|(since, ..)| *since + grace)
    }
}

impl Whereabouts {
    fn presence(&mut self, replica: ReplicaId) -> &mut Presence {
        let at = self.places.iter().position(|presence| presence.replica == replica).unwrap_or_else(|| {
            self.places.push(Presence { replica, seated: false, tickets: 0 });
            self.places.len() - 1
        });
        &mut self.places[at]
    }
}
