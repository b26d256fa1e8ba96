//! What objects have said to each other, counted by what it was.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use dog_engine::message::{GroupAnswer, GroupCall, GroupCast, ReplicaAnswer, ReplicaCall, ReplicaCast};
use dog_engine::wire;
use serde::Serialize;

use super::World;

/// So many messages of one kind, and how long they are together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Each to one object.
    pub messages: u64,
    /// As a cluster of hosts writes them, without what stands around them in a letter.
    pub bytes: u64,
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }
}

/// What was said, by the name that DESIGN.md has for it. An answer has the name of its question with `, answered`.
pub type Traffic = BTreeMap<&'static str, Amount>;

/// A message, and what it is called.
pub(super) trait Said: Serialize {
    fn name(&self) -> &'static str;
}

impl Said for GroupCall {
    fn name(&self) -> &'static str {
        match self {
            Self::Identify { .. } => "Identify",
            Self::Locate { .. } => "Locate",
            Self::Enroll(_) => "Enroll",
            Self::Parked => "Parked",
        }
    }
}

impl Said for GroupAnswer {
    fn name(&self) -> &'static str {
        match self {
            Self::Identified(_) => "Identify, answered",
            Self::Located(_) => "Locate, answered",
            Self::Enrolled(_) => "Enroll, answered",
            Self::Parked(_) => "Parked, answered",
        }
    }
}

impl Said for GroupCast {
    fn name(&self) -> &'static str {
        match self {
            Self::Report(_) => "Report",
            Self::Release(_) => "Release",
            Self::Farewell { .. } => "Farewell",
        }
    }
}

impl Said for ReplicaCall {
    fn name(&self) -> &'static str {
        match self {
            Self::Join(_) => "Join",
            Self::Meet(_) => "Meet",
            Self::Census(_) => "Census",
            Self::Deliver(_) => "Deliver, confirmed",
            Self::Whisper { .. } => "Whisper",
            Self::Gossip(_) => "Gossip",
        }
    }
}

impl Said for ReplicaAnswer {
    fn name(&self) -> &'static str {
        match self {
            Self::Known(_) => "Meet, answered",
            Self::Counted(_) => "Join or Census, answered",
            Self::Delivered(_) => "Deliver or Whisper, answered",
            Self::Gossip(_) => "Gossip, answered",
        }
    }
}

impl Said for ReplicaCast {
    fn name(&self) -> &'static str {
        match self {
            Self::Deliver(_) => "Deliver",
            Self::Acknowledge { .. } => "Acknowledge",
        }
    }
}

impl World {
    /// From now on, what is said is counted.
    pub fn count_traffic(&self) {
        self.traffic.replace(Some(Traffic::new()));
    }

    /// What was said since that was last asked.
    pub fn take_traffic(&self) -> Traffic {
        self.traffic.borrow_mut().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Something leaves: once, however often the network carries it.
    pub(super) fn said(&self, what: &impl Said) {
        if let Some(traffic) = &mut *self.traffic.borrow_mut() {
            let bytes = wire::length(what).map_or(0, |length| length as u64);
            *traffic.entry(what.name()).or_default() += Amount { messages: 1, bytes };
        }
    }
}
