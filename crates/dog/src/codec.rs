//! How typed values of an App become bytes: MessagePack with named fields. It takes every serde type, and a later release of
//! the App can add fields.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Kind};

/// The bytes of `value`.
///
/// # Errors
/// When the value cannot be serialised ([`Error::is_encoding`]).
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, Error> {
    rmp_serde::to_vec_named(value)
        .map(Bytes::from)
        .map_err(|cause| Error::caused(Kind::Encoding, "the value cannot be serialised", cause))
}

/// The value that `bytes` hold.
///
/// # Errors
/// When the bytes are not a `T` ([`Error::is_encoding`]).
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    rmp_serde::from_slice(bytes)
        .map_err(|cause| Error::caused(Kind::Encoding, "the bytes are not a value of the expected type", cause))
}
