//! [`StreamError`]: why a request failed. Each variant calls for a different reaction of the caller.

use async_nats::jetstream::ErrorCode;
use dog::Error;
use dog::internal::Kind;

/// Why a request to a stream failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StreamError {
    /// The last message of the subject is not the expected one. Nothing was stored by this request.
    Conflict,
    /// Nothing was stored, and the same request may succeed later: the stream has no leader, or too much is in flight.
    Retry(String),
    /// No answer came. The request may have been done, or may still be done.
    Unknown(String),
    /// The request will never succeed.
    Rejected(String),
}

impl StreamError {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Conflict => "another write was faster",
            Self::Retry(text) | Self::Unknown(text) | Self::Rejected(text) => text,
        }
    }

    /// Returns the error for an earlier attempt that the leader is still storing. The leader answers the next attempt
    /// with a conflict, while reads still return the message before both.
    pub(crate) fn earlier_attempt_in_flight() -> Self {
        Self::Retry("an earlier attempt is being stored".into())
    }

    pub(crate) fn into_error(self, kind: Kind) -> Error {
        Error::new(kind, format!("NATS: {}", self.text()))
    }
}

impl From<async_nats::jetstream::Error> for StreamError {
    fn from(error: async_nats::jetstream::Error) -> Self {
        match error.error_code() {
            ErrorCode::STREAM_WRONG_LAST_SEQUENCE => Self::Conflict,
            // STREAM_WRONG_LAST_SEQUENCE_CONSTANT: a write to the same subject is in flight.
            // ATOMIC_PUBLISH_INCOMPLETE_BATCH: a message of the batch was lost, as happens when the leader changes.
            // STREAM_NOT_FOUND: servers say this of a stream without a leader, too.
            ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT
            | ErrorCode::ATOMIC_PUBLISH_INCOMPLETE_BATCH
            | ErrorCode::ATOMIC_PUBLISH_TOO_MANY_INFLIGHT
            | ErrorCode::BATCH_PUBLISH_TOO_MANY_INFLIGHT
            | ErrorCode::STREAM_NOT_FOUND => Self::Retry(error.to_string()),
            _ if matches!(error.code(), 500 | 503) => Self::Retry(error.to_string()),
            _ => Self::Rejected(error.to_string()),
        }
    }
}

impl From<async_nats::RequestError> for StreamError {
    fn from(error: async_nats::RequestError) -> Self {
        match error.kind() {
            // No server listens while a stream has no leader, so nothing was stored.
            async_nats::RequestErrorKind::NoResponders => Self::Retry("the stream has no leader".into()),
            async_nats::RequestErrorKind::MaxPayloadExceeded => {
                Self::Rejected("the message is larger than max_payload of nats-server".into())
            }
            _ => Self::Unknown(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: u16, err_code: u32) -> StreamError {
        let error = serde_json::json!({ "code": code, "err_code": err_code, "description": "why" });
        serde_json::from_value::<async_nats::jetstream::Error>(error).unwrap().into()
    }

    #[test]
    fn error_codes_of_the_server_say_whether_to_try_again() {
        assert_eq!(of(400, 10_071), StreamError::Conflict);
        for (code, err_code) in
            [(400, 10_164), (400, 10_176), (429, 10_210), (429, 10_211), (404, 10_059), (503, 10_008)]
        {
            assert!(matches!(of(code, err_code), StreamError::Retry(text) if text.contains("why")), "{err_code}");
        }
        for (code, err_code) in [(400, 10_054), (400, 10_199), (400, 0)] {
            assert!(matches!(of(code, err_code), StreamError::Rejected(_)), "{err_code}");
        }
    }
}
