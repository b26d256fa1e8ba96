//! Where each client is, and was (promise 2): [`Clients`].

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use dog::{ClientId, ReplicaId, Timestamp};

use super::sweep::sweep;
use crate::message::SeatCount;

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
    /// How many clients have sockets.
    connected: usize,
    /// How many sockets they have.
    sockets: usize,
}

#[derive(Debug)]
struct Whereabouts {
    /// The Replica that it used last.
    last: ReplicaId,
    /// The Replicas where it has seats or tickets. Nearly always one.
    presences: Vec<Presence>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has seats or tickets.
    Present {
        /// Its sockets on all Replicas together.
        sockets: u32,
        /// Its seats on all Replicas together.
        seats: u32,
    },
    /// It has neither. The number of its departure, because timestamps may not tell two departures apart.
    Departed(u64),
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
        self.connected
    }

    /// How many sockets all clients have.
    pub(super) fn sockets(&self) -> usize {
        self.sockets
    }

    /// See [`Books::clients_after`](super::Books::clients_after).
    ///
    /// The clients are not kept in order, because that would cost memory for each. So this goes over all of them, and keeps
    /// the first `limit` and one more.
    pub(super) fn page(&self, after: Option<&ClientId>, limit: usize) -> (Vec<(ClientId, u32)>, bool) {
        let most = limit.saturating_add(1);
        let mut first: Vec<(&ClientId, u32)> = Vec::new();
        for (client, whereabouts) in &self.known {
            let sockets = whereabouts.sockets();
            if sockets == 0 || after.is_some_and(|after| client <= after) {
                continue;
            }
            first.push((client, sockets));
            // Once in `most` times, so it costs as much as going over them.
            if first.len() >= most.saturating_mul(2) {
                first.select_nth_unstable(limit);
                first.truncate(most);
            }
        }
        first.sort_unstable();
        let more = first.len() > limit;
        first.truncate(limit);
        (first.into_iter().map(|(client, sockets)| (client.clone(), sockets)).collect(), more)
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

    /// A client has other seats on one Replica.
    pub(super) fn set_seats(
        &mut self,
        client: &ClientId,
        replica: ReplicaId,
        (before, after): (SeatCount, SeatCount),
        now: Timestamp,
    ) {
        if before == after {
            return;
        }
        if after.seats > 0 {
            let whereabouts = self.enter(client, replica);
            // It has come there without a ticket in its name, if it is nowhere else: it was assigned to a socket.
            if whereabouts.presences.is_empty() {
                whereabouts.last = replica;
            }
            whereabouts.presence(replica).seated = true;
        }
        self.seats_changed(client, before, after);
        if after.seats == 0
            && let Some(whereabouts) = self.known.get_mut(client)
        {
            whereabouts.presence(replica).seated = false;
            self.clean_up(client, now);
        }
    }

    fn seats_changed(&mut self, client: &ClientId, before: SeatCount, after: SeatCount) {
        let Some(State::Present { sockets, seats }) = self.known.get_mut(client).map(|it| &mut it.state) else {
            return;
        };
        let had_any = *sockets > 0;
        *seats = *seats + after.seats - before.seats;
        *sockets = *sockets + after.sockets - before.sockets;
        self.connected = self.connected + usize::from(*sockets > 0) - usize::from(had_any);
        self.sockets = self.sockets + after.sockets as usize - before.sockets as usize;
    }

    /// The seats that the client has, and those that are reserved for it.
    pub(super) fn seats_and_tickets(&self, client: &ClientId) -> u32 {
        let Some(whereabouts) = self.known.get(client) else { return 0 };
        let State::Present { seats, .. } = whereabouts.state else { return 0 };
        whereabouts.presences.iter().fold(seats, |sum, presence| sum.saturating_add(presence.tickets))
    }

    fn enter(&mut self, client: &ClientId, replica: ReplicaId) -> &mut Whereabouts {
        let whereabouts = self.known.entry(client.clone()).or_insert_with(|| Whereabouts {
            last: replica,
            presences: Vec::with_capacity(1),
            state: State::Present { sockets: 0, seats: 0 },
        });
        if let State::Departed(_) = whereabouts.state {
            whereabouts.state = State::Present { sockets: 0, seats: 0 };
        }
        whereabouts
    }

    /// Removes presences without seat and ticket. If none is left, the client departs.
    fn clean_up(&mut self, client: &ClientId, now: Timestamp) {
        let Some(whereabouts) = self.known.get_mut(client) else { return };
        whereabouts.presences.retain(|presence| presence.seated || presence.tickets > 0);
        if whereabouts.presences.is_empty() && client.is_anonymous() {
            // Nobody can come back under this id.
            self.known.remove(client);
        } else if whereabouts.presences.is_empty() && !whereabouts.has_departed() {
            let departure = self.next_departure;
            self.next_departure += 1;
            whereabouts.state = State::Departed(departure);
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
            let whereabouts =
                self.known.get(client).filter(|whereabouts| whereabouts.state == State::Departed(*departure))?;
            Some(record(client, whereabouts, *since))
        });
        let mut records: Vec<_> = departed.collect();
        let present_from = records.len();
        let is_present =
            |client: &ClientId, whereabouts: &Whereabouts| !whereabouts.has_departed() && !client.is_anonymous();
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
    known.get(client).is_some_and(|whereabouts| whereabouts.state == State::Departed(departure))
}

impl Whereabouts {
    fn has_departed(&self) -> bool {
        matches!(self.state, State::Departed(_))
    }

    fn sockets(&self) -> u32 {
        match self.state {
            State::Present { sockets, .. } => sockets,
            State::Departed(_) => 0,
        }
    }

    fn presence(&mut self, replica: ReplicaId) -> &mut Presence {
        let at = self.presences.iter().position(|presence| presence.replica == replica).unwrap_or_else(|| {
            self.presences.push(Presence { replica, seated: false, tickets: 0 });
            self.presences.len() - 1
        });
        &mut self.presences[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1);

    /// The count of sockets has its place where a client that has left has the number of its departure.
    #[test]
    fn the_sockets_of_a_client_need_no_memory() {
        assert_eq!(size_of::<Whereabouts>(), size_of::<(ReplicaId, Vec<Presence>, Option<u64>)>());
    }

    #[test]
    fn pages_have_all_clients_with_sockets_once_and_in_order() {
        let (mut clients, replica) = (Clients::default(), ReplicaId::from_name("room", "1"));
        let mut expected = Vec::new();
        for number in 0..1000 {
            let client = ClientId::new(format!("{:04}", number * 7 % 1000)).unwrap();
            let sockets = number % 3;
            let after = SeatCount { seats: 1 + sockets, sockets };
            clients.set_seats(&client, replica, (SeatCount::default(), after), NOW);
            expected.extend((sockets > 0).then_some((client, sockets)));
        }
        expected.sort_unstable();
        assert_eq!((clients.connected(), clients.sockets()), (666, 999));
        for limit in [1, 2, 100, 665, 666, 667, usize::MAX] {
            let (mut read, mut after, mut more) = (Vec::new(), None, true);
            while more {
                let (page, next) = clients.page(after.as_ref(), limit);
                assert!(page.len() == limit || !next, "{} of {limit}", page.len());
                after = page.last().map(|(client, _)| client.clone());
                read.extend(page);
                more = next;
            }
            assert_eq!(read, expected, "pages of {limit}");
        }
    }
}
