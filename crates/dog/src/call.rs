//! Typed calls to a Group: how large they may be, and how they become bytes.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec;
use crate::error::{Error, Kind};

/// Maximum length of a [`Group::Call`](crate::Group::Call) and of a [`Group::Reply`](crate::Group::Reply), serialised, in
/// bytes.
pub const MAX_CALL: usize = 1024 * 1024;

/// The bytes of a call or of a reply.
///
/// # Errors
/// - When the value cannot be serialised ([`Error::is_encoding`]).
/// - When it is too long ([`Error::is_too_large`]).
pub fn encode_call<T: Serialize>(what: &str, value: &T) -> Result<Bytes, Error> {
    let bytes = codec::encode(value)?;
    if bytes.len() > MAX_CALL {
        let message = format!("the {what} is {} bytes serialised, {MAX_CALL} at most", bytes.len());
        return Err(Error::new(Kind::ValueTooLarge, message));
    }
    Ok(bytes)
}

/// Encodes `call`, sends it, and decodes the reply.
pub(crate) async fn ask<C: Serialize, R: DeserializeOwned>(
    call: &C,
    send: impl AsyncFnOnce(Bytes) -> Result<Bytes, Error>,
) -> Result<R, Error> {
    codec::decode(&send(encode_call("call", call)?).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_is_too_long_is_an_error_before_it_is_sent() {
        let longest = "x".repeat(MAX_CALL - 5);
        assert_eq!(encode_call("call", &longest).unwrap().len(), MAX_CALL);
        let error = encode_call("reply", &format!("{longest}x")).unwrap_err();
        assert!(error.is_too_large());
        assert_eq!(error.to_string(), "the reply is 1048577 bytes serialised, 1048576 at most");
    }
}
