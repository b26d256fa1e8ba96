//! Where each client is, and was (promise 2): [`Clients`].

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::time::Duration;

use dog::{ClientId, ReplicaId, Timestamp};

use super::sweep::sweep;

/// Where a client is to return to, as it is stored when the host shuts down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRecord {
    /// The client.
    pub client: ClientId,
    /// The Replica that it used last.
    pub replica: ReplicaId,
    /// Since when it has had no seat. For a client with a seat: now, because its socket ends with the host.
    pub since: Timestamp,
}

/// The clients that are known: those with seats or tickets, and for some time those without.
#[derive(Debug, Default)]
pub(super) struct Clients {
    known: HashMap<ClientId, Whereabouts>,
    /// When each was left without a seat, in that order, with the number of that departure. Stale entries are skipped.
    departures: VecDeque<(Timestamp, u64, ClientId)>,
    next_departure: u64,
    /// How many sockets each client has on all Replicas together. Ordered, so that pages of it can be read.
    connected: BTreeMap<ClientId, u32>,
    /// Their sum.
    sockets: usize,
}

#[derive(Debug)]
struct Whereabouts {
    /// The Replica that it used last.
    last: ReplicaId,
    /// The Replicas where it has seats or tickets. Nearly always one.
    presences: Vec<Presence>,
    /// The number of its departure, if it has neither. Timestamps may not tell two departures apart.
    departure: Option<u64>,
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

    /// The length of the queue of deadlines, with stale entries.
    #[cfg(test)]
    pub(super) fn queue_length(&self) -> usize {
        self.departures.len()
    }

    /// How many clients have sockets.
    pub(super) fn connected(&self) -> usize {
        self.connected.len()
    }

    /// How many sockets all clients have.
    pub(super) fn sockets(&self) -> usize {
        self.sockets
    }

    /// The clients with sockets after this one, in their order, each with the number of its sockets.
    pub(super) fn connected_after(&self, after: Option<&ClientId>) -> impl Iterator<Item = (&ClientId, u32)> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.connected.range((after, Bound::Unbounded)).map(|(client, sockets)| (client, *sockets))
    }

    /// A client has another number of sockets on one Replica.
    pub(super) fn sockets_changed(&mut self, client: &ClientId, before: u32, after: u32) {
        if before == after {
            return;
        }
        self.sockets = self.sockets + after as usize - before as usize;
        let all = self.connected.get(client).copied().unwrap_or(0) + after - before;
        if all == 0 {
            self.connected.remove(client);
        } else {
            self.connected.insert(client.clone(), all);
        }
    }

    /// The Replica that the client used last.
    pub(super) fn last(&self, client: &ClientId) -> Option<ReplicaId> {
        self.known.get(client).map(|whereabouts| whereabouts.last)
    }

    /// The Replicas where the client has seats or tickets.
    pub(super) fn replicas(&self, client: &ClientId) -> impl Iterator<Item = ReplicaId> + '_ {
        let presences = self.known.get(client).map_or(&[][..], |whereabouts| &whereabouts.presences);
        presences.iter().map(|presence| presence.replica)
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
        self.clean_up(client, now);
    }

    pub(super) fn set_seated(&mut self, client: &ClientId, replica: ReplicaId, seated: bool, now: Timestamp) {
        if seated {
            let whereabouts = self.enter(client, replica);
            // It has come there without a ticket in its name, if it is nowhere else: it was assigned to a socket.
            if whereabouts.presences.is_empty() {
                whereabouts.last = replica;
            }
            whereabouts.presence(replica).seated = true;
        } else if let Some(whereabouts) = self.known.get_mut(client) {
            whereabouts.presence(replica).seated = false;
            self.clean_up(client, now);
        }
    }

    fn enter(&mut self, client: &ClientId, replica: ReplicaId) -> &mut Whereabouts {
        let whereabouts = self.known.entry(client.clone()).or_insert_with(|| Whereabouts {
            last: replica,
            presences: Vec::with_capacity(1),
            departure: None,
        });
        whereabouts.departure = None;
        whereabouts
    }

    /// Removes presences without seat and ticket. If none is left, the client departs.
    fn clean_up(&mut self, client: &ClientId, now: Timestamp) {
        let Some(whereabouts) = self.known.get_mut(client) else { return };
        whereabouts.presences.retain(|presence| presence.seated || presence.tickets > 0);
        if whereabouts.presences.is_empty() && client.is_anonymous() {
            // Nobody can come back under this id.
            self.known.remove(client);
        } else if whereabouts.presences.is_empty() && whereabouts.departure.is_none() {
            let departure = self.next_departure;
            self.next_departure += 1;
            whereabouts.departure = Some(departure);
            self.departures.push_back((now, departure, client.clone()));
            let known = &self.known;
            sweep(&mut self.departures, known.len(), |(_, departure, client)| is_gone(known, client, *departure));
        }
    }

    /// Forgets those that have been without a seat for `grace`.
    pub(super) fn forget(&mut self, now: Timestamp, grace: Duration) {
        while let Some((since, departure, client)) = self.departures.front() {
            if *since + grace > now {
                return;
            }
            // A client that came back and left again has a later entry.
            if is_gone(&self.known, client, *departure) {
                self.known.remove(client);
            }
            self.departures.pop_front();
        }
    }

    /// When the next client is to be forgotten.
    pub(super) fn next_to_forget(&mut self, grace: Duration) -> Option<Timestamp> {
        while let Some((_, departure, client)) = self.departures.front()
            && !is_gone(&self.known, client, *departure)
        {
            self.departures.pop_front();
        }
        self.departures.front().map(|(since, ..)| *since + grace)
    }

    /// All clients: those without a seat in the order of their departures, then the others by name.
    pub(super) fn records(&self, now: Timestamp) -> Vec<ClientRecord> {
        let record = |client: &ClientId, whereabouts: &Whereabouts, since| ClientRecord {
            client: client.clone(),
            replica: whereabouts.last,
            since,
        };
        let departed = self.departures.iter().filter_map(|(since, departure, client)| {
            let whereabouts = self.known.get(client).filter(|whereabouts| whereabouts.departure == Some(*departure))?;
            Some(record(client, whereabouts, *since))
        });
        let mut records: Vec<_> = departed.collect();
        let present_from = records.len();
        let is_present =
            |client: &ClientId, whereabouts: &Whereabouts| whereabouts.departure.is_none() && !client.is_anonymous();
        let present = self.known.iter().filter(|(client, whereabouts)| is_present(client, whereabouts));
        records.extend(present.map(|(client, whereabouts)| record(client, whereabouts, now)));
        records[present_from..].sort_unstable_by(|one, other| one.client.cmp(&other.client));
        records
    }

    /// Restores clients of an earlier life. Those that are known in this life already stay as they are.
    pub(super) fn restore(&mut self, mut records: Vec<ClientRecord>, now: Timestamp) {
        // The clock may have been set back meanwhile. No client is remembered for longer because of it.
        records.iter_mut().for_each(|record| record.since = record.since.min(now));
        records.sort_by_key(|record| record.since);
        for ClientRecord { client, replica, since } in records {
            if !self.known.contains_key(&client) {
                self.enter(&client, replica);
                self.clean_up(&client, since);
            }
        }
    }
}

/// Whether a client has not come back since the departure of that number.
fn is_gone(known: &HashMap<ClientId, Whereabouts>, client: &ClientId, departure: u64) -> bool {
    known.get(client).is_some_and(|whereabouts| whereabouts.departure == Some(departure))
}

impl Whereabouts {
    fn presence(&mut self, replica: ReplicaId) -> &mut Presence {
        let at = self.presences.iter().position(|presence| presence.replica == replica).unwrap_or_else(|| {
            self.presences.push(Presence { replica, seated: false, tickets: 0 });
            self.presences.len() - 1
        });
        &mut self.presences[at]
    }
}
