//! How users' typed values become bytes: MessagePack with named fields, which takes every serde type and lets fields be
//! added from one release to the next.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Kind};
use crate::socket::MAX_ATTACHMENT;

pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, Error> {
    rmp_serde::to_vec_named(value)
        .map(Bytes::from)
        .map_err(|cause| Error::caused(Kind::Encoding, "the value cannot be serialised", cause))
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    rmp_serde::from_slice(bytes)
        .map_err(|cause| Error::caused(Kind::Encoding, "the bytes are not the value that was expected", cause))
}

/// What is to be attached to a socket.
pub(crate) fn attachment<T: Serialize>(value: &T) -> Result<Bytes, Error> {
    let bytes = encode(value)?;
    if bytes.len() > MAX_ATTACHMENT {
        let length = bytes.len();
        let message = format!("the attachment is {length} bytes serialised, {MAX_ATTACHMENT} at most");
        return Err(Error::new(Kind::ValueTooLarge, message));
    }
    Ok(bytes)
}

/// For the engine, which reads gossip and writes answers.
#[doc(hidden)]
pub mod typed {
    use super::{Bytes, DeserializeOwned, Error, Serialize};

    /// See the module.
    ///
    /// # Errors
    /// When the value cannot be serialised.
    pub fn encode<T: Serialize>(value: &T) -> Result<Bytes, Error> {
        super::encode(value)
    }

    /// See the module.
    ///
    /// # Errors
    /// When the bytes are not a `T`.
    pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
        super::decode(bytes)
    }
}
