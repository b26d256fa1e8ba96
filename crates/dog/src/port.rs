//! The ports: what a [`Context`](crate::Context), a [`Socket`](crate::Socket) and a [`Dog`](crate::Dog) call, and what the
//! engine implements. The futures are local, because an object lives on one thread.

use std::any::{Any, TypeId};
use std::collections::BTreeSet;
use std::future::Future;
use std::ops::Bound;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use crate::body::{Request, Response};
use crate::close::CloseCode;
use crate::env::Env;
use crate::error::Error;
use crate::except::Except;
use crate::id::{ClientId, GroupId, ReplicaId};
use crate::list::{List, TransactionRead};
use crate::log::Unrecovered;
use crate::log::publication::{LogTopic, NewPublication};
use crate::log::verbs::{LogVerb, LogVerbAnswer};
use crate::message::Message;
use crate::numbers::SocketId;
use crate::placement::Door;
use crate::position::{Position, Recovered};
use crate::presence::ConnectionId;
use crate::replica::Format;
use crate::replies::{BroadcastReport, GossipAnswers};
use crate::session::Session;
use crate::stream_format::StreamFormat;
use crate::time::Timestamp;
use crate::topic::Topic;
use crate::verbs::{GroupVerb, VerbAnswer};
use crate::writes::StorageWrites;

/// A future that stays on its thread.
pub type LocalFuture<T> = Pin<Box<dyn Future<Output = T>>>;

/// What a new socket begins with.
#[derive(Clone, Debug, Default)]
pub struct Opening {
    /// What is attached to it.
    pub attachment: Option<Bytes>,
    /// In which form it gets publications.
    pub format: Format,
    /// Whether what others send waits until its `on_open` has ended.
    pub on_open_first: bool,
}

impl Opening {
    pub(crate) fn with(attachment: Bytes) -> Self {
        Self { attachment: Some(attachment), ..Self::default() }
    }
}

/// Behind a [`Storage`](crate::Storage): the entries of one object.
pub trait StoragePort {
    /// The value under `key`.
    fn get(&self, key: &str) -> LocalFuture<Result<Option<Bytes>, Error>>;
    /// The entries that `list` selects, in its order.
    fn list(&self, list: List) -> LocalFuture<Result<Vec<(String, Bytes)>, Error>>;
    /// A number that grows with each write.
    fn version(&self) -> u64;
    /// Waits until a transaction that was overtaken `overtaken` times may run alone. `None` if it may run beside others.
    fn turn(&self, overtaken: usize) -> Option<LocalFuture<Box<dyn TransactionTurn>>>;
    /// Waits until the logs of these topics take publications of one transaction, and of nobody else until the value is dropped.
    fn reserve_logs(&self, topics: BTreeSet<LogTopic>) -> LocalFuture<Result<Box<dyn LogReservation>, Error>>;
    /// Makes all writes at once; the future completes when they are durable. Returns `Ok(None)` and writes nothing if
    /// something in `reads` has changed since the version that stands with it. For alarms, [`load_alarms`](Self::load_alarms)
    /// has to be done, without a wait between the two. `logs` are those of all topics in `writes`.
    fn commit(
        &self,
        writes: StorageWrites,
        reads: Vec<(u64, TransactionRead)>,
        logs: Option<Box<dyn LogReservation>>,
    ) -> Result<Option<LocalFuture<Result<(), Error>>>, Error>;
    /// The records of logs in a range of keys, `most` of them at most. Writes that are not durable yet are not among them.
    fn log_records(
        &self,
        keys: (Bound<Vec<u8>>, Bound<Vec<u8>>),
        most: usize,
        reverse: bool,
    ) -> LocalFuture<Result<Vec<(Bytes, Bytes)>, Error>>;
    /// Deletes all entries.
    fn delete_all(&self) -> LocalFuture<Result<(), Error>>;
    /// Reads which alarms are set. `None` if this is known.
    fn load_alarms(&self) -> Option<LocalFuture<Result<(), Error>>>;
    /// The time for which an alarm is set.
    fn alarm(&self, name: &str) -> Result<Option<Timestamp>, Error>;
    /// The alarms whose names `list` selects, in its order.
    fn alarms(&self, list: &List) -> Result<Vec<(String, Timestamp)>, Error>;
}

/// What is written of logs: keys, each with a record or none.
pub type LogRecords = Vec<(Vec<u8>, Option<Bytes>)>;

/// The logs to which a transaction publishes.
pub trait LogReservation {
    /// Gives the publications their offsets. Returns the records to be written with the transaction. If it fails, nothing has changed.
    fn append(&mut self, publications: Vec<(LogTopic, NewPublication)>) -> Result<LogRecords, Error>;
    /// The records are durable, or have failed.
    fn settled(self: Box<Self>, is_durable: bool);
}

/// The turn of one transaction. It ends when this value is dropped, or when it has taken 3 s.
pub trait TransactionTurn {
    /// Whether the turn has not ended.
    fn lasts(&self) -> bool;
    /// Says whether the body of the transaction is being polled, and returns what was set before. A transaction that begins
    /// meanwhile is part of the body and must not wait for the turn.
    fn polled(&self, polled: bool) -> bool;
}

/// What a Group and a Replica have in common.
pub trait ObjectPort {
    /// The values that the program passed in.
    fn env(&self) -> &Env;
    /// The time of the host.
    fn now(&self) -> Timestamp;
    /// Completes when the host begins to shut down, or this activation is over.
    fn stopping(&self) -> LocalFuture<()>;
    /// The way to all Groups of the App.
    fn dog(&self) -> Rc<dyn AppPort>;
    /// A timer that completes after `duration`, whatever happens to the object.
    fn sleep(&self, duration: Duration) -> LocalFuture<()>;
    /// Runs `task` until it ends, or until this life of the object does. It keeps the object in memory.
    fn spawn(&self, task: LocalFuture<()>) -> Result<(), Error>;
    /// The storage of the object.
    fn storage(&self) -> Rc<dyn StoragePort>;
}

/// Behind a [`Context`](crate::Context) and a [`Socket`](crate::Socket).
pub trait ReplicaPort: ObjectPort {
    /// This Replica.
    fn replica(&self) -> ReplicaId;
    /// The Group of this Replica.
    fn group(&self) -> GroupId;
    /// The open sockets of this Replica.
    fn sockets(&self) -> Vec<(SocketId, ClientId)>;
    /// The response to a handshake: it opens a socket that begins with `opening`, or says what is wrong.
    fn connect(&self, request: Request, opening: Opening) -> Response;
    /// The response that opens an event stream, which begins with `opening`, or says what is wrong.
    fn stream(&self, request: Request, format: StreamFormat, opening: Opening) -> Response;
    /// Says whether newcomers may come to this Replica.
    fn set_door(&self, door: Door) -> Result<(), Error>;
    /// The session of an event stream. `None` for other sockets, and once it has closed.
    fn session(&self, socket: SocketId) -> Option<Session>;
    /// Sends to one socket of this Replica.
    fn send(&self, socket: SocketId, message: &Message) -> Result<(), Error>;
    /// The same in its `on_open`, ahead of what waits for the end of that.
    fn send_first(&self, socket: SocketId, message: &Message) -> Result<(), Error>;
    /// Closes one socket of this Replica after everything that was sent before.
    fn close(&self, socket: SocketId, code: CloseCode, reason: &str);
    /// Sends to the sockets of this Replica, except `except`.
    fn emit(&self, message: &Message, except: Except<&ClientId>) -> Result<(), Error>;
    /// Sends to the sockets of the Group, except `except`.
    fn broadcast(&self, message: &Message, except: Except<&ClientId>) -> Result<(), Error>;
    /// Sends to the sockets of the Group, except `except`, and counts them.
    fn broadcast_confirmed(
        &self,
        message: Message,
        except: Except<ClientId>,
    ) -> LocalFuture<Result<BroadcastReport, Error>>;
    /// Subscribes a socket to a topic. Completes when the Group knows that this Replica has subscribers of it.
    fn subscribe(&self, socket: SocketId, topic: Topic) -> LocalFuture<Result<(), Error>>;
    /// Ends a subscription of a socket, if there is one.
    fn unsubscribe(&self, socket: SocketId, topic: &str) -> Result<(), Error>;
    /// The topics of a socket.
    fn topics(&self, socket: SocketId) -> Vec<Topic>;
    /// Sends to the subscribers of a topic on this Replica, except `except`.
    fn emit_to(&self, topic: &str, message: &Message, except: Except<&ClientId>) -> Result<(), Error>;
    /// Sends to the subscribers of a topic in the Group, except `except`.
    fn broadcast_to(&self, topic: Topic, message: &Message, except: Except<&ClientId>) -> Result<(), Error>;
    /// Sends to all sockets of one client, wherever they are.
    fn whisper(&self, client: ClientId, message: Message) -> LocalFuture<Result<usize, Error>>;
    /// Asks every sibling that is not parked.
    fn gossip(&self, gossip: Bytes) -> LocalFuture<Result<GossipAnswers, Error>>;
    /// Calls the Group of this Replica.
    fn call_group(&self, call: Bytes) -> LocalFuture<Result<Bytes, Error>>;
    /// Names the client of a socket, once.
    fn assign(&self, socket: SocketId, client: ClientId) -> LocalFuture<Result<(), Error>>;
    /// The client of a socket, while that has not ended or its last handler runs.
    fn client(&self, socket: SocketId) -> Option<ClientId>;
    /// The identity of a socket.
    fn identity(&self, socket: SocketId) -> Result<Option<Bytes>, Error>;
    /// Has the Group do this.
    fn verb(&self, verb: GroupVerb) -> LocalFuture<Result<VerbAnswer, Error>>;
    /// Has the Group do this with the log of a topic.
    fn log(&self, verb: LogVerb) -> LocalFuture<Result<LogVerbAnswer, Error>>;
    /// Sets the presence value of a socket.
    fn set_presence(&self, socket: SocketId, value: Bytes) -> Result<(), Error>;
    /// The name of a socket in the presence of the Group.
    fn connection(&self, socket: SocketId) -> Option<ConnectionId>;
    /// Subscribes a socket to a topic, and replays what came after a position.
    fn resume(
        &self,
        socket: SocketId,
        topic: LogTopic,
        since: Position,
    ) -> LocalFuture<Result<Result<Recovered, Unrecovered>, Error>>;
    /// The attachment of a socket.
    fn attachment(&self, socket: SocketId) -> Result<Option<Bytes>, Error>;
    /// What the user's code keeps in memory for a socket: the value of the type `kind`, or the one that `make` makes.
    fn socket_state(&self, socket: SocketId, kind: TypeId, make: fn() -> Rc<dyn Any>) -> Result<Rc<dyn Any>, Error>;
    /// Replaces the attachment of a socket.
    fn set_attachment(&self, socket: SocketId, attachment: Bytes) -> Result<(), Error>;
}

/// Behind a [`GroupContext`](crate::GroupContext).
pub trait GroupPort: ObjectPort {
    /// This Group.
    fn group(&self) -> GroupId;
    /// A Replica id that was never used.
    fn unique_replica(&self) -> ReplicaId;
    /// [`Group::NAME`](crate::Group::NAME).
    fn class(&self) -> &'static str;
    /// Sends to all sockets of the Group, or to the subscribers of a topic.
    fn broadcast(&self, topic: Option<Topic>, message: Message) -> Result<(), Error>;
    /// Reaches or counts sockets of the Group.
    fn verb(&self, verb: GroupVerb) -> LocalFuture<Result<VerbAnswer, Error>>;
    /// Uses the log of a topic.
    fn log(&self, verb: LogVerb) -> LocalFuture<Result<LogVerbAnswer, Error>>;
}

/// Beneath a [`ReplicaHandle`](crate::ReplicaHandle): the Replica that serves a client, and the ticket for its seat there.
pub trait SeatPort {
    /// The Replica.
    fn replica(&self) -> ReplicaId;
    /// Takes the seat with this request, and gives the identity with it.
    fn fetch(self: Box<Self>, request: Request, identity: Option<Bytes>) -> LocalFuture<Result<Response, Error>>;
}

/// Behind a [`Dog`](crate::Dog).
pub trait AppPort {
    /// The values that the program passed in.
    fn env(&self) -> &Env;
    /// Asks a Group which Replica serves a client, and reserves a seat there.
    fn identify(
        &self,
        class: &'static str,
        group: GroupId,
        client: ClientId,
    ) -> LocalFuture<Result<Box<dyn SeatPort>, Error>>;
    /// The response that accepts the WebSocket that a request asks for, or the one that says what is wrong with the request.
    fn shake_hands(&self, request: &Request) -> Result<Response, Box<Response>>;
    /// Calls a Group.
    fn call_group(&self, class: &'static str, group: GroupId, call: Bytes) -> LocalFuture<Result<Bytes, Error>>;
    /// Passes a request to a Group itself.
    fn fetch_group(
        &self,
        class: &'static str,
        group: GroupId,
        request: Request,
    ) -> LocalFuture<Result<Response, Error>>;
    /// The time of the host.
    fn now(&self) -> Timestamp;
    /// Sends to all sockets of a Group, or to the subscribers of a topic.
    fn broadcast(
        &self,
        class: &'static str,
        group: GroupId,
        topic: Option<Topic>,
        message: Message,
    ) -> Result<(), Error>;
    /// Reaches or counts sockets of a Group.
    fn verb(&self, class: &'static str, group: GroupId, verb: GroupVerb) -> LocalFuture<Result<VerbAnswer, Error>>;
    /// Uses the log of a topic of a Group.
    fn log(&self, class: &'static str, group: GroupId, verb: LogVerb) -> LocalFuture<Result<LogVerbAnswer, Error>>;
}
