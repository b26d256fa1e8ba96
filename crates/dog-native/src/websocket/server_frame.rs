//! The header of a server's frame: writing it, reading it, and finding where frames end in a stream of bytes.
//!
//! A header is the first byte (opcode and flags) and the length of the payload. The length takes one byte, three if the
//! payload has more than 125 bytes, or nine if it has more than 65,535. A server's frames are not masked.

use bytes::Bytes;

/// The longest header that a server sends, in bytes.
const LONGEST: usize = 10;

/// The first bytes of a text message and of a binary message in one frame.
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

/// The bits of the second byte that hold a length.
const LENGTH: u8 = 0x7f;

/// Returns the number of bytes in a header, given its second byte.
fn header_length(second: u8) -> usize {
    match second & LENGTH {
        126 => 4,
        127 => LONGEST,
        _ => 2,
    }
}

/// Returns the number of payload bytes after a complete header.
fn payload_length(header: &[u8; LONGEST]) -> u64 {
    let [_, short, long @ ..] = *header;
    match short & LENGTH {
        126 => u64::from(u16::from_be_bytes([long[0], long[1]])),
        127 => u64::from_be_bytes(long),
        length => u64::from(length),
    }
}

/// Builds a frame with this first byte.
pub(super) fn frame(first: u8, payload: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(LONGEST + payload.len());
    frame.push(first);
    let length = (payload.len() as u64).to_be_bytes();
    match payload.len() {
        0..=125 => frame.push(length[7]),
        126..=0xffff => {
            frame.push(126);
            frame.extend_from_slice(&length[6..]);
        }
        _ => {
            frame.push(127);
            frame.extend_from_slice(&length);
        }
    }
    frame.extend_from_slice(payload);
    frame.into()
}

/// Returns the payload of a frame that is a whole message, and `None` for any other frame.
pub(crate) fn payload(frame: &[u8]) -> Option<&[u8]> {
    let &[TEXT | BINARY, second, ..] = frame else { return None };
    frame.get(header_length(second)..)
}

/// The position of a stream of bytes within a server's frames.
#[derive(Default)]
pub(crate) struct FrameBoundary {
    /// The first bytes of a header that is not complete yet, and how many there are.
    header: [u8; LONGEST],
    begun: usize,
    /// The number of payload bytes that have not arrived yet.
    left: u64,
}

impl FrameBoundary {
    /// Returns whether a frame has arrived in part.
    pub(crate) fn is_within(&self) -> bool {
        self.begun > 0 || self.left > 0
    }

    /// Advances to the end of the current frame, if the bytes reach it. Returns how many of the bytes belong to that
    /// frame.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        while self.left == 0 {
            let Some(byte) = bytes.get(used) else { return used };
            self.header[self.begun] = *byte;
            self.begun += 1;
            used += 1;
            if self.begun >= 2 && self.begun == header_length(self.header[1]) {
                self.left = payload_length(&self.header);
                self.begun = 0;
                if self.left == 0 {
                    return used;
                }
            }
        }
        let rest = bytes.len() - used;
        let payload = usize::try_from(self.left).map_or(rest, |left| left.min(rest));
        self.left -= payload as u64;
        used + payload
    }

    /// Advances over all frames in the bytes, and returns how many bytes that was.
    pub(crate) fn advance_all(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        while used < bytes.len() {
            used += self.advance(&bytes[used..]);
        }
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dog::Message;

    fn sent(lengths: &[usize]) -> Vec<Vec<u8>> {
        lengths.iter().map(|length| Message::binary(vec![7; *length]).frame().to_vec()).collect()
    }

    #[test]
    fn a_frame_is_what_the_api_makes_of_a_message() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let message = Message::binary(vec![7; length]);
            assert_eq!(frame(BINARY, &vec![7; length]), message.frame());
            assert_eq!(payload(message.frame()).unwrap().len(), length);
        }
    }

    #[test]
    fn frames_of_all_lengths_are_told_apart_however_their_bytes_come() {
        let frames = sent(&[0, 1, 125, 126, 300, 65_535, 65_536, 70_000, 0, 5]);
        let all = frames.concat();
        for size in [1, 2, 3, 7, 1000, all.len()] {
            let (mut parser, mut ends, mut at) = (FrameBoundary::default(), Vec::new(), 0);
            for mut bytes in all.chunks(size) {
                while !bytes.is_empty() {
                    let used = parser.advance(bytes);
                    at += used;
                    bytes = &bytes[used..];
                    if !parser.is_within() {
                        ends.push(at);
                    }
                }
            }
            let expected = frames.iter().scan(0, |at, frame| {
                *at += frame.len();
                Some(*at)
            });
            assert_eq!(ends, expected.collect::<Vec<_>>(), "{size} bytes at once");
        }
    }
}
