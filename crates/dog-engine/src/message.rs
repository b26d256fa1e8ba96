//! The messages between objects. They are separate types and separate channels from outside requests, so a client cannot
//! forge one. They are serde types for hosts of more than one process.
//!
//! A **call** has an answer, a **cast** has none.
//!
//! - this file: all of them, but for
//! - `log`: what is said about publications; `topics`: about topics; `presence`: about who is in a Group

mod log;
mod presence;
mod topics;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dog::internal::{Door, GroupVerb, LogVerb, LogVerbAnswer, PresenceVersion, Presences, Session, Topic, VerbAnswer};
use dog::{ClientId, Epoch, Limit, Message, Policy, ReplicaId};
use serde::{Deserialize, Serialize};

use crate::address::{NodeId, Ticket, TicketId, View};
use crate::log::AnswerBounds;
use crate::presence::{PresenceChanges, RosterPage, RosterQuestion};

pub use log::{Acknowledgement, HeadDelivery, MissedAnswer, MissedCall, PublicationDelivery, TailAnswer, TailCall};
pub use presence::{PresenceAcknowledgement, PresenceCall, PresenceReply};
pub use topics::{InterestAnswer, InterestReport, TopicDelivery};

/// A call to a Group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum GroupCall {
    /// Which Replica serves this client?
    Identify {
        /// The client.
        client: ClientId,
        /// The Replica that was named before and has refused the client.
        refused: Option<ReplicaId>,
        /// The node that the client has reached, which can serve it best.
        near: NodeId,
    },
    /// Which Replicas have sockets of this client?
    Locate {
        /// The client.
        client: ClientId,
    },
    /// A Replica that woke by itself asks for the view and the limit, and reports all its seats: where sockets outlive the
    /// object's time in memory, a new life begins with those of the one before.
    Enroll(Report),
    /// Which Replicas are parked? They are not in the view.
    Parked,
    /// A call for the user's `on_call`.
    Call {
        /// The call, encoded.
        call: Bytes,
        /// How long the caller waits for the answer.
        within: Duration,
    },
    /// A Replica has got its first subscriber of a topic, or has lost its last.
    Interest(InterestReport),
    /// Reach or count sockets. The Group does it from its books, without its user's value. If the Group does not exist, the
    /// call does not make it exist: the answer is [`answer_of_nobody`](GroupCall::answer_of_nobody).
    Verb(GroupVerb),
    /// Use the log of a topic.
    Log {
        /// What for.
        verb: LogVerb,
        /// How long the caller waits for the answer.
        within: Duration,
    },
    /// A Replica has missed publications.
    Missed(MissedCall),
    /// A Replica reports its connections, or asks who is in the Group.
    Presence(Presences, PresenceCall),
    /// Sockets of a Replica have come back, and may have missed publications.
    Tail(TailCall),
}

impl GroupCall {
    /// The answer if the Group does not exist. `None`: the call makes it exist.
    pub fn answer_of_nobody(&self) -> Option<GroupAnswer> {
        match self {
            Self::Verb(verb) => Some(GroupAnswer::Verb(verb.of_nobody())),
            Self::Identify { .. } | Self::Locate { .. } | Self::Enroll(_) | Self::Parked | Self::Call { .. } => None,
            Self::Interest(_) | Self::Log { .. } | Self::Missed(_) | Self::Tail(_) | Self::Presence(..) => None,
        }
    }
}

/// A Group's answer, each to the call of the same name.
#[derive(Debug, Serialize, Deserialize)]
pub enum GroupAnswer {
    /// To `Identify`.
    Identified(Ticket),
    /// To `Locate`.
    Located(Vec<ReplicaId>),
    /// To `Enroll`.
    Enrolled(Enrolment),
    /// To `Parked`.
    Parked(#[serde(with = "crate::address::ids")] Arc<[ReplicaId]>),
    /// To `Call`: the reply, encoded.
    Called(Bytes),
    /// To `Verb`.
    Verb(VerbAnswer),
    /// To `Interest`.
    Interest(InterestAnswer),
    /// To `Log`.
    Log(LogVerbAnswer),
    /// To `Missed`.
    Missed(MissedAnswer),
    /// To `Presence`.
    Presence(Presences, PresenceReply),
    /// To `Tail`.
    Tail(TailAnswer),
}

/// What becomes of sockets whose client is not assigned in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignRule {
    /// The time.
    pub within: Duration,
    /// The code with which they close.
    pub code: u16,
}

impl AssignRule {
    /// The rule of a policy.
    pub fn of(policy: &Policy) -> Self {
        Self { within: policy.assign_deadline, code: policy.unassigned_code.as_u16() }
    }
}

impl Default for AssignRule {
    fn default() -> Self {
        Self::of(&Policy::default())
    }
}

/// What a Replica has to know of its Group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// Seats of one Replica.
    pub limit: Limit,
    /// For clients that are not known yet.
    pub assign: AssignRule,
    /// How long a publication may wait for its position.
    pub publish_within: Duration,
    /// Whether the Group has a presence: then the Replica reports its connections.
    pub presence: Option<Presences>,
    /// How much one recovery may replay.
    pub recovery: AnswerBounds,
    /// The members.
    pub view: View,
}

/// A cast to a Group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum GroupCast {
    /// The current seats of a Replica.
    Report(Report),
    /// A ticket that nobody will use.
    Release(Ticket),
    /// A life of a Replica is over, and its sockets are closed.
    Farewell {
        /// The Replica.
        replica: ReplicaId,
        /// The life.
        epoch: Epoch,
    },
    /// Deliver this to all sockets.
    Broadcast(Message),
    /// Deliver this to the subscribers of a topic.
    BroadcastTo {
        /// The topic.
        topic: Topic,
        /// The message.
        message: Message,
    },
    /// A Replica has publications.
    AcknowledgeLog(Acknowledgement),
    /// A Replica knows who is in the Group.
    AcknowledgePresence(Presences, PresenceAcknowledgement),
}

impl GroupCast {
    /// A message for all sockets, or for the subscribers of a topic.
    pub fn broadcast(topic: Option<Topic>, message: Message) -> Self {
        match topic {
            None => Self::Broadcast(message),
            Some(topic) => Self::BroadcastTo { topic, message },
        }
    }

    /// The message for sockets, if it is one. Such a cast comes at most once, can be refused, and does not make a Group exist.
    pub fn message(&self) -> Option<&Message> {
        match self {
            Self::Broadcast(message) | Self::BroadcastTo { message, .. } => Some(message),
            Self::Report(_) | Self::Release(_) | Self::Farewell { .. } => None,
            Self::AcknowledgeLog(_) | Self::AcknowledgePresence(..) => None,
        }
    }
}

/// A call to a Replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReplicaCall {
    /// The Replica is a member, with these siblings. The answer, a census, completes its joining.
    Join(Enrolment),
    /// The view has changed. Answered at once, so that the Group knows that the Replica has it.
    UpdateView(View),
    /// Report all your seats: the Group has woken, or is in doubt.
    Census(Enrolment),
    /// Report all your seats, to a Group whose user's value is not in memory: it knows no limit to tell.
    CountSeats,
    /// Deliver this to your sockets, and count them.
    Deliver(Delivery),
    /// Deliver this publication to the subscribers of its topic, in its order, and count them.
    Publication(PublicationDelivery),
    /// Deliver this to the client's sockets, and count them.
    Whisper {
        /// The client.
        client: ClientId,
        /// The message.
        message: Message,
    },
    /// A gossip of a sibling.
    Gossip(Bytes),
    /// Hand this message of its client to an event stream.
    Hand {
        /// What the client says to be.
        session: Session,
        /// The message.
        message: Message,
    },
    /// Close the client's sockets, and count them.
    Disconnect {
        /// The client.
        client: ClientId,
        /// The close code.
        code: u16,
        /// The reason.
        reason: String,
    },
    /// Who was in the Group, as far as you were told?
    Roster(Presences, RosterQuestion),
}

/// A Replica's answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ReplicaAnswer {
    /// To `UpdateView`: the life that has the view now.
    ViewAck(Epoch),
    /// To `Join`, `Census` and `CountSeats`.
    Counted(Report),
    /// To `Deliver`, `Publication` and `Whisper`: how many sockets accepted the message. To `Disconnect`: how many were closed.
    Delivered(usize),
    /// To `Gossip`.
    Gossip(Bytes),
    /// To `Roster`. `None`: it does not know.
    Roster(Presences, Option<RosterPage>),
}

/// A cast to Replicas.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ReplicaCast {
    /// Deliver this to your sockets.
    Deliver(Delivery),
    /// Deliver this to the subscribers of a topic.
    DeliverTopic(TopicDelivery),
    /// Deliver this publication to the subscribers of its topic, in its order.
    Publication(PublicationDelivery),
    /// This is where a log ends: what is missing has to be asked for.
    LogHead(HeadDelivery),
    /// The Group has taken your reports up to this one.
    Acknowledge {
        /// The life that has reported it.
        epoch: Epoch,
        /// The number of the report.
        sequence: u64,
    },
    /// Who has come into the Group, and who has left it.
    Presence(Presences, PresenceChanges),
    /// This is the version of the Group's presence: what is missing has to be asked for.
    PresenceHead(Presences, PresenceVersion),
}

/// A message for all sockets of a Replica, except for those of one client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// The client whose sockets are left out.
    pub except: Option<ClientId>,
}

/// What one client has on one Replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SeatCount {
    /// Open sockets and requests in flight.
    pub seats: u32,
    /// Open sockets.
    pub sockets: u32,
}

/// The seats of a Replica, as absolute numbers: a report that is lost, late or doubled does no harm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The Replica.
    pub replica: ReplicaId,
    /// The life that reports.
    pub epoch: Epoch,
    /// The node that it lives on.
    pub node: NodeId,
    /// Grows with each change. A report with a smaller number says nothing new.
    pub sequence: u64,
    /// Seats taken: open sockets and requests in flight.
    pub occupied: u32,
    /// What each client has now, if it has changed since the last acknowledged report. In a census: of all clients.
    pub clients: Vec<(ClientId, SeatCount)>,
    /// Tickets used since the last acknowledged report.
    pub taken: Vec<TicketId>,
    /// Whether `clients` names every client that has a seat.
    pub census: bool,
    /// Whether it takes newcomers.
    pub door: Door,
}
