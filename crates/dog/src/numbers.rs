//! Numbers that tell sockets and activations apart: [`SocketId`], [`Epoch`].

use serde::{Deserialize, Serialize};

/// The number of a socket: unique within one activation of its Replica, and on the native host within the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(u64);

impl SocketId {
    #[doc(hidden)]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    #[doc(hidden)]
    pub const fn raw(self) -> u64 {
        self.0
    }
}

/// The number of one activation of an object. It grows with each activation, so that a late message of an earlier one is
/// recognised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(u64);

impl Epoch {
    #[doc(hidden)]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}
