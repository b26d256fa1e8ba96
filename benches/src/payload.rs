//! What messages are made of: [`Payload`], and the [`Tag`] that tells them apart.

pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;

/// What messages are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Bytes.
    Binary,
    /// Text, for servers that pass on nothing else.
    Text,
    /// Text in an event of Socket.IO, whose servers pass on nothing else.
    Event,
}

impl Payload {
    /// The bytes of a [`Tag`], at the front of every payload.
    pub const fn tag_bytes(self) -> usize {
        match self {
            Self::Binary => 8,
            Self::Text | Self::Event => 16,
        }
    }

    /// How long a frame's payload is that carries a message of so many bytes.
    pub const fn framed(self, bytes: usize) -> usize {
        self.prefix().len() + bytes + self.suffix().len()
    }

    pub(crate) const fn opcode(self) -> u8 {
        match self {
            Self::Binary => BINARY,
            Self::Text | Self::Event => TEXT,
        }
    }

    /// What stands before the message: packet types, and the event's name.
    pub(crate) const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Binary | Self::Text => b"",
            Self::Event => b"42[\"m\",\"",
        }
    }

    pub(crate) const fn suffix(self) -> &'static [u8] {
        match self {
            Self::Binary | Self::Text => b"",
            Self::Event => b"\"]",
        }
    }
}

/// Whose message it is, and which of theirs: enough to see whether each came once and in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The number of the sending socket.
    pub sender: u32,
    /// The number of the message among the sender's, from 0.
    pub sequence: u32,
}

impl Tag {
    pub(crate) fn to_bytes(self) -> [u8; 8] {
        (u64::from(self.sender) << 32 | u64::from(self.sequence)).to_be_bytes()
    }

    pub(crate) fn from_bytes(bytes: [u8; 8]) -> Self {
        let [a, b, c, d, e, f, g, h] = bytes;
        Self { sender: u32::from_be_bytes([a, b, c, d]), sequence: u32::from_be_bytes([e, f, g, h]) }
    }

    /// The same in text: each byte as two letters, `a` for 0 to `p` for 15.
    pub(crate) fn to_text(self) -> [u8; 16] {
        let bytes = self.to_bytes();
        std::array::from_fn(|at| b'a' + if at % 2 == 0 { bytes[at / 2] >> 4 } else { bytes[at / 2] & 0x0F })
    }

    pub(crate) fn from_text(text: [u8; 16]) -> Self {
        // Whatever else stands there makes a tag that nobody has sent.
        let digit = |at: usize| text[at].wrapping_sub(b'a') & 0x0F;
        Self::from_bytes(std::array::from_fn(|at| digit(2 * at) << 4 | digit(2 * at + 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_survives_being_text() {
        for tag in [Tag { sender: 0, sequence: 0 }, Tag { sender: 0x0123_4567, sequence: u32::MAX }] {
            let text = tag.to_text();
            assert!(text.iter().all(u8::is_ascii_lowercase));
            assert_eq!(Tag::from_text(text), tag);
        }
    }
}
