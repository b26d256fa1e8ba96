//! Who is in the room or in a topic: [`Roster`].

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use dog::ClientId;
use dog::internal::{ConnectionId, PresenceChange, PresenceCounts};
use serde::{Deserialize, Serialize};

use super::PresenceBounds;

/// A client, or one of its connections. The client comes before its connections.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PresenceKey {
    /// The client.
    pub client: ClientId,
    /// The connection. `None` for the client itself.
    pub connection: Option<ConnectionId>,
}

impl PresenceKey {
    /// What a change is about.
    pub fn of(change: &PresenceChange) -> Self {
        Self { client: change.client().clone(), connection: change.connection() }
    }

    fn client(client: &ClientId) -> Self {
        Self { client: client.clone(), connection: None }
    }

    fn connection(client: &ClientId, connection: ConnectionId) -> Self {
        Self { client: client.clone(), connection: Some(connection) }
    }
}

/// The clients that are in one place, the room or a topic, with their connections and values. One flat map, because most clients have one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    entries: BTreeMap<PresenceKey, Bytes>,
    clients: usize,
}

impl Roster {
    /// Whether the client is there.
    pub fn has(&self, client: &ClientId) -> bool {
        self.entries.contains_key(&PresenceKey::client(client))
    }

    /// The value of a connection, if it is open.
    pub fn value(&self, client: &ClientId, connection: ConnectionId) -> Option<&Bytes> {
        self.entries.get(&PresenceKey::connection(client, connection))
    }

    /// How many are there.
    pub fn counts(&self) -> PresenceCounts {
        PresenceCounts { clients: self.clients, connections: self.entries.len() - self.clients }
    }

    /// Applies a change. Returns whether it was possible: a client that is there does not arrive, one that has a connection does
    /// not leave, and so on. Otherwise nothing changes.
    pub fn apply(&mut self, change: &PresenceChange) -> bool {
        let key = PresenceKey::of(change);
        let is_known = self.entries.contains_key(&key);
        match change {
            PresenceChange::Arrived { .. } if !is_known => {
                self.clients += 1;
                self.entries.insert(key, Bytes::new());
            }
            PresenceChange::Opened { client, value, .. } if !is_known && self.has(client) => {
                self.entries.insert(key, value.clone());
            }
            PresenceChange::Updated { value, .. } if is_known => {
                self.entries.insert(key, value.clone());
            }
            PresenceChange::Closed { .. } if is_known => {
                self.entries.remove(&key);
            }
            PresenceChange::Left { client } if is_known && !self.has_connections(client) => {
                self.clients -= 1;
                self.entries.remove(&key);
            }
            _ => return false,
        }
        true
    }

    /// Whether the client is there with a connection. One in its grace time has none.
    pub fn has_connections(&self, client: &ClientId) -> bool {
        let after = PresenceKey::client(client);
        let next = self.entries.range((Bound::Excluded(after), Bound::Unbounded)).next();
        next.is_some_and(|(key, _)| key.client == *client)
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Everybody, as the changes that lead from an empty roster to this one.
    pub fn entries(&self) -> impl Iterator<Item = PresenceChange> + '_ {
        self.entries_after(None)
    }

    pub(super) fn entries_after(&self, after: Option<&PresenceKey>) -> impl Iterator<Item = PresenceChange> + '_ {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let entries = self.entries.range::<PresenceKey, _>((from, Bound::Unbounded));
        entries.map(|(key, value)| entry(key, value))
    }

    /// A part of [`entries`](Self::entries): those after a key, within the bounds. Also returns the last key if others follow.
    pub fn page(
        &self,
        after: Option<&PresenceKey>,
        bounds: PresenceBounds,
    ) -> (Vec<PresenceChange>, Option<PresenceKey>) {
        let (page, has_more) = page(self.entries_after(after), PresenceChange::size, bounds);
        let last = page.last().filter(|_| has_more).map(PresenceKey::of);
        (page, last)
    }

    /// The changes that lead from this roster to another one.
    pub fn difference(&self, to: &Self) -> Vec<PresenceChange> {
        let (mut old, mut new) = (self.entries.iter().peekable(), to.entries.iter().peekable());
        let mut changes = Vec::new();
        // Who leaves, when all of its connections are closed.
        let mut leaving: Option<ClientId> = None;
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((old, _)), Some((new, _))) => old.cmp(new),
            };
            let before = if order.is_le() { old.next() } else { None };
            let after = if order.is_ge() { new.next() } else { None };
            let client = before.or(after).map(|(key, _)| &key.client);
            if leaving.as_ref() != client {
                changes.extend(leaving.take().map(|client| PresenceChange::Left { client }));
            }
            match (before, after) {
                (Some((key, was)), Some((_, is))) => changes.extend((was != is).then(|| updated(key, is))),
                (None, Some((key, is))) => changes.push(entry(key, is)),
                (Some((key, _)), None) => match key.connection {
                    None => leaving = Some(key.client.clone()),
                    Some(connection) => {
                        changes.push(PresenceChange::Closed { client: key.client.clone(), connection });
                    }
                },
                (None, None) => {}
            }
        }
        changes.extend(leaving.map(|client| PresenceChange::Left { client }));
        changes
    }
}

/// The first of these, within the bounds, and whether others follow.
pub(super) fn page<T>(
    entries: impl Iterator<Item = T>,
    size: impl Fn(&T) -> usize,
    bounds: PresenceBounds,
) -> (Vec<T>, bool) {
    let (mut page, mut bytes) = (Vec::new(), 0);
    for entry in entries {
        bytes += size(&entry);
        if !bounds.hold(page.len() + 1, bytes) {
            return (page, true);
        }
        page.push(entry);
    }
    (page, false)
}

fn entry(key: &PresenceKey, value: &Bytes) -> PresenceChange {
    let client = key.client.clone();
    match key.connection {
        None => PresenceChange::Arrived { client },
        Some(connection) => PresenceChange::Opened { client, connection, value: value.clone() },
    }
}

fn updated(key: &PresenceKey, value: &Bytes) -> PresenceChange {
    match entry(key, value) {
        PresenceChange::Opened { client, connection, value } => PresenceChange::Updated { client, connection, value },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use dog::{Epoch, ReplicaId};

    use super::*;

    fn client(number: u8) -> ClientId {
        ClientId::new(format!("u{number}")).unwrap()
    }

    fn connection(number: u64) -> ConnectionId {
        ConnectionId::new(ReplicaId::from_name("room", "1"), Epoch::from_raw(1), number)
    }

    /// Clients with these connections and values.
    fn roster(clients: &[(u8, &[(u64, &'static str)])]) -> Roster {
        let mut roster = Roster::default();
        for (number, connections) in clients {
            assert!(roster.apply(&PresenceChange::Arrived { client: client(*number) }));
            for (number_of, value) in *connections {
                let (client, connection) = (client(*number), connection(*number_of));
                assert!(roster.apply(&PresenceChange::Opened { client, connection, value: Bytes::from(*value) }));
            }
        }
        roster
    }

    #[test]
    fn the_difference_leads_from_any_roster_to_any_other() {
        let rosters = [
            roster(&[]),
            roster(&[(1, &[(1, "a")])]),
            roster(&[(1, &[(1, "b"), (2, "a")])]),
            roster(&[(1, &[]), (2, &[(3, "c")])]),
            roster(&[(0, &[(1, "a")]), (2, &[(3, "c"), (4, "")]), (3, &[])]),
        ];
        for from in &rosters {
            for to in &rosters {
                let mut roster = from.clone();
                let changes = from.difference(to);
                assert!(changes.iter().all(|change| roster.apply(change)), "{changes:?} of {from:?}");
                assert_eq!((&roster, roster.counts()), (to, to.counts()));
                assert_eq!(changes.is_empty(), from == to);
            }
        }
    }

    #[test]
    fn what_cannot_happen_changes_nothing() {
        let before = roster(&[(1, &[(1, "a")]), (2, &[])]);
        let impossible = [
            PresenceChange::Arrived { client: client(1) },
            PresenceChange::Left { client: client(1) },
            PresenceChange::Left { client: client(3) },
            PresenceChange::Opened { client: client(1), connection: connection(1), value: Bytes::new() },
            PresenceChange::Opened { client: client(3), connection: connection(9), value: Bytes::new() },
            PresenceChange::Updated { client: client(1), connection: connection(9), value: Bytes::new() },
            PresenceChange::Closed { client: client(2), connection: connection(1) },
        ];
        let mut roster = before.clone();
        assert!(!impossible.iter().any(|change| roster.apply(change)));
        assert_eq!(roster, before);
        assert_eq!(before.counts(), PresenceCounts { clients: 2, connections: 1 });
    }

    #[test]
    fn pages_have_everybody_once_and_in_order_within_their_bounds() {
        let roster = roster(&[(1, &[(1, "a"), (2, "b"), (3, "c")]), (2, &[]), (3, &[(4, "d")])]);
        for most in 1..8 {
            let (mut read, mut after) = (Vec::new(), None);
            loop {
                let (page, next) = roster.page(after.as_ref(), PresenceBounds { changes: most, bytes: 10_000 });
                assert!(page.len() == most || next.is_none());
                read.extend(page);
                after = next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(read, roster.entries().collect::<Vec<_>>());
        }
        let (page, next) = roster.page(None, PresenceBounds { changes: 100, bytes: 1 });
        assert_eq!((page.len(), next.is_some()), (1, true), "one entry is in it, whatever its size");
    }
}
