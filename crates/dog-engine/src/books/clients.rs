//! Where each client is, and was.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use dog::{ClientId, ReplicaId, Timestamp};

use super::sweep;

/// What the Group remembers of clients: those with seats or tickets, and for a grace time those without.
#[derive(Debug, Default)]
pub(super) struct Clients {
    known: HashMap<ClientId, Whereabouts>,
    /// When each was left without a seat, in that order; those that came back are passed over.
    leaving: VecDeque<(Timestamp, ClientId)>,
}

#[derive(Debug)]
struct Whereabouts {
    /// Where it went last.
    last: ReplicaId,
    /// Where it has seats or tickets, and how many tickets. Nearly always one.
    places: Vec<Presence>,
    /// Since when it has neither.
    idle_since: Option<Timestamp>,
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
            idle_since: None,
        });
        whereabouts.idle_since = None;
        whereabouts
    }

    /// Drops places that are empty, and notes since when there is none at all.
    fn settle(&mut self, client: &ClientId, now: Timestamp) {
        let Some(whereabouts) = self.known.get_mut(client) else { return };
        whereabouts.places.retain(|presence| presence.seated || presence.tickets > 0);
        if whereabouts.places.is_empty() && whereabouts.idle_since.is_none() {
            whereabouts.idle_since = Some(now);
            self.leaving.push_back((now, client.clone()));
            let known = &self.known;
            sweep(&mut self.leaving, known.len(), |(since, client)| {
                known.get(client).is_some_and(|whereabouts| whereabouts.idle_since == Some(*since))
            });
        }
    }

    /// Forgets those that have been without a seat for `grace`.
    pub(super) fn forget(&mut self, now: Timestamp, grace: Duration) {
        while let Some((since, client)) = self.leaving.front() {
            if *since + grace > now {
                return;
            }
            // One that came back and left again stands further behind with a later time.
            if self.known.get(client).is_some_and(|whereabouts| whereabouts.idle_since == Some(*since)) {
                self.known.remove(client);
            }
            self.leaving.pop_front();
        }
    }

    /// When the next one is to be forgotten.
    pub(super) fn next_deadline(&self, grace: Duration) -> Option<Timestamp> {
        self.leaving.front().map(|(since, _)| *since + grace)
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
