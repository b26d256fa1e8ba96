//! [`Observer`]: is told what happens in a world, so that it can check it.

use dog::internal::{ConnectionId, LogEpoch, LogTopic, Publication};
use dog::{Bytes, Epoch, Message, ReplicaId, SocketId};
use dog_engine::address::{Object, Targets, Ticket, TicketId};
use dog_engine::log::LogEntries;
use dog_engine::presence::{Following, PresenceChanges};

use super::client::ClientKey;
use super::life::Life;

/// Is told what happens in a world.
pub trait Observer {
    /// A life passes a message to its own sockets.
    fn hands_over(&self, from: &Life, message: &Message);
    /// A life sends a message to other Replicas, over routes that lose nothing unless they are cut.
    fn addresses(&self, from: &Life, to: &Targets, message: &Message);
    /// A life of a Group shows publications of this epoch of a log: it sends them, or answers a call with them.
    fn shows(&self, from: &Life, topic: &LogTopic, publications: (&LogEpoch, &[Publication]));
    /// A life of a Group sends a publication, which it has shown, to Replicas that may have subscribers.
    fn sends(&self, from: &Life, epoch: &LogEpoch, publication: &Publication);
    /// A life of a Group tells its Replicas who has come, who has left, and what else has changed.
    fn tells(&self, from: &Life, changes: &PresenceChanges);
    /// A life of a Group has taken a report of all connections of a life of a Replica, which says what it was told before.
    fn counts(&self, group: &Life, replica: (ReplicaId, Epoch), following: Following);
    /// A life of a Replica has named the connection of a socket, or the socket has another value.
    fn names(&self, life: &Life, socket: SocketId, connection: ConnectionId, value: &Bytes);
    /// A life calls another Replica to deliver a message and to confirm it.
    fn asks(&self, to: ReplicaId, message: &Message);
    /// A client has received a message.
    fn receives(&self, client: ClientKey, message: &Message);
    /// A life of an object begins.
    fn begins(&self, life: &Life);
    /// A life has a new socket.
    fn opens(&self, life: &Life, socket: SocketId);
    /// A life has crashed. The last messages that it sent are lost.
    fn crashes(&self, life: &Life);
    /// The node of a life was struck off. Another life of the object may begin on another node while this one still
    /// runs.
    fn is_superseded(&self, life: &Life);
    /// A socket has ended on the side of its host.
    fn ends(&self, socket: SocketId);
    /// A Group has reserved a seat.
    fn reserves(&self, ticket: &Ticket);
    /// A Replica has accepted a ticket.
    fn lets_in(&self, life: &Life, admission: &Admission);
    /// A batch that a life has written is on disk now, with these records of logs.
    fn writes(&self, object: Object, epoch: Epoch, log: &LogEntries);
    /// The thread runs code of this life from now on. `None`: of no life.
    fn runs(&self, life: Option<Epoch>);
    /// Code of an object has panicked.
    fn panics(&self, life: &Life);
}

/// A ticket that a Replica has accepted.
#[derive(Clone, Copy, Debug)]
pub struct Admission {
    /// The id of the ticket.
    pub ticket: TicketId,
    /// Whether it had expired when it came.
    pub has_expired: bool,
    /// Whether this node knew that the sending node was struck off.
    pub comes_from_struck_off: bool,
}
