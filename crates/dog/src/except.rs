//! Who is left out of a verb: [`Except`].

use crate::numbers::SocketId;

/// Who is left out of a verb. `C` is a `ClientId` or a reference to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Except<C> {
    /// Everyone hears it.
    Nobody,
    /// All sockets of this client, on every Replica.
    Client(C),
    /// This socket. It is open on the Replica that sends, so no sibling has anyone to leave out.
    Socket(SocketId),
}

impl<C> Except<C> {
    /// The same, with a reference.
    pub fn as_ref(&self) -> Except<&C> {
        match self {
            Self::Nobody => Except::Nobody,
            Self::Client(client) => Except::Client(client),
            Self::Socket(socket) => Except::Socket(*socket),
        }
    }

    /// The client whose sockets every sibling leaves out.
    pub fn client(self) -> Option<C> {
        match self {
            Self::Client(client) => Some(client),
            Self::Nobody | Self::Socket(_) => None,
        }
    }
}

impl<C> From<Option<C>> for Except<C> {
    fn from(client: Option<C>) -> Self {
        client.map_or(Self::Nobody, Self::Client)
    }
}

impl<C: Clone> Except<&C> {
    /// The same, with a client of its own.
    pub fn cloned(self) -> Except<C> {
        match self {
            Self::Nobody => Except::Nobody,
            Self::Client(client) => Except::Client(client.clone()),
            Self::Socket(socket) => Except::Socket(socket),
        }
    }
}
