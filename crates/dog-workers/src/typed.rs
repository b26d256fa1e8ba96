//! How letters, tickets and answers between objects are written: postcard, whose code is a tenth of what MessagePack
//! takes in a Worker, and faster. What is kept in storage is MessagePack as everywhere: it must be readable by later
//! versions, and a letter must not.

use bytes::Bytes;
use dog::Error;
use dog::internal::Kind;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The first byte of all. It changes whenever a letter does: while a new version of a Worker is rolled out, objects of
/// both speak to each other, and must not misunderstand.
const VERSION: u8 = 1;

pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Bytes, Error> {
    postcard::to_extend(value, vec![VERSION])
        .map(Bytes::from)
        .map_err(|cause| Error::caused(Kind::Encoding, "the value cannot be serialised", cause))
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    match bytes.split_first() {
        Some((&VERSION, value)) => postcard::from_bytes(value)
            .map_err(|cause| Error::caused(Kind::Encoding, "the bytes are not the value that was expected", cause)),
        Some(_) | None => Err(Error::new(Kind::Unreachable, "the object is of another version: try again later")),
    }
}
