//! A reference model of the presence of one Group in one place: who is there in each version that anybody was told. Promise 19.

use std::collections::BTreeMap;

use dog::{ConnectionId, Epoch, PresenceChange, PresencePage, PresenceVersion};

/// The clients that are there, with their connections and the values of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct People(BTreeMap<String, BTreeMap<ConnectionId, Option<u64>>>);

impl People {
    /// Those of a page that has all of them.
    pub(crate) fn of_page(page: &PresencePage) -> Result<Self, String> {
        let mut people = Self::default();
        if page.next.is_some() {
            return Err("there are too many for one page".into());
        }
        for present in &page.clients {
            let client = people.0.entry(present.client.as_str().to_owned()).or_default();
            for connection in &present.connections {
                client.insert(connection.id(), connection.value().map_err(|error| error.to_string())?);
            }
        }
        Ok(people)
    }

    /// A client has this connection.
    pub(crate) fn has(&mut self, client: &str, connection: ConnectionId, value: Option<u64>) {
        self.0.entry(client.to_owned()).or_default().insert(connection, value);
    }

    /// The same without the clients that have no connection: those in their grace time.
    pub(crate) fn connected(&self) -> Self {
        Self(
            self.0
                .iter()
                .filter(|(_, own)| !own.is_empty())
                .map(|(client, own)| (client.clone(), own.clone()))
                .collect(),
        )
    }

    /// Those without a connection.
    pub(crate) fn in_grace(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, own)| own.is_empty()).map(|(client, _)| client.as_str())
    }

    /// Applies a change.
    ///
    /// # Errors
    /// It is not possible: a client arrives that is there, or one leaves that is not there or has connections, and so on.
    pub(crate) fn apply(&mut self, change: &PresenceChange) -> Result<(), String> {
        let name = change.client().as_str();
        let value = change.value().map_err(|error| error.to_string())?;
        let own = self.0.get_mut(name);
        let was_possible = match (change, own) {
            (PresenceChange::Arrived { .. }, None) => self.0.insert(name.to_owned(), BTreeMap::new()).is_none(),
            (PresenceChange::Left { .. }, Some(own)) => own.is_empty() && self.0.remove(name).is_some(),
            (PresenceChange::Opened { connection, .. }, Some(own)) => own.insert(*connection, value).is_none(),
            (PresenceChange::Updated { connection, .. }, Some(own)) => own.insert(*connection, value).is_some(),
            (PresenceChange::Closed { connection, .. }, Some(own)) => own.remove(connection).is_some(),
            _ => false,
        };
        if was_possible { Ok(()) } else { Err(format!("{change:?} is told of {self:?}")) }
    }
}

/// The versions of one Group's presence that anybody was told, and who was in one place then.
#[derive(Debug, Default)]
pub(crate) struct PresenceModel(BTreeMap<PresenceVersion, People>);

impl PresenceModel {
    /// Somebody knows this version: it is the same everywhere.
    ///
    /// # Errors
    /// Somebody else was told that others are there.
    pub(crate) fn seen(&mut self, version: PresenceVersion, people: &People) -> Result<(), String> {
        let known = self.0.entry(version).or_insert_with(|| people.clone());
        if known == people { Ok(()) } else { Err(format!("{version:?} is {known:?} and {people:?}")) }
    }

    /// A life of the Group tells what leads on from a version, change by change. `None` is a change in another place. If nobody was
    /// told that version before, nothing is known of them.
    ///
    /// # Errors
    /// They are not possible, or others have the same numbers.
    pub(crate) fn told<'a>(
        &mut self,
        since: PresenceVersion,
        life: Epoch,
        changes: impl Iterator<Item = Option<&'a PresenceChange>>,
    ) -> Result<(), String> {
        let Some(mut people) = self.0.get(&since).cloned() else { return Ok(()) };
        let mut version = PresenceVersion { life, ..since };
        self.seen(version, &people)?;
        for change in changes {
            change.map_or(Ok(()), |change| people.apply(change))?;
            version = version.plus(1);
            self.seen(version, &people)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use dog::{Bytes, ClientId, ReplicaId};

    use super::*;

    fn client() -> ClientId {
        ClientId::new("ann").unwrap()
    }

    fn connection() -> ConnectionId {
        ConnectionId::new(ReplicaId::from_name("room", "1"), Epoch::from_raw(1), 0)
    }

    fn changes() -> [PresenceChange; 5] {
        let (client, connection, value) = (client(), connection(), Bytes::new());
        [
            PresenceChange::Arrived { client: client.clone() },
            PresenceChange::Opened { client: client.clone(), connection, value: value.clone() },
            PresenceChange::Updated { client: client.clone(), connection, value },
            PresenceChange::Closed { client: client.clone(), connection },
            PresenceChange::Left { client },
        ]
    }

    #[test]
    fn a_client_arrives_and_leaves_in_turn_and_leaves_without_connections() {
        let mut people = People::default();
        let possible: [&[usize]; 5] = [&[0], &[1, 4], &[2, 3], &[2, 3], &[1, 4]];
        for (step, possible) in possible.iter().enumerate() {
            for (other, change) in changes().iter().enumerate() {
                assert_eq!(people.clone().apply(change).is_ok(), possible.contains(&other), "{step}: {change:?}");
            }
            people.apply(&changes()[step]).unwrap();
        }
        assert_eq!(people, People::default());
    }

    fn tell(
        model: &mut PresenceModel,
        since: PresenceVersion,
        life: u64,
        of: std::ops::Range<usize>,
    ) -> Result<(), String> {
        model.told(since, Epoch::from_raw(life), changes()[of].iter().map(Some))
    }

    #[test]
    fn each_version_is_the_same_everywhere() {
        let version = |life, number| PresenceVersion { life: Epoch::from_raw(life), number, epoch: Epoch::from_raw(1) };
        let mut model = PresenceModel::default();
        tell(&mut model, version(1, 0), 1, 0..5).unwrap();
        model.seen(version(1, 0), &People::default()).unwrap();
        tell(&mut model, version(1, 0), 1, 0..2).unwrap();
        tell(&mut model, version(1, 0), 1, 1..5).unwrap_err();
        model.seen(version(1, 2), &People::default()).unwrap_err();
        // The next life goes on with what it has read.
        tell(&mut model, version(1, 2), 2, 3..5).unwrap();
        model.seen(version(2, 4), &People::default()).unwrap();
        tell(&mut model, version(1, 2), 2, 0..1).unwrap_err();
        // What changes elsewhere changes nothing here, and has a number.
        model.told(version(2, 4), Epoch::from_raw(2), [None, None].into_iter()).unwrap();
        model.seen(version(2, 6), &People::default()).unwrap();
    }
}
