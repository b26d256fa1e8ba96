//! The messages between objects as bytes, for hosts of more than one process. The format is postcard, which is small and
//! fast. Stored values are MessagePack, because later versions must be able to read them; a message between objects need not
//! outlive its version.
//!
//! ```
//! use dog_engine::wire::{VERSION, decode, encode, length};
//!
//! let bytes = encode(&("seats", 2_u32))?;
//! assert_eq!((bytes[0], decode::<(String, u32)>(&bytes)?), (VERSION, ("seats".to_owned(), 2)));
//! assert_eq!(length(&("seats", 2_u32))?, bytes.len());
//! let later = [&[VERSION + 1], &bytes[1..]].concat();
//! assert!(decode::<(String, u32)>(&later).unwrap_err().is_unreachable());
//! # Ok::<(), dog::Error>(())
//! ```

use bytes::Bytes;
use dog::Error;
use dog::internal::{Kind, LogVerb};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::message::{GroupCall, GroupCast, ReplicaCall, ReplicaCast};

/// The first byte of every message. It changes whenever the format of a message does: during a rolling deploy objects of
/// both versions send messages to each other, and must not misinterpret them.
pub const VERSION: u8 = 7;

/// A message to a Group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ToGroup {
    /// With an answer.
    Call(GroupCall),
    /// Without one.
    Cast(GroupCast),
}

/// A message to a Replica.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ToReplica {
    /// With an answer.
    Call(ReplicaCall),
    /// Without one.
    Cast(ReplicaCast),
}

/// Encodes a message, a ticket or an answer, behind [`VERSION`].
///
/// # Errors
/// When the value cannot be serialised ([`Error::is_encoding`]).
pub fn encode<T: Serialize>(value: &T) -> Result<Bytes, Error> {
    append(value, vec![VERSION])
}

/// Encodes a value behind `head`. The caller is responsible for versions.
///
/// # Errors
/// When the value cannot be serialised ([`Error::is_encoding`]).
pub fn append<T: Serialize>(value: &T, head: Vec<u8>) -> Result<Bytes, Error> {
    postcard::to_extend(value, head)
        .map(Bytes::from)
        .map_err(|cause| Error::caused(Kind::Encoding, "the value cannot be serialised", cause))
}

/// The number of bytes that [`encode`] returns.
///
/// # Errors
/// As [`encode`].
pub fn length<T: Serialize>(value: &T) -> Result<usize, Error> {
    postcard::experimental::serialized_size(value)
        .map(|length| length + 1)
        .map_err(|cause| Error::caused(Kind::Encoding, "the value cannot be serialised", cause))
}

/// Decodes what [`encode`] has returned.
///
/// # Errors
/// When the bytes are of another version ([`Error::is_unreachable`]), or are not a `T` ([`Error::is_encoding`]).
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    match bytes.split_first() {
        Some((&VERSION, value)) => read(value),
        Some(_) | None => Err(Error::new(Kind::Unreachable, "the object is of another version: try again later")),
    }
}

/// Decodes a value behind a head of the caller's own.
///
/// # Errors
/// When the bytes are not a `T` ([`Error::is_encoding`]).
pub fn read<T: DeserializeOwned>(value: &[u8]) -> Result<T, Error> {
    postcard::from_bytes(value)
        .map_err(|cause| Error::caused(Kind::Encoding, "the bytes are not the value that was expected", cause))
}

/// Whether a call to a Group is harmless if it arrives twice: then one that may not have arrived can be repeated. A second
/// ticket expires unused.
pub fn may_repeat_to_group(call: &GroupCall) -> bool {
    match call {
        GroupCall::Identify { .. } | GroupCall::Locate { .. } | GroupCall::Enroll(_) | GroupCall::Parked => true,
        GroupCall::Interest(_) | GroupCall::Missed(_) | GroupCall::Tail(_) => true,
        GroupCall::Log { verb: LogVerb::History { .. }, .. } => true,
        GroupCall::Presence(..) => true,
        // A publication with a key has one position, however often it comes.
        GroupCall::Log { verb: LogVerb::Publish { publication, .. }, .. } => publication.key.is_some(),
        // A repeated publication would be answered as if no socket had taken it.
        // A repeated reset would be another one, and a repeated purge would delete what was published meanwhile.
        GroupCall::Log {
            verb: LogVerb::PublishConfirmed { .. } | LogVerb::Reset { .. } | LogVerb::Purge { .. },
            ..
        } => false,
        GroupCall::Call { .. } | GroupCall::Verb(_) => false,
    }
}

/// Whether the call is idempotent: then a call that may not have arrived can be repeated.
pub fn may_repeat(call: &ReplicaCall) -> bool {
    match call {
        ReplicaCall::Join(_) | ReplicaCall::UpdateView(_) | ReplicaCall::Census(_) | ReplicaCall::CountSeats => true,
        ReplicaCall::Roster(..) => true,
        ReplicaCall::Deliver(_)
        | ReplicaCall::Publication(_)
        | ReplicaCall::Whisper { .. }
        | ReplicaCall::Gossip(_)
        | ReplicaCall::Hand { .. }
        | ReplicaCall::Disconnect { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use dog::{Epoch, ReplicaId};

    use super::*;
    use crate::address::{View, ViewVersion};

    #[test]
    fn a_view_is_read_back_and_takes_32_bytes_per_member() {
        let view = |members: u32| View {
            version: ViewVersion { epoch: Epoch::from_raw(1), change: 2 },
            members: (0..members).map(|number| ReplicaId::from_name("room", &number.to_string())).collect(),
        };
        let bytes = encode(&view(100)).unwrap();
        let read: View = decode(&bytes).unwrap();
        assert_eq!((read.version, read.members), (view(100).version, view(100).members));
        assert_eq!(bytes.len(), length(&view(0)).unwrap() + 100 * 32);
        assert!(decode::<View>(&bytes[..bytes.len() - 1]).unwrap_err().is_encoding());
    }
}
