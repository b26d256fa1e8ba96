//! What a Group of the test App can be called for: [`GroupAsk`] and [`GroupReply`].

use serde::{Deserialize, Serialize};

use super::attached::Attached;
use super::report::Why;

/// A call to a Group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupAsk {
    /// Return this value.
    Echo(Attached),
    /// Put this text into the storage, and return the texts that were put there, this one included.
    Keep(String),
    /// Return a text of this many bytes.
    Long(usize),
    /// Broadcast [`waiting`](super::waiting), and wait until this gate is open.
    Wait(String),
    /// Open this gate.
    Open(String),
    /// Fail.
    Fail,
    /// Panic.
    Panic,
    /// Never answer.
    Hang,
    /// Call the Group of this class with this name, and return its reply or the error.
    Pass {
        /// Its name.
        group: String,
        /// The call.
        ask: Box<GroupAsk>,
    },
    /// Call the Group `next` with the same and both names exchanged, without end. An error fails the call.
    Cycle {
        /// The name of the other Group.
        next: String,
        /// The name of this one.
        this: String,
    },
}

/// The reply to a [`GroupAsk`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupReply {
    /// To [`GroupAsk::Echo`].
    Echo(Attached),
    /// To [`GroupAsk::Keep`].
    Kept(Vec<String>),
    /// To [`GroupAsk::Long`].
    Long(String),
    /// To [`GroupAsk::Wait`] and [`GroupAsk::Open`].
    Done,
    /// To [`GroupAsk::Pass`], and from the App and Replicas, which pass a call on too.
    Passed(Result<Box<GroupReply>, Why>),
}

impl GroupReply {
    /// What the caller of a Group has got.
    pub fn passed(called: Result<Self, dog::Error>) -> Self {
        Self::Passed(called.map(Box::new).map_err(|error| Why::from(&error)))
    }
}
