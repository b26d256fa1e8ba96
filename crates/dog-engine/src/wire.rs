//! How hosts of more than one process write what objects send each other: postcard, small and fast. What is kept in
//! storage is MessagePack as everywhere: it must be readable by later versions, and a letter must not.
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
use dog::internal::Kind;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::message::{GroupCall, GroupCast, ReplicaCall, ReplicaCast};

/// The first byte of all. It changes whenever a letter does: while a new version is rolled out, objects of both speak to
/// each other, and must not misunderstand.
pub const VERSION: u8 = 3;

/// To a Group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ToGroup {
    /// Someone asks.
    Call(GroupCall),
    /// Someone tells.
    Cast(GroupCast),
}

/// To a Replica.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ToReplica {
    /// Someone asks.
    Call(ReplicaCall),
    /// Someone tells.
    Cast(ReplicaCast),
}

/// Writes a letter, a ticket or an answer.
///
/// # Errors
/// When the value cannot be serialised ([`Error::is_encoding`]).
pub fn encode<T: Serialize>(value: &T) -> Result<Bytes, Error> {
    append(value, vec![VERSION])
}

/// Writes a value behind a head of the caller's own, who sees to versions.
///
/// # Errors
/// When the value cannot be serialised ([`Error::is_encoding`]).
pub fn append<T: Serialize>(value: &T, head: Vec<u8>) -> Result<Bytes, Error> {
    postcard::to_extend(value, head)
        .map(Bytes::from)
        .map_err(|cause| Error::caused(Kind::Encoding, "the value cannot be serialised", cause))
}

/// How many bytes [`encode`] makes of it.
///
/// # Errors
/// As [`encode`].
pub fn length<T: Serialize>(value: &T) -> Result<usize, Error> {
    postcard::experimental::serialized_size(value)
        .map(|length| length + 1)
        .map_err(|cause| Error::caused(Kind::Encoding, "the value cannot be serialised", cause))
}

/// Reads one.
///
/// # Errors
/// When whoever wrote it is of another version ([`Error::is_unreachable`]), or the bytes are no `T`
/// ([`Error::is_encoding`]).
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    match bytes.split_first() {
        Some((&VERSION, value)) => read(value),
        Some(_) | None => Err(Error::new(Kind::Unreachable, "the object is of another version: try again later")),
    }
}

/// Reads what stands behind a head of the caller's own.
///
/// # Errors
/// When the bytes are no `T` ([`Error::is_encoding`]).
pub fn read<T: DeserializeOwned>(value: &[u8]) -> Result<T, Error> {
    postcard::from_bytes(value)
        .map_err(|cause| Error::caused(Kind::Encoding, "the bytes are not the value that was expected", cause))
}

/// Whether doing it twice does no harm: then a call that has not arrived can be made once more.
pub fn may_repeat(call: &ReplicaCall) -> bool {
    match call {
        ReplicaCall::Join(_) | ReplicaCall::Meet(_) | ReplicaCall::Census(_) => true,
        ReplicaCall::Deliver(_) | ReplicaCall::Whisper { .. } | ReplicaCall::Gossip(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use dog::{Epoch, ReplicaId};

    use super::*;
    use crate::address::{View, ViewVersion};

    #[test]
    fn a_view_is_read_back_and_takes_32_bytes_a_member() {
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
