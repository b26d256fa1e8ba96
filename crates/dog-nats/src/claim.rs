//! [`Claim`]: the message that says which node owns an object.

use dog_engine::address::NodeId;
use serde::{Deserialize, Serialize};

use crate::stream::{Put, Stored, StreamError};

/// The payload of an object's owner subject. A claim stores it, and each batch of writes replaces it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// The node that owns the object.
    pub(crate) node: NodeId,
    /// A random text that identifies this claim or batch.
    pub(crate) nonce: String,
}

impl Claim {
    /// Returns the message that stores it in that subject.
    pub(crate) fn put(&self, subject: String) -> Result<Put, StreamError> {
        let text = serde_json::to_vec(self).map_err(|error| StreamError::Rejected(error.to_string()))?;
        Ok(Put::new(subject, text))
    }

    /// Returns the number of the stored message (zero if there is none) and the claim in it. A malformed claim counts
    /// as none.
    pub(crate) fn read(stored: Option<Stored>) -> (u64, Option<Self>) {
        let Some(Stored { sequence, payload }) = stored else { return (0, None) };
        (sequence, payload.and_then(|payload| serde_json::from_slice(&payload).ok()))
    }
}
