//! Counts messages between objects by kind.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::AddAssign;

use dog_engine::message::{
    GroupAnswer, GroupCall, GroupCast, PresenceCall, PresenceReply, ReplicaAnswer, ReplicaCall, ReplicaCast,
};
use dog_engine::wire;
use serde::Serialize;

/// Messages of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// The number of messages. A message to several objects counts once for each.
    pub messages: u64,
    /// Their size in bytes, in the format of node messages and without the header.
    pub bytes: u64,
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }
}

/// The messages by their names in DESIGN.md. An answer has the name of its call with `, answered`.
pub type Traffic = BTreeMap<&'static str, Amount>;

/// Counts messages after [`start`](Self::start).
#[derive(Default)]
pub(super) struct TrafficCounter(RefCell<Option<Traffic>>);

impl TrafficCounter {
    /// Begins to count.
    pub(super) fn start(&self) {
        self.0.replace(Some(Traffic::new()));
    }

    /// Takes the counts and starts again from zero.
    pub(super) fn take(&self) -> Traffic {
        self.0.borrow_mut().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Counts a message once, even if the network duplicates it.
    pub(super) fn count(&self, message: &impl Counted) {
        if let Some(traffic) = &mut *self.0.borrow_mut() {
            let bytes = wire::length(message).map_or(0, |length| length as u64);
            *traffic.entry(message.name()).or_default() += Amount { messages: 1, bytes };
        }
    }
}

/// A message with a name.
pub(super) trait Counted: Serialize {
    fn name(&self) -> &'static str;
}

impl Counted for GroupCall {
    fn name(&self) -> &'static str {
        match self {
            Self::Identify { .. } => "Identify",
            Self::Locate { .. } => "Locate",
            Self::Enroll(_) => "Enroll",
            Self::Parked => "Parked",
            Self::Call { .. } => "Call",
            Self::Verb(_) => "Verb",
            Self::Interest(_) => "Interest",
            Self::Log { .. } => "Log",
            Self::Missed(_) => "Missed",
            Self::Presence(_, PresenceCall::Report(_)) => "Report of connections",
            Self::Presence(_, PresenceCall::Question(_)) => "Question about presence",
            Self::Tail(_) => "Tail",
        }
    }
}

impl Counted for GroupAnswer {
    fn name(&self) -> &'static str {
        match self {
            Self::Identified(_) => "Identify, answered",
            Self::Located(_) => "Locate, answered",
            Self::Enrolled(_) => "Enroll, answered",
            Self::Parked(_) => "Parked, answered",
            Self::Called(_) => "Call, answered",
            Self::Verb(_) => "Verb, answered",
            Self::Interest(_) => "Interest, answered",
            Self::Log(_) => "Log, answered",
            Self::Missed(_) => "Missed, answered",
            Self::Presence(_, PresenceReply::Reported(_)) => "Report of connections, answered",
            Self::Presence(_, PresenceReply::Answered(_)) => "Question about presence, answered",
            Self::Tail(_) => "Tail, answered",
        }
    }
}

impl Counted for GroupCast {
    fn name(&self) -> &'static str {
        match self {
            Self::Report(_) => "Report",
            Self::Release(_) => "Release",
            Self::Farewell { .. } => "Farewell",
            Self::Broadcast(_) => "Broadcast",
            Self::BroadcastTo { .. } => "Broadcast to a topic",
            Self::AcknowledgeLog(_) => "Acknowledge of a log",
            Self::AcknowledgePresence(..) => "Acknowledge of presence",
        }
    }
}

impl Counted for ReplicaCall {
    fn name(&self) -> &'static str {
        match self {
            Self::Join(_) => "Join",
            Self::UpdateView(_) => "UpdateView",
            Self::Census(_) => "Census",
            Self::Deliver(_) => "Deliver, confirmed",
            Self::Publication(_) => "Publication, confirmed",
            Self::Whisper { .. } => "Whisper",
            Self::Gossip(_) => "Gossip",
            Self::Hand { .. } => "Hand",
            Self::CountSeats => "CountSeats",
            Self::Roster(..) => "Roster",
            Self::Disconnect { .. } => "Disconnect",
        }
    }
}

impl Counted for ReplicaAnswer {
    fn name(&self) -> &'static str {
        match self {
            Self::ViewAck(_) => "UpdateView, answered",
            Self::Counted(_) => "Join or Census, answered",
            Self::Delivered(_) => "Deliver, Publication or Whisper, answered",
            Self::Gossip(_) => "Gossip, answered",
            Self::Roster(..) => "Roster, answered",
        }
    }
}

impl Counted for ReplicaCast {
    fn name(&self) -> &'static str {
        match self {
            Self::Deliver(_) => "Deliver",
            Self::DeliverTopic(_) => "Deliver to a topic",
            Self::Publication(_) => "Publication",
            Self::LogHead(_) => "Head of a log",
            Self::Presence(..) => "Presence",
            Self::PresenceHead(..) => "Version of the presence",
            Self::Acknowledge { .. } => "Acknowledge",
        }
    }
}
