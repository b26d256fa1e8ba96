//! [`ProtocolError`], which lists what a client can do wrong.

use thiserror::Error;

/// Why the bytes of a client were refused. The connection cannot continue: send a close frame with
/// [`close_code`](Self::close_code), then close the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A reserved bit is set, and no negotiated extension defines it.
    #[error("a reserved bit of a frame is set, but no negotiated extension defines it")]
    ReservedBits,
    /// The opcode is none of the six that RFC 6455 defines.
    #[error("the opcode {0:#x} is unknown")]
    UnknownOpcode(u8),
    /// Clients must mask every frame.
    #[error("a frame is not masked")]
    Unmasked,
    /// A close, ping or pong frame says that more frames follow.
    #[error("a control frame is fragmented")]
    FragmentedControl,
    /// A close, ping or pong frame has more than 125 bytes of payload.
    #[error("a control frame has a payload of more than 125 bytes")]
    LongControl,
    /// The top bit of a 64-bit length is set.
    #[error("the length of a frame is 2^63 bytes or more")]
    LengthOverflow,
    /// A continuation frame arrived while no message was open.
    #[error("a continuation frame continues no message")]
    NothingToContinue,
    /// A text or binary frame arrived before the last fragment of the open message.
    #[error("a message begins before the one before it has ended")]
    Interrupted,
    /// The payload of a close frame is one byte. A code has two.
    #[error("the payload of a close frame is one byte")]
    HalfCloseCode,
    /// A close frame carries a code that must not be sent (see [`is_close_code`](super::is_close_code)).
    #[error("the close code {0} must not be sent")]
    CloseCode(u16),
    /// A text message is not UTF-8, or ends within a character.
    #[error("a text message is not UTF-8")]
    InvalidText,
    /// The payload of a compressed message is not valid DEFLATE, or is incomplete.
    #[error("a compressed message cannot be inflated")]
    Corrupt,
    /// The reason in a close frame is not UTF-8.
    #[error("the reason in a close frame is not UTF-8")]
    InvalidReason,
    /// A message's payload exceeds [`Limits::message`](super::Limits::message). The header shows this before any
    /// payload of the frame is kept. For a compressed message it shows during decompression.
    #[error("a message has at least {length} bytes, over the limit of {limit}")]
    TooLong {
        /// The number of bytes in the message, according to its frames so far.
        length: u64,
        /// The limit in bytes.
        limit: usize,
    },
}

impl ProtocolError {
    /// Returns the code to close the connection with: 1002 (protocol error), 1007 (invalid UTF-8 or DEFLATE) or 1009
    /// (too big).
    pub fn close_code(&self) -> u16 {
        match self {
            Self::InvalidText | Self::InvalidReason | Self::Corrupt => 1007,
            Self::TooLong { .. } => 1009,
            Self::ReservedBits
            | Self::UnknownOpcode(_)
            | Self::Unmasked
            | Self::FragmentedControl
            | Self::LongControl
            | Self::LengthOverflow
            | Self::NothingToContinue
            | Self::Interrupted
            | Self::HalfCloseCode
            | Self::CloseCode(_) => 1002,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_names_its_close_code_and_says_what_was_wrong() {
        for (error, code, says) in [
            (ProtocolError::UnknownOpcode(0xb), 1002, "the opcode 0xb is unknown"),
            (ProtocolError::CloseCode(1005), 1002, "the close code 1005 must not be sent"),
            (ProtocolError::InvalidText, 1007, "a text message is not UTF-8"),
            (ProtocolError::Corrupt, 1007, "a compressed message cannot be inflated"),
            (ProtocolError::InvalidReason, 1007, "the reason in a close frame is not UTF-8"),
            (
                ProtocolError::TooLong { length: 9, limit: 8 },
                1009,
                "a message has at least 9 bytes, over the limit of 8",
            ),
        ] {
            assert_eq!(error.close_code(), code, "{error}");
            assert_eq!(error.to_string(), says);
        }
    }
}
