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

/// The bytes that [`encode`] has made of a [`Bytes`], without a copy.
///
/// # Errors
/// When they are something else ([`Error::is_encoding`]).
pub(crate) fn decode_bytes(value: &Bytes) -> Result<Bytes, Error> {
    // MessagePack puts the length before the bytes, in one, two or four bytes.
    let (head, length) = match value.as_ref() {
        [0xc4, length, ..] => (2, usize::from(*length)),
        [0xc5, a, b, ..] => (3, usize::from(u16::from_be_bytes([*a, *b]))),
        [0xc6, a, b, c, d, ..] => (5, usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX)),
        // A list of numbers, as an App that has stored a `Vec<u8>` has it, is bytes too.
        [0x90..=0x9f | 0xdc | 0xdd, ..] => return decode(value),
        _ => return Err(no_bytes()),
    };
    if value.len() - head == length { Ok(value.slice(head..)) } else { Err(no_bytes()) }
}

fn no_bytes() -> Error {
    Error::new(Kind::Encoding, "the value is no bytes: it was stored with put")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
    struct Update {
        clock: u64,
        payload: Bytes,
    }

    #[test]
    fn bytes_are_read_without_a_copy_and_nothing_else_is_taken_for_bytes() {
        for length in [0, 1, 255, 256, 65_535, 65_536, 100_000] {
            let bytes = Bytes::from(vec![0xc8; length]);
            let stored = encode(&bytes).unwrap();
            let read = decode_bytes(&stored).unwrap();
            assert_eq!(read, bytes, "{length}");
            assert!(length == 0 || read.as_ptr() == stored[stored.len() - length..].as_ptr(), "they were copied");
            assert!(decode_bytes(&stored.slice(..stored.len() - 1)).unwrap_err().is_encoding());
        }
        assert_eq!(decode_bytes(&encode(&vec![1_u8, 200]).unwrap()).unwrap(), [1, 200].as_slice());
        for other in [encode(&7_u64), encode(&"text"), encode(&(1, "a")), encode(&vec![256_u16])] {
            assert!(decode_bytes(&other.unwrap()).unwrap_err().is_encoding());
        }
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
