//! The ports: what a [`Context`](crate::Context), a [`Socket`](crate::Socket) and a [`Dog`](crate::Dog) call, and what the
//! engine implements. The futures are local, because an object lives on one thread.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;

use crate::body::{Request, Response};
use crate::close::CloseCode;
use crate::env::Env;
use crate::error::Error;
use crate::group::Group;
use crate::id::{ClientId, GroupId, ReplicaId, SocketId};
use crate::message::Message;
use crate::socket::BroadcastReport;
use crate::storage::{List, TransactionRead};
use crate::time::Timestamp;

/// A future that stays on its thread.
pub type LocalFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// What came of a gossip.
#[derive(Debug)]
pub struct GossipAnswers {
    /// What every sibling said that was asked: bytes of its answer, or why there is none.
    pub answers: Vec<(ReplicaId, Result<Bytes, Error>)>,
    /// Who was not asked because it is parked, or why that is not known.
    pub parked: Result<Vec<ReplicaId>, Error>,
}

/// Beneath a [`Storage`](crate::Storage): one object's entries.
pub trait StoragePort {
    /// The value under a key.
    fn get(&self, key: &str) -> LocalFuture<Result<Option<Bytes>, Error>>;
    /// The entries that are asked for, in their order.
    fn list(&self, list: List) -> LocalFuture<Result<Vec<(String, Bytes)>, Error>>;
    /// Grows with each write.
    fn version(&self) -> u64;
    /// Ends when it is the turn of a transaction that was overtaken so often; `None` if it needs none.
    fn turn(&self, overtaken: usize) -> Option<LocalFuture<Box<dyn TransactionTurn>>>;
    /// Makes all writes at once, and says when they are durable. `None`, and nothing is written, if something that was
    /// read has changed since the version it was read at.
    fn commit(
        &self,
        writes: BTreeMap<String, Option<Bytes>>,
        reads: Vec<(u64, TransactionRead)>,
    ) -> Result<Option<LocalFuture<Result<(), Error>>>, Error>;
    /// Takes everything away.
    fn delete_all(&self) -> LocalFuture<Result<(), Error>>;
}

/// The turn of one transaction, which ends when this is dropped, or has taken too long.
pub trait TransactionTurn {
    /// Whether it is still its turn.
    fn lasts(&self) -> bool;
    /// Whether its body is polled from now on: a transaction that begins meanwhile is part of the body, and must not wait
    /// for the turn to end. Gives back what was so before.
    fn polled(&self, polled: bool) -> bool;
}

/// What a Group and a Replica have in common.
pub trait ObjectPort {
    /// Its storage.
    fn storage(&self) -> Rc<dyn StoragePort>;
    /// Sets its one alarm, in place of an earlier one.
    fn set_alarm(&self, at: Option<Timestamp>) -> LocalFuture<Result<(), Error>>;
    /// When its alarm is set for.
    fn alarm(&self) -> LocalFuture<Result<Option<Timestamp>, Error>>;
}

/// Beneath a [`Context`](crate::Context) and a [`Socket`](crate::Socket).
pub trait ReplicaPort: ObjectPort {
    /// This Replica.
    fn replica(&self) -> ReplicaId;
    /// Its Group.
    fn group(&self) -> GroupId;
    /// What the user passed in.
    fn env(&self) -> &Env;
    /// The host's time.
    fn now(&self) -> Timestamp;
    /// Ends when the host has begun to end, or what this port was given to is over.
    fn stopping(&self) -> LocalFuture<()>;
    /// Open sockets of this Replica.
    fn sockets(&self) -> Vec<(SocketId, ClientId)>;
    /// Shakes hands, or answers why not; the socket begins with the attachment, if there is one.
    fn connect(&self, request: Request, attachment: Option<Bytes>) -> Response;
    /// To one socket of this Replica.
    fn send(&self, socket: SocketId, message: &Message) -> Result<(), Error>;
    /// Ends one socket of this Replica after what was sent before.
    fn close(&self, socket: SocketId, code: CloseCode, reason: &str);
    /// To this Replica's sockets, without those of `except`.
    fn emit(&self, message: &Message, except: Option<&ClientId>) -> Result<(), Error>;
    /// To the cluster's sockets, without those of `except`.
    fn broadcast(&self, message: &Message, except: Option<&ClientId>) -> Result<(), Error>;
    /// The same, with a count.
    fn broadcast_confirmed(
        &self,
        message: Message,
        except: Option<ClientId>,
    ) -> LocalFuture<Result<BroadcastReport, Error>>;
    /// To one client's sockets, wherever they are.
    fn whisper(&self, client: ClientId, message: Message) -> LocalFuture<Result<usize, Error>>;
    /// Asks every sibling that is not parked.
    fn gossip(&self, gossip: Bytes) -> LocalFuture<Result<GossipAnswers, Error>>;
    /// The bytes kept with a socket.
    fn attachment(&self, socket: SocketId) -> Result<Option<Bytes>, Error>;
    /// Keeps bytes with a socket.
    fn set_attachment(&self, socket: SocketId, attachment: Bytes) -> Result<(), Error>;
}

/// Beneath a [`GroupContext`](crate::GroupContext).
pub trait GroupPort: ObjectPort {
    /// This Group.
    fn group(&self) -> GroupId;
    /// What the user passed in.
    fn env(&self) -> &Env;
    /// The host's time.
    fn now(&self) -> Timestamp;
    /// Ends when the host has begun to end, or this life of the Group is over.
    fn stopping(&self) -> LocalFuture<()>;
    /// An id that no Replica has had.
    fn unique_replica(&self) -> ReplicaId;
}

/// Beneath a [`ReplicaHandle`](crate::ReplicaHandle): the Replica that serves a client, and the ticket for its seat there.
pub trait SeatPort {
    /// The Replica.
    fn replica(&self) -> ReplicaId;
    /// Takes the seat with this request.
    fn fetch(self: Box<Self>, request: Request) -> LocalFuture<Result<Response, Error>>;
}

/// Beneath a [`Dog`](crate::Dog).
pub trait AppPort {
    /// What the user passed in.
    fn env(&self) -> &Env;
    /// Asks a Group which Replica is to serve a client.
    fn identify(
        &self,
        class: &'static str,
        group: GroupId,
        client: ClientId,
    ) -> LocalFuture<Result<Box<dyn SeatPort>, Error>>;
    /// The response that says what is wrong with a request that is to open a WebSocket.
    fn refusal(&self, request: &Request) -> Option<Response>;
    /// Passes a request to a Group itself.
    fn fetch_group(
        &self,
        class: &'static str,
        group: GroupId,
        request: Request,
    ) -> LocalFuture<Result<Response, Error>>;
}

/// Is shown every Group type of an App in turn.
pub trait GroupVisitor {
    /// `G` is one of them.
    fn visit<G: Group>(&mut self);
}
