//! The open sockets of a Replica: [`OpenSockets`].

use dog::{ClientId, SocketId};

use crate::socket_map::SocketMap;

/// The open sockets as one slice, for fan-out, and the client of each.
#[derive(Debug, Default)]
pub(super) struct OpenSockets {
    all: Vec<SocketId>,
    by_id: SocketMap<OpenSocket>,
    changes: u64,
}

#[derive(Debug)]
struct OpenSocket {
    client: ClientId,
    /// Its index in `all`.
    at: usize,
}

impl OpenSockets {
    pub(super) fn all(&self) -> &[SocketId] {
        &self.all
    }

    /// How often the sockets have changed.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    pub(super) fn client(&self, socket: SocketId) -> Option<&ClientId> {
        self.by_id.get(&socket).map(|open| &open.client)
    }

    pub(super) fn insert(&mut self, socket: SocketId, client: ClientId) {
        self.changes += 1;
        self.by_id.insert(socket, OpenSocket { client, at: self.all.len() });
        self.all.push(socket);
    }

    /// Gives a socket another client. Returns the one before.
    pub(super) fn set_client(&mut self, socket: SocketId, client: ClientId) -> Option<ClientId> {
        Some(std::mem::replace(&mut self.by_id.get_mut(&socket)?.client, client))
    }

    pub(super) fn remove(&mut self, socket: SocketId) -> Option<ClientId> {
        let OpenSocket { client, at } = self.by_id.remove(&socket)?;
        self.changes += 1;
        self.all.swap_remove(at);
        if let Some(moved) = self.all.get(at).and_then(|moved| self.by_id.get_mut(moved)) {
            moved.at = at;
        }
        Some(client)
    }
}
