//! The messages that cross threads: [`Mail`]. [`Post`](crate::post::Post) carries them.

use std::fmt;
use std::sync::Arc;

use dog::{Epoch, Error, Request, Response, SocketId, Timestamp};
use dog_engine::address::{GroupAddress, NodeId, Object, ReplicaAddress, SeatId, Targets, Ticket};
use dog_engine::host::Fetched;
use dog_engine::message::{GroupAnswer, GroupCall, GroupCast, ReplicaAnswer, ReplicaCall, ReplicaCast};
use tokio::sync::oneshot;
use tracing::Span;

use crate::addresses::AddressPermit;
use crate::cluster::ports::Owner;
use crate::connection::{Lane, Stream};
use crate::metrics::figures::Figures;

/// Where an answer goes: to the call with this number on this worker.
#[derive(Debug)]
pub(crate) struct ReturnAddress {
    /// The node of the caller. The default is this process, whether it is a node or not.
    pub(crate) node: NodeId,
    pub(crate) worker: usize,
    pub(crate) call: u64,
    /// The span of the caller, for the log. It is empty, and free, where no subscriber wants spans.
    pub(crate) span: Span,
}

impl ReturnAddress {
    /// A call of this process.
    pub(crate) fn here(worker: usize, call: u64) -> Self {
        Self { node: NodeId::default(), worker, call, span: Span::current() }
    }
}

/// One thing that a worker is to do.
pub(crate) enum Mail {
    GroupCall {
        to: GroupAddress,
        call: GroupCall,
        back: ReturnAddress,
    },
    GroupCast {
        to: GroupAddress,
        cast: GroupCast,
    },
    GroupFetch {
        to: GroupAddress,
        request: Request,
        back: ReturnAddress,
        /// How many nodes have forwarded it.
        hops: u8,
    },
    ReplicaCall {
        to: ReplicaAddress,
        call: ReplicaCall,
        back: ReturnAddress,
    },
    ReplicaCast {
        to: Targets,
        cast: ReplicaCast,
    },
    ReplicaFetch {
        to: ReplicaAddress,
        ticket: Ticket,
        request: Request,
        back: ReturnAddress,
        /// How many nodes have forwarded it.
        hops: u8,
    },
    Answer {
        call: u64,
        answer: Result<Answer, Error>,
    },
    /// The outcome of a write.
    Written {
        object: Object,
        call: u64,
        outcome: Result<(), Error>,
    },
    /// The storage failed to store an alarm.
    AlarmRefused {
        object: Object,
        at: Option<Timestamp>,
    },
    /// The connection of a socket has come.
    Attach(Box<Attach>),
    /// The connection of a socket will not come.
    Abandoned {
        socket: SocketId,
    },
    /// A seat is released.
    Released {
        to: ReplicaAddress,
        epoch: Epoch,
        seat: SeatId,
    },
    /// A request from outside that another server, or another thread, has accepted.
    Outside {
        request: Request,
        reply: oneshot::Sender<Response>,
        span: Span,
    },
    /// A request for the worker's counts.
    Figures(oneshot::Sender<Figures>),
    /// The server ends.
    Stop(StopMode),
    /// The worker is to check again whether it may end: another worker, or one of its streams, has ended.
    CheckDrain,
    /// The object is to begin a life wherever it lives, because its alarm is due.
    Wake {
        object: Object,
    },
    /// Where objects of a cluster live.
    Routing(RoutingMail),
    /// Another worker that had too much to do has room again.
    HasRoom {
        worker: usize,
    },
    /// Sockets of a Group on another worker lag, or do so no longer.
    Lags {
        group: GroupAddress,
        worker: usize,
        lags: bool,
    },
}

/// How a server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopMode {
    /// What is under way has its time.
    Graceful,
    /// Nothing is waited for.
    AtOnce,
}

/// What a worker of a cluster's node learns about other nodes, and about the objects that belong to it in this process.
pub(crate) enum RoutingMail {
    /// A worker asks the object's home worker where the object lives.
    Locate { object: Object, claim: Claim, worker: usize },
    /// The answer of the home worker.
    Located { object: Object, owner: Result<Owner, Error> },
    /// The answer of the directory, for the home worker: asked when this node was `node`.
    Found { object: Object, node: NodeId, owner: Result<Owner, Error>, alarm: Option<Timestamp> },
    /// Another node says that the object lives at `node`.
    Moved { object: Object, node: NodeId },
    /// A node has ended.
    NodeGone { node: NodeId },
    /// The lease of this node is over.
    LeaseLost,
    /// The storage says that an alarm is set, or is not set any more.
    AlarmSeen { object: Object, at: Option<Timestamp> },
}

/// Whether a lookup claims an object that no node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    IfFree,
    Never,
}

/// An answer to any of the calls.
pub(crate) enum Answer {
    Group(GroupAnswer),
    Replica(ReplicaAnswer),
    GroupFetched(Response),
    ReplicaFetched(Fetched),
    /// A write is durable.
    Written,
}

/// See [`Mail::Attach`].
pub(crate) struct Attach {
    pub(crate) socket: SocketId,
    pub(crate) stream: Stream,
    pub(crate) unread: Vec<u8>,
    pub(crate) lane: Lane,
    pub(crate) permit: Option<Arc<AddressPermit>>,
}

impl Mail {
    /// The one object that the mail is for. `None` for casts to Replicas, and for mail to the worker itself.
    pub(crate) fn object(&self) -> Option<Object> {
        match self {
            Self::GroupCall { to, .. } | Self::GroupCast { to, .. } | Self::GroupFetch { to, .. } => {
                Some(Object::Group(*to))
            }
            Self::ReplicaCall { to, .. } | Self::ReplicaFetch { to, .. } => Some(Object::Replica(*to)),
            Self::Wake { object } => Some(*object),
            _ => None,
        }
    }

    /// How many bytes the mail counts for while it waits.
    pub(crate) fn weight(&self) -> usize {
        let carried = match self {
            Self::ReplicaCast { cast: ReplicaCast::Deliver(delivery), .. } => delivery.message.len(),
            Self::ReplicaCall { call: ReplicaCall::Deliver(delivery), .. } => delivery.message.len(),
            Self::ReplicaCall { call: ReplicaCall::Whisper { message, .. }, .. } => message.len(),
            Self::ReplicaCall { call: ReplicaCall::Gossip(gossip), .. } => gossip.len(),
            Self::Answer { answer: Ok(Answer::Replica(ReplicaAnswer::Gossip(gossip))), .. } => gossip.len(),
            Self::Attach(attach) => attach.unread.len(),
            _ => 0,
        };
        OVERHEAD + carried
    }

    /// Whether the mail may be refused where too much waits. The caller of a refused call gets an error; a refused message is
    /// not delivered. All other mail is bounded by the seats, sockets, calls and writes that it is about.
    pub(crate) fn may_be_refused(&self) -> bool {
        matches!(
            self,
            Self::GroupCall { .. }
                | Self::GroupFetch { .. }
                | Self::ReplicaCall { .. }
                | Self::ReplicaFetch { .. }
                | Self::ReplicaCast { cast: ReplicaCast::Deliver(_), .. }
                | Self::Outside { .. }
        )
    }

    /// Whether the mail claims an object that no node has. Casts to Replicas do not: they are only for open sockets.
    pub(crate) fn claim(&self) -> Claim {
        if self.object().is_some() { Claim::IfFree } else { Claim::Never }
    }

    /// The node of the caller, if the mail is a call.
    pub(crate) fn caller(&self) -> Option<NodeId> {
        match self {
            Self::GroupCall { back, .. } | Self::ReplicaCall { back, .. } => Some(back.node),
            _ => None,
        }
    }

    /// Where the answer goes, if the mail has one.
    pub(crate) fn into_return_address(self) -> Option<ReturnAddress> {
        match self {
            Self::GroupCall { back, .. }
            | Self::ReplicaCall { back, .. }
            | Self::GroupFetch { back, .. }
            | Self::ReplicaFetch { back, .. } => Some(back),
            _ => None,
        }
    }
}

impl fmt::Debug for Mail {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Mail")
    }
}

/// How many bytes a piece of mail counts for besides the message that it carries.
const OVERHEAD: usize = 256;
