//! One life of an object, as its host drives it.

use std::rc::Rc;

use dog::{Epoch, Message, Request, Response, SocketId};

use super::sockets::{End, Readiness};
use super::transport::Fetched;
use crate::address::{NodeId, ReplicaAddress, SeatId, Ticket};
use crate::books::MemberSeats;
use crate::message::{GroupAnswer, GroupCall, GroupCast, ReplicaAnswer, ReplicaCall, ReplicaCast};
use crate::reply::Reply;

/// One life of a Replica.
pub trait ReplicaObject {
    /// A request, with the ticket that reserves its seat.
    fn fetch(self: Rc<Self>, ticket: Ticket, request: Request, reply: Reply<Fetched>);
    /// A call from the Group or a sibling.
    fn call(self: Rc<Self>, call: ReplicaCall, reply: Reply<ReplicaAnswer>);
    /// A cast from the Group or a sibling.
    fn cast(self: Rc<Self>, cast: ReplicaCast);
    /// What this life has to tell its Group of the publications that have come, for a host that can give it back as the answer to
    /// them. What is not taken here is cast within 100 ms.
    fn take_acknowledgement(&self) -> Option<GroupCast>;
    /// A [seat guard](super::SocketHost::seat_guard) was dropped: the seat is free.
    fn released(self: Rc<Self>, seat: SeatId);
    /// A message from a socket.
    fn message(self: Rc<Self>, socket: SocketId, message: Message) -> Readiness;
    /// A socket has ended.
    fn closed(self: Rc<Self>, socket: SocketId, end: End);
    /// The time of the earliest alarm has come: see [`Batch::alarm`](super::Batch::alarm).
    fn alarms_due(self: Rc<Self>);
    /// Ends this life at once, because another may have begun elsewhere. Its sockets are closed with 1012. The Group is not
    /// told.
    fn cease(self: Rc<Self>);
    /// The host has begun to shut down: streams and background tasks of the user are notified.
    fn stopping(self: Rc<Self>);
    /// Hibernates now, as after [`hibernate_after`](super::HostProfile::hibernate_after). Returns whether the user's value is
    /// out of memory: it is not while a handler waits or a response is streamed.
    fn hibernate_now(&self) -> bool;
    /// The address of the Replica.
    fn address(&self) -> ReplicaAddress;
    /// The number of this life.
    fn epoch(&self) -> Epoch;
    /// Counts for monitoring.
    fn status(&self) -> ObjectStatus;
}

/// One life of a Group.
pub trait GroupObject {
    /// The host shuts down and closes all sockets: the clients' last Replicas are stored for the next life. This is complete
    /// when no task of the Group waits any more.
    fn goodbye(self: Rc<Self>);
    /// A request.
    fn fetch(self: Rc<Self>, request: Request, reply: Reply<Response>);
    /// A call from a Replica or the front.
    fn call(self: Rc<Self>, call: GroupCall, reply: Reply<GroupAnswer>);
    /// A cast from a Replica or the front.
    fn cast(self: Rc<Self>, cast: GroupCast);
    /// The time of the earliest alarm has come: see [`Batch::alarm`](super::Batch::alarm).
    fn alarms_due(self: Rc<Self>);
    /// Ends this life at once, because another may have begun elsewhere. Nobody is told.
    fn cease(self: Rc<Self>);
    /// The host has begun to shut down: streams and background tasks of the user are notified.
    fn stopping(self: Rc<Self>);
    /// A node has gone, with everything that lived there: the Replicas on it are asked for their seats.
    fn node_gone(self: Rc<Self>, node: NodeId);
    /// Hibernates now, as after [`hibernate_after`](super::HostProfile::hibernate_after). Returns whether the object is out of
    /// memory: it is not while its books hold seats, tickets or clients.
    fn hibernate_now(&self) -> bool;
    /// The number of this life.
    fn epoch(&self) -> Epoch;
    /// Counts for monitoring.
    fn status(&self) -> ObjectStatus;
    /// The books' entry of each member while the Group is awake, to compare it with the truth in tests.
    fn members(&self) -> Option<Vec<MemberSeats>>;
}

/// Counts of one object, for monitoring. See [`ReplicaObject::status`] and [`GroupObject::status`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObjectStatus {
    /// Whether the user's value is in memory.
    pub awake: bool,
    /// Seats taken on a Replica.
    pub seats: u32,
    /// Tickets of a Group that were given and not used yet.
    pub tickets: usize,
    /// Members of a Group, without parked ones.
    pub members: usize,
    /// Parked members of a Group.
    pub parked: usize,
}
