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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
    struct Update {
        clock: u64,
        payload: Bytes,
    }

    /// What `Bytes` promises in its documentation, and what makes a difference to a `Vec<u8>`.
    #[test]
    fn bytes_do_not_double() {
        const LENGTH: usize = 100_000;
        let payload = Bytes::from(vec![0xc8; LENGTH]);
        let update = Update { clock: 7, payload: payload.clone() };
        let (alone, inside) = (encode(&payload).unwrap(), encode(&update).unwrap());
        assert!(alone.len() < LENGTH + 10, "{} bytes", alone.len());
        assert!(inside.len() < LENGTH + 40, "{} bytes", inside.len());
        assert_eq!((decode::<Bytes>(&alone).unwrap(), decode::<Update>(&inside).unwrap()), (payload, update));
        let list = encode(&vec![0xc8_u8; LENGTH]).unwrap();
        assert!(list.len() > 2 * LENGTH, "{} bytes", list.len());
        // An App that changes its mind can read what it has stored as a list.
        assert_eq!(decode::<Bytes>(&list).unwrap().len(), LENGTH);
        assert_eq!(decode::<Vec<u8>>(&alone).unwrap().len(), LENGTH);
    }
}
