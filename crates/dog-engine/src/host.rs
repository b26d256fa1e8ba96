//! The few things that a host does: how bytes move. What is to be moved, and to whom, the engine decides.

use std::ops::Bound;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dog::internal::LocalFuture;
use dog::{
    ClientId, Close, CloseCode, Env, Epoch, Error, Failure, Message, ReplicaId, Request, Response, SocketError,
    SocketId, Timestamp,
};

use crate::address::{ClassIndex, GroupAddress, NodeId, Object, ReplicaAddress, SeatId, Targets, Ticket};
use crate::books::MemberSeats;
use crate::handshake;
use crate::message::{GroupAnswer, GroupCall, GroupCast, ReplicaAnswer, ReplicaCall, ReplicaCast};
use crate::reply::Reply;
use crate::seats::{Audience, Refusal};

/// One place where objects live: a worker thread, a Workers isolate, a simulation.
///
/// No primitive calls back into an object before it returns: what follows from it comes in a later turn of the host's
/// loop. Calls and casts from one object to another arrive in the order in which they were made.
pub trait Host: 'static {
    /// Whether [`GroupObject::goodbye`] is ever called: where it is not, nothing is written for it, nor looked for.
    const SAYS_GOODBYE: bool = true;
    /// Whether [`read_range`](Host::read_range) and [`alarm`](Host::alarm) tell of any object, whoever asks: so that a Group
    /// finds out which of its Replicas keep nothing. Where they do not, it remembers all of them.
    const READS_OTHERS: bool = true;

    /// What the user passed in.
    fn env(&self) -> &Env;
    /// The time.
    fn now(&self) -> Timestamp;
    /// Ends after `duration`.
    fn sleep(&self, duration: Duration) -> LocalFuture<()>;
    /// Runs `task` beside everything else.
    fn spawn(&self, task: LocalFuture<()>);
    /// An id that no Replica has had, at a place that suits the Group.
    fn unique_replica(&self, group: GroupAddress) -> ReplicaId;
    /// The node that this is, of a cluster of hosts.
    fn node(&self) -> NodeId {
        NodeId::default()
    }
    /// A new Replica, which nobody has been sent to yet, is best begun at that node.
    fn prefer(&self, replica: ReplicaAddress, node: NodeId) {
        let _ = (replica, node);
    }
    /// How long an object may be idle before it leaves memory: `None` for ever, zero to leave after every event.
    fn hibernate_after(&self) -> Option<Duration>;
    /// Whether objects look after each other while nothing happens, and a Group that wakes after all its members. Not
    /// where a timer keeps its object in memory and every question is paid for: there a Group asks when somebody wants to
    /// be placed or found, a life that begins tells its Group all its seats anyway, and what a Group need not hear at once
    /// it hears within a second, together.
    fn keeps_watch(&self) -> bool {
        true
    }
    /// The class of that name.
    fn class(&self, name: &str) -> Option<ClassIndex>;

    /// Puts a message into the sockets' outboxes, all of `sockets` but those of `except`. How many took it.
    fn deliver(&self, message: &Message, sockets: &[SocketId], except: &[SocketId]) -> usize;
    /// The same for all open sockets of a Replica: where messages come faster than they are written, a host can do for
    /// all of them what it would do for each.
    fn deliver_to_all(&self, message: &Message, audience: &Audience<'_>, except: &[SocketId]) -> usize {
        self.deliver(message, audience.sockets, except)
    }
    /// Ends a socket, after what was delivered before.
    fn close(&self, socket: SocketId, code: CloseCode, reason: &str);
    /// The socket's handler has ended: its next message may come.
    fn resume(&self, socket: SocketId);
    /// The bytes kept with a socket.
    fn attachment(&self, socket: SocketId) -> Option<Bytes>;
    /// Keeps bytes with a socket.
    fn set_attachment(&self, socket: SocketId, attachment: Bytes);

    /// Asks a Group.
    fn call_group(&self, to: GroupAddress, call: GroupCall) -> LocalFuture<Result<GroupAnswer, Error>>;
    /// Tells a Group.
    fn cast_group(&self, to: GroupAddress, cast: GroupCast);
    /// Asks a Replica.
    fn call_replica(&self, to: ReplicaAddress, call: ReplicaCall) -> LocalFuture<Result<ReplicaAnswer, Error>>;
    /// Waits until so many Replicas more may be asked on behalf of users' handlers: first come, first served. Where many
    /// handlers ask many Replicas in the same moment, this bounds what is under way; by default nothing does.
    ///
    /// # Errors
    /// When too many wait already.
    fn leave_to_ask(&self, many: usize) -> LocalFuture<Result<Box<dyn Leave>, Error>> {
        let _ = many;
        Box::pin(async { Ok(Box::new(Unbounded) as Box<dyn Leave>) })
    }
    /// Tells Replicas.
    fn cast_replicas(&self, to: &Targets, cast: ReplicaCast);
    /// Passes a request to a Group.
    fn fetch_group(&self, to: GroupAddress, request: Request) -> LocalFuture<Result<Response, Error>>;
    /// Passes a request to a Replica.
    fn fetch_replica(
        &self,
        to: ReplicaAddress,
        ticket: Ticket,
        request: Request,
    ) -> LocalFuture<Result<Fetched, Error>>;

    /// The response that opens the WebSocket that `request` asks for, or the one that says what is wrong with it.
    fn shake_hands(&self, request: &Request) -> Result<Response, Box<Response>> {
        handshake::accept(request)
    }
    /// Makes a socket of a Replica here, for this client, whose connection is yet to come: what is delivered to it
    /// waits. If the guard is dropped, on whatever thread, and was not disarmed before, the socket has ended: lost.
    fn new_socket(&self, replica: ReplicaAddress, client: &ClientId) -> (SocketId, Arc<dyn SeatGuard>);
    /// The open sockets of a Replica that begins a life: where sockets outlive the object's time in memory, those of
    /// its life before.
    fn sockets(&self, replica: ReplicaAddress) -> Vec<(SocketId, ClientId)> {
        let _ = replica;
        Vec::new()
    }
    /// Gives `seat` back when it is dropped, on whatever thread, unless disarmed before.
    fn seat_guard(&self, replica: ReplicaAddress, epoch: Epoch, seat: SeatId) -> Arc<dyn SeatGuard>;
    /// This life of a Replica is over: the next thing sent to it begins another.
    fn replica_ended(&self, replica: ReplicaAddress, epoch: Epoch);
    /// This life of a Group is over: the next thing sent to it begins another.
    fn group_ended(&self, group: GroupAddress, epoch: Epoch);

    /// One of an object's entries, as last written. What earlier lives have handed over is done, or refused, before.
    fn read(&self, object: Object, space: Space, key: Vec<u8>) -> LocalFuture<Result<Option<Bytes>, Error>>;
    /// Some of an object's entries, in the order of their keys or backwards, `most` of them at most; when, as `read`.
    fn read_range(
        &self,
        object: Object,
        space: Space,
        keys: (Bound<Vec<u8>>, Bound<Vec<u8>>),
        most: Option<usize>,
        reverse: bool,
    ) -> LocalFuture<Result<Vec<(Bytes, Bytes)>, Error>>;
    /// Writes all of a batch or nothing; ends with `Ok` when it is durable. Batches of one object are done in the order
    /// in which they were handed over. One of an earlier life than the object's present one fails.
    fn write(&self, object: Object, epoch: Epoch, batch: Batch) -> LocalFuture<Result<(), Error>>;
    /// When an object's alarm is set for.
    fn alarm(&self, object: Object) -> LocalFuture<Result<Option<Timestamp>, Error>>;
    /// Calls the object's `alarm` once more at `at`, though it has rung, waking it if need be; unless an alarm is written
    /// before that, in place of this one too.
    fn ring_again(&self, object: Object, at: Timestamp, attempt: u32);

    /// Something has happened that a host may want to count.
    fn occurred(&self, occurrence: Occurrence<'_>) {
        let _ = occurrence;
    }

    /// Whether one more event of this kind, which somebody outside may bring about at will, is to be logged: a host whose
    /// log is to stay readable counts those that come again and again, and says how many there were (see
    /// [`Repeats`](crate::repeats::Repeats)).
    fn may_log(&self, kind: &'static str) -> bool {
        let _ = kind;
        true
    }

    /// From now on the thread runs code of this life, or again of none; what it ran before is given back. A host that
    /// notes it can tell which object never returns to its thread.
    fn runs(&self, life: Option<Epoch>) -> Option<Epoch> {
        let _ = life;
        None
    }
}

/// What a host may count: see [`Host::occurred`].
#[derive(Clone, Copy, Debug)]
pub enum Occurrence<'a> {
    /// A handler, or a task of the engine's, has to wait for something.
    Waits,
    /// One that had to wait has ended, so long after it began to wait.
    Waited(Duration),
    /// One of the user's functions has returned an error. The log says it already.
    Failed {
        /// Its name.
        handler: &'static str,
        /// Why.
        cause: &'a Failure,
    },
    /// One has panicked, and said this.
    Panicked(&'a str),
}

/// How an object stands, for whoever watches: see [`ReplicaObject::standing`] and [`GroupObject::standing`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObjectStanding {
    /// Whether the user's value is in memory.
    pub awake: bool,
    /// Seats taken on a Replica.
    pub seats: u32,
    /// Tickets that a Group has given and that nobody has used yet.
    pub tickets: usize,
    /// Members of a Group but the parked ones.
    pub members: usize,
    /// Parked members.
    pub parked: usize,
}

/// Which of an object's entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Space {
    /// The user's.
    #[default]
    User,
    /// A Group's members.
    Members,
    /// Where a Group's clients were when the host ended.
    Clients,
}

/// Writes that are made together.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Which entries it is about.
    pub space: Space,
    /// Whether all entries that are there are taken away first.
    pub delete_all: bool,
    /// Values to be kept, and keys to be taken away.
    pub entries: Vec<(Vec<u8>, Option<Bytes>)>,
    /// The object's alarm is set, or taken back. From the moment it is handed over the earlier one does not ring any
    /// more, unless this fails: what is cleared when that has rung would be the new one.
    pub alarm: Option<Option<Timestamp>>,
}

/// See [`Host::seat_guard`] and [`Host::new_socket`].
pub trait SeatGuard: Send + Sync {
    /// Somebody else answers for it now: nothing is given back any more.
    fn disarm(&self);
}

/// See [`Host::leave_to_ask`]. What is left of it is given back when it is dropped.
pub trait Leave {
    /// One of those who were asked has answered: somebody else may be asked in its place.
    fn answered(&mut self);
}

/// Leave where nothing is bounded.
struct Unbounded;

impl Leave for Unbounded {
    fn answered(&mut self) {}
}

/// What became of a request for a Replica.
#[derive(Debug)]
pub enum Fetched {
    /// The Replica answered.
    Response(Response),
    /// It did not take the ticket; the request comes back untouched.
    Refused {
        /// The request.
        request: Request,
        /// Why.
        refusal: Refusal,
    },
}

/// How a socket has ended.
#[derive(Clone, Debug)]
pub enum End {
    /// By the wish of one side.
    Close(Close),
    /// By nobody's.
    Error(SocketError),
}

/// Whether the next message of a socket may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// At once.
    Ready,
    /// After [`Host::resume`]. One that comes before is kept and handled in its turn.
    Busy,
}

/// One life of a Replica, as its host drives it.
pub trait ReplicaObject {
    /// A request has come.
    fn fetch(self: Rc<Self>, ticket: Ticket, request: Request, reply: Reply<Fetched>);
    /// Someone asks.
    fn call(self: Rc<Self>, call: ReplicaCall, reply: Reply<ReplicaAnswer>);
    /// Someone tells.
    fn cast(self: Rc<Self>, cast: ReplicaCast);
    /// A seat is given back.
    fn released(self: Rc<Self>, seat: SeatId);
    /// A message has come on a socket.
    fn message(self: Rc<Self>, socket: SocketId, message: Message) -> Readiness;
    /// A socket has ended.
    fn closed(self: Rc<Self>, socket: SocketId, end: End);
    /// The alarm has come, after `attempt` failed attempts.
    fn alarm(self: Rc<Self>, attempt: u32);
    /// This life may not act any more, for another may have begun elsewhere: it ends, its sockets are closed with 1012,
    /// and nobody is told.
    fn cease(self: Rc<Self>);
    /// The host has begun to end: whoever streams or runs beside the handlers is told.
    fn stopping(self: Rc<Self>);
    /// Rests now, as after [`Host::hibernate_after`]. Whether the user's value is out of memory: not while a handler waits or a
    /// response is streamed.
    fn hibernate_now(&self) -> bool;
    /// Which Replica it is.
    fn address(&self) -> ReplicaAddress;
    /// The number of this life.
    fn epoch(&self) -> Epoch;
    /// How it stands.
    fn standing(&self) -> ObjectStanding;
}

/// One life of a Group, as its host drives it.
pub trait GroupObject {
    /// The host ends, and everyone's sockets are closed: what is known of clients is written down for the next life. It
    /// has ended when no task of the Group waits any more.
    fn goodbye(self: Rc<Self>);
    /// A request has come.
    fn fetch(self: Rc<Self>, request: Request, reply: Reply<Response>);
    /// Someone asks.
    fn call(self: Rc<Self>, call: GroupCall, reply: Reply<GroupAnswer>);
    /// Someone tells.
    fn cast(self: Rc<Self>, cast: GroupCast);
    /// The alarm has come, after `attempt` failed attempts.
    fn alarm(self: Rc<Self>, attempt: u32);
    /// This life may not act any more, for another may have begun elsewhere: it ends, and nobody is told.
    fn cease(self: Rc<Self>);
    /// The host has begun to end: whoever streams or runs beside the handlers is told.
    fn stopping(self: Rc<Self>);
    /// A node has ended, and what lived there with it: those Replicas are asked for their seats.
    fn node_gone(self: Rc<Self>, node: NodeId);
    /// Rests now, as after [`Host::hibernate_after`]. Whether it is out of memory: not while it has books to keep.
    fn hibernate_now(&self) -> bool;
    /// The number of this life.
    fn epoch(&self) -> Epoch;
    /// How it stands.
    fn standing(&self) -> ObjectStanding;
    /// What its books say of each member, while it is awake: to compare with what is true.
    fn members(&self) -> Option<Vec<MemberSeats>>;
}
