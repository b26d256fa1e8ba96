//! [`Mail`]: the messages between worker threads. [`Post`](crate::post::Post) carries them.

use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use dog::internal::{AppPort, LocalFuture};
use dog::{Close, Epoch, Error, Message, ReplicaId, Request, Response, SocketId, Timestamp};
use dog_engine::address::{GroupAddress, NodeId, Object, ReplicaAddress, SeatId, Targets, Ticket};
use dog_engine::host::Fetched;
use dog_engine::message::{GroupAnswer, GroupCall, GroupCast, ReplicaAnswer, ReplicaCall, ReplicaCast};
use tokio::sync::oneshot;
use tracing::Span;

use crate::addresses::AddressPermit;
use crate::cluster::ports::Owner;
use crate::connection::{Lane, Transport};
use crate::limits::asking;
use crate::metrics::figures::Figures;

/// The call that an answer is for: its number, its worker and its node.
#[derive(Debug)]
pub(crate) struct ReturnAddress {
    /// The node of the caller. The default value means this process.
    pub(crate) node: NodeId,
    pub(crate) worker: usize,
    pub(crate) call: u64,
    /// The address whose request the App answers with this call, if the Groups that it activates are limited.
    pub(crate) asking: Option<IpAddr>,
    /// The caller's span, for the log. It is empty, and costs nothing, if no subscriber wants spans.
    pub(crate) span: Span,
}

impl ReturnAddress {
    /// Creates the return address of a call of this process.
    pub(crate) fn here(worker: usize, call: u64) -> Self {
        Self { node: NodeId::default(), worker, call, asking: asking(), span: Span::current() }
    }
}

/// What a worker does for a [`Handle`](crate::Handle). The argument is its way to all Groups.
pub(crate) type Job = Box<dyn FnOnce(Rc<dyn AppPort>) -> LocalFuture<()> + Send>;

/// A message to a worker.
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
    /// The same call to several Replicas.
    ReplicaCalls(Box<ReplicaCalls>),
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
    /// A write is durable, or has failed.
    Written {
        object: Object,
        call: u64,
        outcome: Result<(), Error>,
    },
    /// An alarm could not be stored.
    AlarmRefused {
        object: Object,
        at: Option<Timestamp>,
    },
    /// The connection of a socket was upgraded and is ready.
    Attach(Box<Attach>),
    /// A connection is refused after the upgrade.
    TurnAway(Box<TurnedAway>),
    /// The connection of a socket was never established.
    Abandoned {
        socket: SocketId,
    },
    /// A seat is released.
    Released {
        to: ReplicaAddress,
        epoch: Epoch,
        seat: SeatId,
    },
    /// A request that another server, or another thread, has accepted.
    Outside {
        request: Request,
        reply: oneshot::Sender<Response>,
        span: Span,
    },
    /// Something that a [`Handle`](crate::Handle) wants to be done.
    Job {
        job: Job,
        /// How many bytes it carries.
        carried: usize,
        span: Span,
    },
    /// Asks for the worker's counts.
    Figures(oneshot::Sender<Figures>),
    /// Begins the shutdown.
    Stop(StopMode),
    /// Makes the worker check again whether it may end, because another worker or one of its streams has ended.
    CheckDrain,
    /// The client of an event stream for which senders are held back has caught up.
    StreamCaughtUp,
    /// Activates the object wherever it lives, because its alarm is due.
    Wake {
        object: Object,
    },
    /// Concerns the locations of objects in a cluster.
    Routing(RoutingMail),
    /// A worker whose mailbox was full has room again.
    HasRoom {
        worker: usize,
    },
    /// Whether sockets of a Group on another worker lag.
    Lags {
        group: GroupAddress,
        worker: usize,
        lags: bool,
    },
}

/// How a server shuts down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopMode {
    /// Clients and handlers get time to finish.
    Graceful,
    /// The server does not wait for anything.
    AtOnce,
}

/// Mail about other nodes, and about the locations of objects.
pub(crate) enum RoutingMail {
    /// Asks the object's home worker where the object lives.
    Locate { object: Object, claim: Claim, worker: usize },
    /// The answer of the home worker.
    Located { object: Object, owner: Result<Owner, Error> },
    /// The answer of the directory, for the home worker. `node` is the id that this node had when it asked.
    Found { object: Object, node: NodeId, owner: Result<Owner, Error>, alarm: Option<Timestamp> },
    /// Another node reports that the object lives on `node`.
    Moved { object: Object, node: NodeId },
    /// A node has ended.
    NodeGone { node: NodeId },
    /// The lease of this node has ended.
    LeaseLost,
    /// The storage reports that an alarm is set, or is no longer set.
    AlarmSeen { object: Object, at: Option<Timestamp> },
}

/// Whether a lookup claims an object that lives on no node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    IfFree,
    /// The lookup claims a Group that lives on no node if it has members. What reaches sockets must not make a Group exist.
    IfMembers,
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

/// See [`Mail::ReplicaCalls`]. The caller is a worker of this process.
pub(crate) struct ReplicaCalls {
    pub(crate) group: GroupAddress,
    pub(crate) call: ReplicaCall,
    /// The Replicas, each with the number of its call.
    pub(crate) to: Vec<(ReplicaId, u64)>,
    /// The worker of the caller.
    pub(crate) worker: usize,
    pub(crate) span: Span,
}

impl ReplicaCalls {
    /// Returns the call to each Replica.
    pub(crate) fn into_each(self) -> impl Iterator<Item = Mail> {
        let Self { group, call, to, worker, span } = self;
        to.into_iter().map(move |(replica, number)| Mail::ReplicaCall {
            to: ReplicaAddress { group, replica },
            call: call.clone(),
            back: ReturnAddress { node: NodeId::default(), worker, call: number, asking: None, span: span.clone() },
        })
    }
}

/// See [`Mail::Attach`].
pub(crate) struct Attach {
    pub(crate) socket: SocketId,
    pub(crate) transport: Transport,
    pub(crate) unread: Vec<u8>,
    pub(crate) lane: Lane,
    pub(crate) permit: Option<Arc<AddressPermit>>,
}

/// See [`Mail::TurnAway`].
pub(crate) struct TurnedAway {
    pub(crate) close: Close,
    pub(crate) transport: Transport,
    pub(crate) unread: Vec<u8>,
    pub(crate) lane: Lane,
    pub(crate) permit: Option<Arc<AddressPermit>>,
}

impl Mail {
    /// Returns the object that the mail is for. `None` for casts to Replicas, and for mail to the worker itself.
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

    /// Returns how many bytes the mail counts while it is queued.
    pub(crate) fn weight(&self) -> usize {
        let carried = match self {
            Self::ReplicaCast { cast: ReplicaCast::Deliver(delivery), .. } => delivery.message.len(),
            Self::ReplicaCast { cast: ReplicaCast::DeliverTopic(delivery), .. } => delivery.message.len(),
            Self::ReplicaCast { cast: ReplicaCast::Publication(delivery), .. } => delivery.publication.size(),
            Self::ReplicaCast { cast: ReplicaCast::Presence(_, list), .. } => list.size(),
            Self::ReplicaCall { call, .. } => carried_by(call),
            Self::ReplicaCalls(calls) => carried_by(&calls.call) + calls.to.len() * size_of::<(ReplicaId, u64)>(),
            Self::GroupCall { call: GroupCall::Call { call, .. }, .. } => call.len(),
            Self::GroupCall { call: GroupCall::Log { verb, .. }, .. } => verb.carried(),
            Self::Answer { answer: Ok(Answer::Group(GroupAnswer::Called(reply))), .. } => reply.len(),
            Self::Answer { answer: Ok(Answer::Group(GroupAnswer::Log(answer))), .. } => answer.carried(),
            Self::Answer { answer: Ok(Answer::Group(GroupAnswer::Missed(answer))), .. } => answer.carried(),
            Self::Answer { answer: Ok(Answer::Group(GroupAnswer::Tail(answer))), .. } => answer.carried(),
            Self::Answer { answer: Ok(Answer::Replica(ReplicaAnswer::Gossip(gossip))), .. } => gossip.len(),
            Self::GroupCall { call: GroupCall::Presence(_, call), .. } => call.carried(),
            Self::Answer { answer: Ok(Answer::Group(GroupAnswer::Presence(_, reply))), .. } => reply.carried(),
            Self::Answer { answer: Ok(Answer::Replica(ReplicaAnswer::Roster(_, Some(page)))), .. } => page.carried(),
            Self::Job { carried, .. } => *carried,
            Self::GroupCast { cast, .. } => cast.message().map_or(0, Message::len),
            Self::GroupCall { call: GroupCall::Verb(verb), .. } => verb.carried(),
            Self::Attach(attach) => attach.unread.len(),
            Self::TurnAway(refused) => refused.unread.len(),
            _ => 0,
        };
        OVERHEAD + carried
    }

    /// Returns whether the mail may be refused when too much is queued. The caller of a refused call gets an error, and
    /// a refused message is not delivered. All other mail is limited by the number of seats, sockets, calls and writes.
    pub(crate) fn may_be_refused(&self) -> bool {
        match self {
            Self::GroupCast { cast, .. } => cast.message().is_some(),
            Self::GroupCall { .. }
            | Self::GroupFetch { .. }
            | Self::ReplicaCall { .. }
            | Self::ReplicaCalls(_)
            | Self::ReplicaFetch { .. }
            | Self::ReplicaCast {
                cast: ReplicaCast::Deliver(_) | ReplicaCast::DeliverTopic(_) | ReplicaCast::Publication(_),
                ..
            }
            | Self::Outside { .. }
            | Self::Job { .. } => true,
            _ => false,
        }
    }

    /// Returns whether a lookup for the mail claims an object that lives on no node. Casts to Replicas do not, because
    /// they are only for open sockets.
    pub(crate) fn claim(&self) -> Claim {
        match self {
            Self::GroupCall { call: GroupCall::Verb(_), .. } => Claim::IfMembers,
            Self::GroupCast { cast, .. } if cast.message().is_some() => Claim::IfMembers,
            _ if self.object().is_some() => Claim::IfFree,
            _ => Claim::Never,
        }
    }

    /// Returns the answer if the object lives on no node and the mail must not make it exist.
    pub(crate) fn answer_of_nobody(&self) -> Option<Answer> {
        match self {
            Self::GroupCall { call, .. } => call.answer_of_nobody().map(Answer::Group),
            _ => None,
        }
    }

    /// Returns the node of the caller, if the mail is a call.
    pub(crate) fn caller(&self) -> Option<NodeId> {
        match self {
            Self::GroupCall { back, .. } | Self::ReplicaCall { back, .. } => Some(back.node),
            _ => None,
        }
    }

    /// Returns the address whose request the App answers with this mail.
    pub(crate) fn asking(&self) -> Option<IpAddr> {
        match self {
            Self::GroupCall { back, .. } | Self::GroupFetch { back, .. } => back.asking,
            _ => None,
        }
    }

    /// Returns the return address, if the mail has an answer.
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

/// Returns the length of the message in a call.
fn carried_by(call: &ReplicaCall) -> usize {
    match call {
        ReplicaCall::Deliver(delivery) => delivery.message.len(),
        ReplicaCall::Publication(delivery) => delivery.publication.size(),
        ReplicaCall::Whisper { message, .. } | ReplicaCall::Hand { message, .. } => message.len(),
        ReplicaCall::Gossip(gossip) => gossip.len(),
        ReplicaCall::Join(_)
        | ReplicaCall::UpdateView(_)
        | ReplicaCall::Census(_)
        | ReplicaCall::CountSeats
        | ReplicaCall::Roster(..)
        | ReplicaCall::Disconnect { .. } => 0,
    }
}

/// How many bytes each piece of mail counts in addition to the message that it carries.
const OVERHEAD: usize = 256;
