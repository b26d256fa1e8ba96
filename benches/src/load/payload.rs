//! What messages contain: a [`Tag`], which identifies the message, and filling, as a [`Payload`] says.

/// The opcode of a text frame.
pub const TEXT: u8 = 0x1;

/// The opcode of a binary frame.
pub const BINARY: u8 = 0x2;

/// The subject of all messages on NATS.
pub const SUBJECT: &str = "t";

/// What follows a line, and the bytes of a message, on NATS.
pub const NATS_END: &[u8] = b"\r\n";

/// The form of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Bytes.
    Binary,
    /// Text, for servers that forward nothing else.
    Text,
    /// Text in an event of Socket.IO, whose servers forward nothing else.
    Event,
    /// Bytes in the protocol of NATS.
    Nats,
}

impl Payload {
    /// The length of a [`Tag`], which begins every message, in bytes.
    pub const fn tag_bytes(self) -> usize {
        match self {
            Self::Binary | Self::Nats => 8,
            Self::Text | Self::Event => 16,
        }
    }

    /// The length of a frame's payload for a message of this length, in bytes.
    pub const fn framed(self, bytes: usize) -> usize {
        self.prefix().len() + bytes + self.suffix().len()
    }

    /// The opcode of its frames.
    pub const fn opcode(self) -> u8 {
        match self {
            Self::Binary | Self::Nats => BINARY,
            Self::Text | Self::Event => TEXT,
        }
    }

    /// What precedes the message in a frame: packet types and the event's name.
    pub const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Binary | Self::Text | Self::Nats => b"",
            Self::Event => b"42[\"m\",\"",
        }
    }

    /// What precedes and what follows a message of this length in a frame that a client sends.
    pub fn around(self, bytes: usize) -> (Vec<u8>, &'static [u8]) {
        match self {
            Self::Nats => (format!("PUB {SUBJECT} {bytes}\r\n").into_bytes(), NATS_END),
            _ => (self.prefix().to_vec(), self.suffix()),
        }
    }

    /// What follows the message in a frame.
    pub const fn suffix(self) -> &'static [u8] {
        match self {
            Self::Binary | Self::Text | Self::Nats => b"",
            Self::Event => b"\"]",
        }
    }
}

/// The sender of a message and its sequence number: enough to check that each arrives once and in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The number of the sending socket.
    pub sender: u32,
    /// The sequence number of the message, from 0 per sender.
    pub sequence: u32,
}

impl Tag {
    /// The tag of a binary message.
    pub fn to_bytes(self) -> [u8; 8] {
        (u64::from(self.sender) << 32 | u64::from(self.sequence)).to_be_bytes()
    }

    /// Reads the tag of a binary message.
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        let [a, b, c, d, e, f, g, h] = bytes;
        Self { sender: u32::from_be_bytes([a, b, c, d]), sequence: u32::from_be_bytes([e, f, g, h]) }
    }

    /// The tag of a text message: each byte as two letters, `a` for 0 to `p` for 15.
    pub fn to_text(self) -> [u8; 16] {
        let bytes = self.to_bytes();
        std::array::from_fn(|at| b'a' + if at % 2 == 0 { bytes[at / 2] >> 4 } else { bytes[at / 2] & 0x0F })
    }

    /// Reads the tag of a text message.
    pub fn from_text(text: [u8; 16]) -> Self {
        // Other characters give a tag that nobody has sent.
        let digit = |at: usize| text[at].wrapping_sub(b'a') & 0x0F;
        Self::from_bytes(std::array::from_fn(|at| digit(2 * at) << 4 | digit(2 * at + 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_the_same_after_a_round_trip_through_text() {
        for tag in [Tag { sender: 0, sequence: 0 }, Tag { sender: 0x0123_4567, sequence: u32::MAX }] {
            let text = tag.to_text();
            assert!(text.iter().all(u8::is_ascii_lowercase));
            assert_eq!(Tag::from_text(text), tag);
        }
    }
}
