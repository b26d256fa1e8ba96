//! The identities of sockets, as the App has given them: [`Identities`].

use bytes::Bytes;
use dog::SocketId;

use crate::socket_map::SocketMap;

/// The identity of each socket that has one, until its last handler has ended. A socket without one costs nothing here.
#[derive(Debug, Default)]
pub(super) struct Identities(SocketMap<Bytes>);

impl Identities {
    pub(super) fn set(&mut self, socket: SocketId, identity: Bytes) {
        self.0.insert(socket, identity);
    }

    pub(super) fn get(&self, socket: SocketId) -> Option<Bytes> {
        self.0.get(&socket).cloned()
    }

    /// The last handler of the socket has ended.
    pub(super) fn forget(&mut self, socket: SocketId) {
        self.0.remove(&socket);
    }
}
