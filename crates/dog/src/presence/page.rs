//! Who is in a Group, in pages: [`PresencePage`].

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{ConnectionId, PresenceChange, PresenceVersion, decode};
use crate::error::Error;
use crate::id::ClientId;

/// The most clients and connections of one page: 1000.
pub const MAX_PRESENCE_PAGE: usize = 1000;

/// Where the next [`PresencePage`] begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceCursor {
    #[doc(hidden)]
    pub client: ClientId,
    #[doc(hidden)]
    pub connection: Option<ConnectionId>,
}

impl PresenceCursor {
    /// Where the connections of a client begin. The page has them if the client is in the Group and not in its grace time, and then
    /// those of the clients that follow.
    ///
    /// ```
    /// # use dog::*;
    /// # async fn example(group: &GroupContext, client: &ClientId) -> Result<(), Error> {
    /// let page = group.presence(Some(&PresenceCursor::at(client)), 1).await?;
    /// let first = page.clients.first().filter(|present| present.client == *client);
    /// # let _ = first;
    /// # Ok(())
    /// # }
    /// ```
    pub fn at(client: &ClientId) -> Self {
        Self { client: client.clone(), connection: None }
    }
}

/// One page of those who are in a Group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PresencePage {
    /// The version of this page. Each page is right for its own. `None`: the Group does not exist.
    pub version: Option<PresenceVersion>,
    /// The clients, ordered by the bytes of their identifiers.
    pub clients: Vec<PresentClient>,
    /// Pass it as `after` to read the next page. `None`: this page is the last.
    pub next: Option<PresenceCursor>,
}

/// A client that is in a Group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentClient {
    /// The client.
    pub client: ClientId,
    /// Its connections. None: it is in its grace time, or its first ones are on the page before. A client with many connections goes
    /// on on the next page.
    pub connections: Vec<PresentConnection>,
}

/// An open socket of a client that is in a Group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentConnection {
    id: ConnectionId,
    value: Bytes,
}

impl PresentConnection {
    /// Its name.
    pub const fn id(&self) -> ConnectionId {
        self.id
    }

    /// The value that the socket has [set](crate::Socket::set_presence). `None`: it has set none.
    ///
    /// # Errors
    /// [`Error::is_encoding`]: the value is not a `T`.
    pub fn value<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        decode(&self.value)
    }
}

impl PresencePage {
    /// A page with these arrivals and opened connections, in the order of their clients.
    pub(crate) fn new(
        version: Option<PresenceVersion>,
        entries: Vec<PresenceChange>,
        next: Option<PresenceCursor>,
    ) -> Self {
        let mut clients: Vec<PresentClient> = Vec::new();
        for entry in entries {
            if clients.last().is_none_or(|last| last.client != *entry.client()) {
                clients.push(PresentClient { client: entry.client().clone(), connections: Vec::new() });
            }
            if let (PresenceChange::Opened { connection: id, value, .. }, Some(last)) = (entry, clients.last_mut()) {
                last.connections.push(PresentConnection { id, value });
            }
        }
        Self { version, clients, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ReplicaId;
    use crate::numbers::Epoch;

    #[test]
    fn a_page_has_each_client_once_with_its_connections() {
        let client = |name: &str| ClientId::new(name).unwrap();
        let opened = |name: &str, number| PresenceChange::Opened {
            client: client(name),
            connection: ConnectionId::new(ReplicaId::from_name("room", "1"), Epoch::from_raw(1), number),
            value: if number == 2 { crate::codec::encode(&7_u32).unwrap() } else { Bytes::new() },
        };
        let entries = vec![
            opened("ann", 1),
            PresenceChange::Arrived { client: client("bob") },
            PresenceChange::Arrived { client: client("cat") },
            opened("cat", 2),
            opened("cat", 3),
        ];
        let page = PresencePage::new(None, entries, None);
        let has: Vec<_> = page.clients.iter().map(|each| (each.client.as_str(), each.connections.len())).collect();
        assert_eq!(has, [("ann", 1), ("bob", 0), ("cat", 2)]);
        let values = page.clients[2].connections.iter().map(|connection| connection.value::<u32>().unwrap());
        assert_eq!(values.collect::<Vec<_>>(), [Some(7), None]);
    }
}
