//! What objects say to each other. Never mixed with outside requests: these are other types, on other ways. They are
//! serde types for hosts that have to carry them further than one process.

use std::sync::Arc;

use bytes::Bytes;
use dog::{ClientId, Epoch, Limit, Message, ReplicaId};
use serde::{Deserialize, Serialize};

use crate::address::{NodeId, Ticket, TicketId, View};

/// Asked of a Group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum GroupCall {
    /// Which Replica is to serve this client?
    Identify {
        /// The client.
        client: ClientId,
        /// The Replica that was named before and did not take it.
        refused: Option<ReplicaId>,
        /// The node that the client has reached: where it is best served.
        near: NodeId,
    },
    /// Which Replicas hold sockets of this client?
    Locate {
        /// The client.
        client: ClientId,
    },
    /// A Replica that woke by itself asks for the members and the limit. It tells all its seats: where sockets outlive
    /// the object's time in memory, a new life begins with those of the one before.
    Enroll(Report),
    /// Which Replicas are parked? Their siblings' view leaves them out.
    Parked,
}

/// A Group's answers, each to the call of its name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum GroupAnswer {
    /// To `Identify`.
    Identified(Ticket),
    /// To `Locate`.
    Located(Vec<ReplicaId>),
    /// To `Enroll`.
    Enrolled(Enrolment),
    /// To `Parked`.
    Parked(#[serde(with = "crate::address::ids")] Arc<[ReplicaId]>),
}

/// What a Replica must know of its Group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolment {
    /// Seats of one Replica.
    pub limit: Limit,
    /// Members.
    pub view: View,
}

/// Told to a Group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum GroupCast {
    /// What a Replica's seats are now.
    Report(Report),
    /// A ticket that nobody will come with.
    Release(Ticket),
    /// A Replica's life is over; its sockets are closed.
    Farewell {
        /// Who.
        replica: ReplicaId,
        /// Which life.
        epoch: Epoch,
    },
}

/// Asked of a Replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReplicaCall {
    /// You are a member, and these are your siblings. The answer, a census, ends the joining.
    Join(Enrolment),
    /// Your siblings are these now. Answered at once, so that the Group knows that it is known.
    Meet(View),
    /// Tell all your seats: the Group has just woken.
    Census(Enrolment),
    /// Give this to your sockets and say how many.
    Deliver(Delivery),
    /// Give this to the client's sockets and say how many.
    Whisper {
        /// The client.
        client: ClientId,
        /// What.
        message: Message,
    },
    /// A sibling asks.
    Gossip(Bytes),
}

/// A Replica's answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ReplicaAnswer {
    /// To `Meet`: from which life.
    Known(Epoch),
    /// To `Join` and `Census`.
    Counted(Report),
    /// To `Deliver` and `Whisper`: how many sockets took it.
    Delivered(usize),
    /// To `Gossip`.
    Gossip(Bytes),
}

/// Told to Replicas.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ReplicaCast {
    /// Give this to your sockets.
    Deliver(Delivery),
    /// The Group has heard of what you reported up to here.
    Acknowledge {
        /// The life it was reported in.
        epoch: Epoch,
        /// The report's number.
        sequence: u64,
    },
}

/// A message for all sockets of a Replica, or all but one client's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// What.
    pub message: Message,
    /// Whose sockets are left out.
    pub except: Option<ClientId>,
}

/// A Replica's seats: absolute numbers, so that a report that is lost, late or doubled does no harm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Who.
    pub replica: ReplicaId,
    /// In which life.
    pub epoch: Epoch,
    /// Where it lives.
    pub node: NodeId,
    /// Grows with each change; an older report says nothing new.
    pub sequence: u64,
    /// Seats taken: open sockets and requests in flight.
    pub occupied: u32,
    /// Seats now of each client whose number changed since the last report that was acknowledged; in a census, of all.
    pub clients: Vec<(ClientId, u32)>,
    /// Tickets taken since the last report that was acknowledged.
    pub taken: Vec<TicketId>,
    /// Whether `clients` names every client that has a seat.
    pub census: bool,
}
