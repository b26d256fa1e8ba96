//! What crosses from one thread to another: see `post` for how.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use dog::internal::Kind;
use dog::{Epoch, Error, Request, Response, SocketId, Timestamp};
use dog_engine::address::{GroupAddress, NodeId, Object, ReplicaAddress, SeatId, Targets, Ticket};
use dog_engine::host::{Fetched, SeatGuard};
use dog_engine::message::{GroupAnswer, GroupCall, GroupCast, ReplicaAnswer, ReplicaCall, ReplicaCast};
use tokio::sync::oneshot;
use tracing::Span;

use super::post::Post;
use crate::cluster::Owner;
use crate::connection::{Lane, Stream};
use crate::front::AddressPermit;
use crate::metrics::Figures;

/// Where an answer goes: the worker that asked, and its number for the question.
#[derive(Debug)]
pub(crate) struct ReturnAddress {
    /// The node that asked: the default one is this process, in a cluster or not.
    pub(crate) node: NodeId,
    pub(crate) worker: usize,
    pub(crate) question: u64,
    /// What the question belongs to, for the log. Nothing, and free, where no subscriber wants spans.
    pub(crate) span: Span,
}

impl ReturnAddress {
    /// One of this process.
    pub(crate) fn here(worker: usize, question: u64) -> Self {
        Self { node: NodeId::default(), worker, question, span: Span::current() }
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
        /// How many nodes have passed it on.
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
        /// How many nodes have passed it on.
        hops: u8,
    },
    Answer {
        question: u64,
        answer: Result<Answer, Error>,
    },
    /// What came of a write.
    Written {
        object: Object,
        question: u64,
        outcome: Result<(), Error>,
    },
    /// The storage failed to keep an alarm.
    AlarmRefused {
        object: Object,
        at: Option<Timestamp>,
    },
    /// A socket's connection has come.
    Attach(Box<Attach>),
    /// It will not come.
    Abandoned {
        socket: SocketId,
    },
    /// A seat is given back.
    Released {
        to: ReplicaAddress,
        epoch: Epoch,
        seat: SeatId,
    },
    /// A request from outside that has come in elsewhere.
    Outside {
        request: Request,
        reply: oneshot::Sender<Response>,
        span: Span,
    },
    /// What has been counted is asked for.
    Figures(oneshot::Sender<Figures>),
    /// The server ends: in good order, or at once.
    Stop {
        at_once: bool,
    },
    /// Another worker has done all that it had to: time to look whether all have.
    Drained,
    /// An object is to live somewhere: its alarm is due, and the rest follows from that.
    Wake {
        object: Object,
    },
    /// A worker asks the one that an object belongs to in this process where it lives; `claim`: here, if nowhere.
    Where {
        object: Object,
        claim: bool,
        worker: usize,
    },
    /// The answer.
    Placed {
        object: Object,
        owner: Result<Owner, Error>,
    },
    /// Another node has said that an object lives at that one.
    Corrected {
        object: Object,
        node: NodeId,
    },
    /// A node has ended.
    Gone {
        node: NodeId,
    },
    /// This node's lease is over.
    Fenced,
    /// A worker that had too much to do has less again.
    Eased {
        worker: usize,
    },
    /// Sockets of a Group at another worker do not keep up; or all do again.
    Lags {
        group: GroupAddress,
        worker: usize,
        lags: bool,
    },
    /// An alarm stands in the storage, or does no more.
    AlarmSeen {
        object: Object,
        at: Option<Timestamp>,
    },
}

/// An answer to any of the calls.
pub(crate) enum Answer {
    Group(GroupAnswer),
    Replica(ReplicaAnswer),
    GroupFetched(Response),
    ReplicaFetched(Fetched),
    /// To a write: it is durable.
    Written,
}

/// An answer that is on its way.
pub(crate) struct Asked {
    receiver: oneshot::Receiver<Result<Answer, Error>>,
}

impl Asked {
    pub(crate) fn new(receiver: oneshot::Receiver<Result<Answer, Error>>) -> Self {
        Self { receiver }
    }

    pub(crate) async fn answer(self) -> Result<Answer, Error> {
        match self.receiver.await {
            Ok(answer) => answer,
            Err(_) => Err(Error::new(Kind::Unreachable, "the worker has ended")),
        }
    }
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
    /// The one object that it is for.
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

    /// What it counts for while it waits, in bytes.
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
        PIECE + carried
    }

    /// Whether it may be refused where too much waits: whoever asked hears of it, and a message is not delivered. What
    /// remains is bounded by the seats, sockets, questions and writes that it is about.
    pub(crate) fn may_be_turned_down(&self) -> bool {
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

    /// Whether it wakes its object, wherever nobody has it: what is told to Replicas is for their sockets alone.
    pub(crate) fn claims(&self) -> bool {
        self.object().is_some()
    }

    /// The node that wants an answer to it.
    pub(crate) fn asker(&self) -> Option<NodeId> {
        match self {
            Self::GroupCall { back, .. } | Self::ReplicaCall { back, .. } => Some(back.node),
            _ => None,
        }
    }

    /// Where its answer goes.
    pub(crate) fn back(self) -> Option<ReturnAddress> {
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

/// What a piece of mail counts for besides the message that it carries, in bytes.
const PIECE: usize = 256;

/// Sends a piece of mail when it is dropped, on whatever thread that happens.
pub(crate) struct Guard {
    post: Post,
    worker: usize,
    /// A seat, or a socket, that is given back.
    mail: Mutex<Option<Mail>>,
}

impl Guard {
    pub(crate) fn new(post: Post, worker: usize, mail: Mail) -> Self {
        Self { post, worker, mail: Mutex::new(Some(mail)) }
    }
}

impl SeatGuard for Guard {
    fn disarm(&self) {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mail = self.mail.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mail) = mail {
            self.post.send(self.worker, vec![mail]);
        }
    }
}
