//! Sockets whose clients become known later: [`LateRecord`]. Promises 8 and 12.

use std::collections::BTreeMap;
use std::time::Duration;

use dog::{SocketId, Timestamp};

use crate::moment::{MessageName, Moment};

/// A socket may be closed this much later than it is due, and this much earlier because objects see whole milliseconds.
const CLOSED_WITHIN: Duration = Duration::from_millis(5);

/// The sockets that were opened for anonymous clients. Part of the [`RunRecord`](crate::record::RunRecord).
#[derive(Debug, Default)]
pub(crate) struct LateRecord {
    sockets: BTreeMap<SocketId, LateSocket>,
    /// The last socket of each id that was generated.
    ids: BTreeMap<String, SocketId>,
}

#[derive(Debug)]
struct LateSocket {
    /// When it has to be assigned, if it has to.
    due: Option<Timestamp>,
    name: Name,
}

/// The name of its client.
#[derive(Debug)]
enum Name {
    /// It has the id that was generated.
    Generated(String),
    /// It was assigned, and the Group may not know it yet.
    Given(String, Moment),
    /// The Group has acknowledged the assignment.
    Acknowledged(String, Moment),
}

impl LateRecord {
    /// A socket opens for a client with a generated id. No other open socket may have it. A request that opens a socket in vain
    /// is placed again with the id that it has.
    pub(crate) fn opens(
        &mut self,
        (socket, id): (SocketId, &str),
        due: Option<Timestamp>,
        is_open: impl Fn(SocketId) -> bool,
    ) -> Result<(), String> {
        let name = Name::Generated(id.to_owned());
        self.sockets.insert(socket, LateSocket { due, name });
        match self.ids.insert(id.to_owned(), socket).filter(|other| is_open(*other)) {
            Some(other) => Err(format!("sockets {} and {} have the generated id {id:?}", other.raw(), socket.raw())),
            None => Ok(()),
        }
    }

    /// Whether the client of this socket can still be named.
    pub(crate) fn is_generated(&self, socket: SocketId) -> bool {
        self.sockets.get(&socket).is_some_and(|late| matches!(late.name, Name::Generated(_)))
    }

    /// The client of an open socket is named.
    pub(crate) fn assign_begins(&mut self, socket: SocketId, client: &str, now: Moment) {
        if let Some(late) = self.sockets.get_mut(&socket) {
            late.name = Name::Given(client.to_owned(), now);
        }
    }

    /// `assign` has ended with `Ok`.
    pub(crate) fn assigned(&mut self, socket: SocketId) {
        if let Some(late) = self.sockets.get_mut(&socket)
            && let Name::Given(client, at) = &late.name
        {
            late.name = Name::Acknowledged(client.clone(), at.clone());
        }
    }

    /// Whether the Group must count the socket under its client.
    pub(crate) fn is_known(&self, socket: SocketId) -> bool {
        self.sockets.get(&socket).is_none_or(|late| matches!(late.name, Name::Acknowledged(..)))
    }

    /// Whether the socket had the name of its client when this message was sent.
    pub(crate) fn was_named(&self, socket: SocketId, message: MessageName) -> bool {
        match self.sockets.get(&socket).map(|late| &late.name) {
            None | Some(Name::Generated(_)) => true,
            Some(Name::Given(_, at) | Name::Acknowledged(_, at)) => at.is_before(message),
        }
    }

    /// Checks the name of a socket's client that a handler sees.
    pub(crate) fn finds(&self, socket: SocketId, found: &str) -> Result<(), String> {
        let Some(late) = self.sockets.get(&socket) else { return Ok(()) };
        let (Name::Generated(name) | Name::Given(name, _) | Name::Acknowledged(name, _)) = &late.name;
        if name == found {
            return Ok(());
        }
        Err(format!("the client of socket {} is {found:?}, but it should be {name:?}", socket.raw()))
    }

    /// The socket was closed with the code for clients that were not assigned in time.
    pub(crate) fn closes_unassigned(&self, socket: SocketId, now: Timestamp) -> Result<(), String> {
        let late = self.sockets.get(&socket);
        let wrong = match late.map(|late| (&late.name, late.due)) {
            Some((Name::Generated(_), Some(due))) if now + CLOSED_WITHIN >= due => return Ok(()),
            Some((Name::Generated(_), Some(_))) => "too early",
            Some((Name::Generated(_), None)) => "although its client may keep the generated id",
            Some(_) => "although its client was assigned",
            None => "although its client was known",
        };
        Err(format!("socket {} was closed as unassigned {wrong}", socket.raw()))
    }

    /// Checks that the sockets that were not assigned in time have been closed.
    pub(crate) fn check_due(&self, now: Timestamp, is_open: impl Fn(SocketId) -> bool) -> Result<(), String> {
        let is_late = |late: &LateSocket| {
            matches!(late.name, Name::Generated(_)) && late.due.is_some_and(|due| now > due + CLOSED_WITHIN)
        };
        match self.sockets.iter().find(|(socket, late)| is_late(late) && is_open(**socket)) {
            Some((socket, late)) => {
                Err(format!("socket {} is open at {now:?}, had to be assigned by {:?}", socket.raw(), late.due))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKET: SocketId = SocketId::from_raw(1);

    fn late() -> LateRecord {
        let mut late = LateRecord::default();
        late.opens((SOCKET, "\0?1-1"), Some(Timestamp::from_millis(1_000)), |_| true).unwrap();
        late
    }

    #[test]
    fn a_generated_id_belongs_to_one_open_socket() {
        let other = SocketId::from_raw(2);
        late().opens((other, "\0?1-2"), None, |_| true).unwrap();
        late().opens((other, "\0?1-1"), None, |_| true).unwrap_err();
        late().opens((other, "\0?1-1"), None, |_| false).unwrap();
    }

    #[test]
    fn a_socket_has_the_name_that_it_was_given() {
        let mut late = late();
        late.finds(SOCKET, "\0?1-1").unwrap();
        assert!(late.is_generated(SOCKET) && !late.is_known(SOCKET));
        late.assign_begins(SOCKET, "ann", Moment::new(&BTreeMap::from([(9, 4)])));
        assert!(!late.is_generated(SOCKET) && !late.is_known(SOCKET));
        late.finds(SOCKET, "ann").unwrap();
        late.finds(SOCKET, "\0?1-1").unwrap_err();
        assert!(late.was_named(SOCKET, (9, 5)) && !late.was_named(SOCKET, (9, 4)));
        late.assigned(SOCKET);
        assert!(late.is_known(SOCKET));
        late.finds(SOCKET, "bob").unwrap_err();
    }

    #[test]
    fn an_unassigned_socket_closes_in_time_and_no_other_does() {
        let mut late = late();
        let at = Timestamp::from_millis;
        late.closes_unassigned(SOCKET, at(900)).unwrap_err();
        late.closes_unassigned(SOCKET, at(1_000)).unwrap();
        late.closes_unassigned(SocketId::from_raw(2), at(1_000)).unwrap_err();
        late.check_due(at(1_000), |_| true).unwrap();
        late.check_due(at(1_100), |_| true).unwrap_err();
        late.check_due(at(1_100), |_| false).unwrap();
        late.assign_begins(SOCKET, "ann", Moment::default());
        late.check_due(at(1_100), |_| true).unwrap();
        late.closes_unassigned(SOCKET, at(1_100)).unwrap_err();
    }
}
