//! The header of a client's frame, and the rules that a frame can break on its own.

use super::error::ProtocolError;
use super::mask::Mask;

/// The length of the longest header that a client sends: two bytes, an eight-byte length, a four-byte mask.
pub(super) const LONGEST: usize = 14;

/// The most payload bytes of a control frame.
pub(super) const LONGEST_CONTROL: usize = 125;

/// Bits of the first byte.
const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
/// The highest reserved bit: the message that begins with this frame is compressed (RFC 7692).
pub(super) const COMPRESSED: u8 = 0x40;
const OPCODE: u8 = 0x0f;
/// Bits of the second byte.
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;

/// The type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    /// The next fragment of the open message.
    Continuation,
    /// A text message, or its first fragment.
    Text,
    /// A binary message, or its first fragment.
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    pub(super) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    fn begins_message(self) -> bool {
        matches!(self, Self::Text | Self::Binary)
    }
}

/// The header of a client's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Whether this is the last or only frame of a message.
    pub(super) last: bool,
    /// Whether the message that begins with this frame is compressed.
    pub(super) compressed: bool,
    pub(super) opcode: Opcode,
    pub(super) mask: Mask,
    /// The payload length in bytes: less than 2^63, and at most 125 for a control frame.
    pub(super) length: u64,
}

impl Header {
    /// Reads the header at the front of `bytes`. Returns it with its length, or `None` if more bytes are needed.
    /// Messages may be compressed only if `deflates` is true, which means that the handshake has negotiated
    /// compression.
    ///
    /// Accepts a length that is not in its shortest form. RFC 6455 requires senders to use the shortest form, but does
    /// not require receivers to reject others. A control frame must use the shortest form, because all its lengths fit
    /// it.
    ///
    /// # Errors
    /// If the frame breaks a rule that does not depend on earlier frames. The error is returned as soon as the bytes
    /// show it.
    #[inline]
    pub(super) fn parse(bytes: &[u8], deflates: bool) -> Result<Option<(Self, usize)>, ProtocolError> {
        let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
        let compressed = first & RESERVED == COMPRESSED && deflates;
        if first & RESERVED != 0 && !compressed {
            return Err(ProtocolError::ReservedBits);
        }
        let last = first & FINAL != 0;
        let opcode = parse_opcode(first & OPCODE)?;
        if compressed && !opcode.begins_message() {
            return Err(ProtocolError::ReservedBits);
        }
        if second & MASKED == 0 {
            return Err(ProtocolError::Unmasked);
        }
        let short = second & LENGTH;
        if opcode.is_control() {
            check_control(last, short)?;
        }
        let Some((length, rest)) = parse_length(short, rest)? else { return Ok(None) };
        let Some((key, rest)) = rest.split_first_chunk() else { return Ok(None) };
        let header = Self { last, compressed, opcode, mask: Mask::new(*key), length };
        Ok(Some((header, bytes.len() - rest.len())))
    }
}

fn parse_opcode(opcode: u8) -> Result<Opcode, ProtocolError> {
    match opcode {
        0x0 => Ok(Opcode::Continuation),
        0x1 => Ok(Opcode::Text),
        0x2 => Ok(Opcode::Binary),
        0x8 => Ok(Opcode::Close),
        0x9 => Ok(Opcode::Ping),
        0xa => Ok(Opcode::Pong),
        unknown => Err(ProtocolError::UnknownOpcode(unknown)),
    }
}

fn check_control(last: bool, length: u8) -> Result<(), ProtocolError> {
    if !last {
        return Err(ProtocolError::FragmentedControl);
    }
    // 126 and 127 announce a longer form of the length, so the frame can be refused before that arrives.
    if usize::from(length) > LONGEST_CONTROL {
        return Err(ProtocolError::LongControl);
    }
    Ok(())
}

/// Returns the length that `short` holds or announces, and the bytes after it.
#[inline]
fn parse_length(short: u8, bytes: &[u8]) -> Result<Option<(u64, &[u8])>, ProtocolError> {
    let parsed = match short {
        127 => bytes.split_first_chunk().map(|(length, rest)| (u64::from_be_bytes(*length), rest)),
        126 => bytes.split_first_chunk().map(|(length, rest)| (u64::from(u16::from_be_bytes(*length)), rest)),
        length => Some((u64::from(length), bytes)),
    };
    match parsed {
        Some((length, _)) if length >> 63 != 0 => Err(ProtocolError::LengthOverflow),
        parsed => Ok(parsed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_when_all_of_it_is_there() {
        let table: [(&[u8], bool, Opcode, u64); 7] = [
            (&[0x81, 0x80, 1, 2, 3, 4], true, Opcode::Text, 0),
            (&[0x02, 0xfd, 1, 2, 3, 4], false, Opcode::Binary, 125),
            (&[0x80, 0xfe, 0x12, 0x34, 1, 2, 3, 4], true, Opcode::Continuation, 0x1234),
            (&[0x00, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 5, 1, 2, 3, 4], false, Opcode::Continuation, 0x7f << 56 | 5),
            // Not the shortest form, but accepted.
            (&[0x82, 0xfe, 0, 3, 1, 2, 3, 4], true, Opcode::Binary, 3),
            (&[0x88, 0x82, 1, 2, 3, 4], true, Opcode::Close, 2),
            (&[0x8a, 0xfd, 1, 2, 3, 4], true, Opcode::Pong, 125),
        ];
        for (bytes, last, opcode, length) in table {
            let mut header = Header { last, compressed: false, opcode, mask: Mask::new([1, 2, 3, 4]), length };
            let mut more = [bytes, &[9, 9]].concat();
            assert_eq!(Header::parse(&more, false), Ok(Some((header, bytes.len()))), "{bytes:x?}");
            assert_eq!(Header::parse(&more, true), Ok(Some((header, bytes.len()))), "{bytes:x?}");
            for end in 0..bytes.len() {
                assert_eq!(Header::parse(&bytes[..end], true), Ok(None), "{end} bytes of {bytes:x?}");
            }
            more[0] |= COMPRESSED;
            header.compressed = true;
            let begins = matches!(opcode, Opcode::Text | Opcode::Binary);
            let read = if begins { Ok(Some((header, bytes.len()))) } else { Err(ProtocolError::ReservedBits) };
            assert_eq!(Header::parse(&more, true), read, "{more:x?}");
            assert_eq!(Header::parse(&more, false), Err(ProtocolError::ReservedBits), "{more:x?}");
        }
    }

    #[test]
    fn a_frame_that_breaks_a_rule_is_refused_as_soon_as_it_shows() {
        let table: [(&[u8], ProtocolError); 12] = [
            (&[0xc1, 0x80], ProtocolError::ReservedBits),
            (&[0xa1, 0x80], ProtocolError::ReservedBits),
            (&[0x91, 0x80], ProtocolError::ReservedBits),
            (&[0x83, 0x80], ProtocolError::UnknownOpcode(3)),
            (&[0x87, 0x80], ProtocolError::UnknownOpcode(7)),
            (&[0x8b, 0x80], ProtocolError::UnknownOpcode(11)),
            (&[0x8f, 0x80], ProtocolError::UnknownOpcode(15)),
            (&[0x81, 0x05], ProtocolError::Unmasked),
            (&[0x09, 0x80], ProtocolError::FragmentedControl),
            (&[0x89, 0xfe], ProtocolError::LongControl),
            (&[0x88, 0xff], ProtocolError::LongControl),
            (&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], ProtocolError::LengthOverflow),
        ];
        for (bytes, error) in table {
            // If compression were negotiated, the first of these would be a compressed message.
            let deflates = bytes[0] != 0xc1;
            assert_eq!(Header::parse(bytes, false), Err(error), "{bytes:x?}");
            assert_eq!(Header::parse(bytes, deflates), Err(error), "{bytes:x?}");
            for end in 0..bytes.len() {
                assert_eq!(Header::parse(&bytes[..end], deflates), Ok(None), "{end} bytes of {bytes:x?}");
            }
        }
    }
}
