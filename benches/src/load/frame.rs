//! The part of RFC 6455 that the load generator needs: it encodes one kind of masked frame, and reads the headers and tags of
//! what comes back.
//!
//! This is our own code and not a WebSocket library's because the load generator shares the machine with the server. A library
//! allocates, copies and validates every message, which would cost more than the delivery that is measured.

use anyhow::{Result, bail};

use super::payload::{BINARY, Payload, TEXT, Tag};

/// The mask of all frames. A constant costs a server as much as a random one.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The longest header of a server's frame and the longest tag after it, in bytes.
const LONGEST: usize = 10 + Payload::Event.prefix().len() + Payload::Event.tag_bytes();

const PING: u8 = 0x9;

/// The opcode of a close frame.
pub const CLOSE: u8 = 0x8;

/// The bit of the first byte that marks a compressed message.
const COMPRESSED: u8 = 0x40;

/// The mask of frames that are not worth masking.
pub(super) const MASKED_WITH_ZEROS: &[u8] = &[0; 4];

/// An empty pong.
pub const PONG: &[u8] = &[0x8A, 0x80, 0, 0, 0, 0];

/// A pong of Engine.IO, which is a text message.
pub const ENGINE_PONG: &[u8] = &[0x81, 0x81, 0, 0, 0, 0, b'3'];

/// Messages that are to be compressed consist of these words: neither noise nor one repeated letter.
const WORDS: [&str; 16] = [
    "river ", "stone ", "lantern ", "of ", "the ", "under ", "seven ", "quietly ", "market ", "and ", "winter ",
    "letter ", "to ", "glass ", "horizon ", "a ",
];

/// Appends the header of an unfragmented frame, up to the mask. `mask_bit` is 0x80 or 0.
pub fn append_header(out: &mut Vec<u8>, payload: Payload, length: usize, mask_bit: u8) {
    out.push(0x80 | payload.opcode());
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ 0..=125), _) => out.push(mask_bit | length),
        (_, Ok(length)) => {
            out.push(mask_bit | 126);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(mask_bit | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// Encodes the frames that clients send. Everything but the tag is encoded once.
pub struct Encoder {
    payload: Payload,
    frame: Vec<u8>,
    tag_at: usize,
    /// Where the tag is in what is masked.
    masked_from: usize,
}

impl Encoder {
    /// For messages of this length, which is at least that of a tag.
    pub fn new(payload: Payload, bytes: usize) -> Self {
        Self::filled(payload, &vec![b'.'; bytes])
    }

    /// For messages of words, which can be compressed.
    pub fn of_words(payload: Payload, bytes: usize) -> Self {
        let mut state = 1_u32;
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            WORDS[(state >> 28) as usize]
        };
        let words: Vec<u8> = std::iter::repeat_with(next).flat_map(str::bytes).take(bytes).collect();
        Self::filled(payload, &words)
    }

    fn filled(payload: Payload, message: &[u8]) -> Self {
        let (prefix, suffix) = payload.around(message.len());
        let content = [&prefix, message, suffix].concat();
        let mut frame = Vec::new();
        append_header(&mut frame, payload, content.len(), 0x80);
        frame.extend_from_slice(&MASK);
        let tag_at = frame.len() + prefix.len();
        frame.extend(content.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        Self { payload, frame, tag_at, masked_from: prefix.len() }
    }

    /// Appends a frame.
    pub fn append(&mut self, out: &mut Vec<u8>, tag: Tag) {
        match self.payload {
            Payload::Binary | Payload::Nats => self.set_tag(tag.to_bytes()),
            Payload::Text | Payload::Event => self.set_tag(tag.to_text()),
        }
        out.extend_from_slice(&self.frame);
    }

    fn set_tag<const BYTES: usize>(&mut self, tag: [u8; BYTES]) {
        for (at, byte) in tag.into_iter().enumerate() {
            self.frame[self.tag_at + at] = byte ^ MASK[(self.masked_from + at) % MASK.len()];
        }
    }
}

/// A frame that the server sent, complete to its last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// A message, with the length of the frame's payload.
    Message(Tag, usize),
    /// A compressed message, whose tag cannot be read.
    Compressed,
    /// A ping.
    Ping,
    /// A ping of Engine.IO.
    EnginePing,
    /// A ping of NATS.
    NatsPing,
    /// Any other frame, with its opcode: none that a server should send here.
    Other(u8),
}

/// Finds the frames in what a server sends. It reads headers and tags, and skips the rest.
#[derive(Debug)]
pub struct FrameReader {
    /// The front of a frame that was cut before the end of its tag.
    stash: [u8; LONGEST],
    stashed: usize,
    /// The bytes still to come of the current frame, and what it is.
    remaining: usize,
    current: Option<Arrived>,
}

impl Default for FrameReader {
    fn default() -> Self {
        Self { stash: [0; LONGEST], stashed: 0, remaining: 0, current: None }
    }
}

impl FrameReader {
    /// Reads all of `input`, and calls `arrived` for each frame that ends in it.
    ///
    /// # Errors
    /// When the bytes are not what a server may send, and whenever `arrived` fails.
    pub fn read(&mut self, mut input: &[u8], mut arrived: impl FnMut(Arrived) -> Result<()>) -> Result<()> {
        loop {
            let passed = self.remaining.min(input.len());
            self.remaining -= passed;
            input = &input[passed..];
            if self.remaining == 0
                && let Some(ended) = self.current.take()
            {
                arrived(ended)?;
            }
            if input.is_empty() {
                return Ok(());
            }
            self.begin(&mut input)?;
        }
    }

    /// Reads a header: in place, or byte by byte if it was cut.
    fn begin(&mut self, input: &mut &[u8]) -> Result<()> {
        if self.stashed == 0
            && let Some(front) = Front::parse(input)?
        {
            self.remaining = front.length;
            self.current = Some(front.arrived);
            return Ok(());
        }
        let Some((first, rest)) = input.split_first() else { return Ok(()) };
        *input = rest;
        self.stash[self.stashed] = *first;
        self.stashed += 1;
        if let Some(front) = Front::parse(&self.stash[..self.stashed])? {
            self.remaining = front.length - self.stashed;
            self.current = Some(front.arrived);
            self.stashed = 0;
        }
        Ok(())
    }
}

/// The header of a server's frame.
pub(super) struct Header<'a> {
    /// The first byte: flags and opcode.
    pub(super) first: u8,
    /// The length of the payload, in bytes.
    pub(super) length: usize,
    /// What follows the header.
    pub(super) rest: &'a [u8],
}

impl<'a> Header<'a> {
    /// `None` if the input is too short.
    pub(super) fn parse(input: &'a [u8]) -> Result<Option<Self>> {
        let Some((&[first, second], rest)) = input.split_first_chunk() else { return Ok(None) };
        let (length, rest) = match second {
            0..=125 => (usize::from(second), rest),
            126 => match rest.split_first_chunk() {
                Some((length, rest)) => (usize::from(u16::from_be_bytes(*length)), rest),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk() {
                Some((length, rest)) => (usize::try_from(u64::from_be_bytes(*length))?, rest),
                None => return Ok(None),
            },
            _ => bail!("the server masked a frame"),
        };
        Ok(Some(Self { first, length, rest }))
    }
}

/// A frame, by its header and tag.
struct Front {
    arrived: Arrived,
    /// The length of the whole frame, in bytes.
    length: usize,
}

impl Front {
    /// `None` if the input is too short.
    fn parse(input: &[u8]) -> Result<Option<Self>> {
        let Some(Header { first, length, rest }) = Header::parse(input)? else { return Ok(None) };
        let arrived = match first & 0x0F {
            BINARY | TEXT if first & COMPRESSED != 0 => Arrived::Compressed,
            BINARY if length >= Payload::Binary.tag_bytes() => match rest.first_chunk() {
                Some(tag) => Arrived::Message(Tag::from_bytes(*tag), length),
                None => return Ok(None),
            },
            TEXT if length >= Payload::Text.tag_bytes() => match text_tag(rest) {
                Some(tag) => Arrived::Message(tag, length),
                None => return Ok(None),
            },
            TEXT if length == 1 => Arrived::EnginePing,
            PING => Arrived::Ping,
            opcode => Arrived::Other(opcode),
        };
        Ok(Some(Self { arrived, length: input.len() - rest.len() + length }))
    }
}

/// The tag of a text. An event begins with a digit, which no tag does. `None` if the text is too short.
fn text_tag(text: &[u8]) -> Option<Tag> {
    let prefix = Payload::Event.prefix();
    let from = if text.first() == prefix.first() { prefix.len() } else { 0 };
    text.get(from..)?.first_chunk().map(|tag| Tag::from_text(*tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(sequence: u32) -> Tag {
        Tag { sender: 7, sequence }
    }

    /// The frame as a server sends it.
    fn unmasked(payload: Payload, sequence: u32, bytes: usize) -> Vec<u8> {
        let mut frame = Vec::new();
        append_header(&mut frame, payload, payload.framed(bytes), 0);
        frame.extend_from_slice(payload.prefix());
        match payload {
            Payload::Binary | Payload::Nats => frame.extend_from_slice(&tag(sequence).to_bytes()),
            Payload::Text | Payload::Event => frame.extend_from_slice(&tag(sequence).to_text()),
        }
        frame.resize(frame.len() - payload.tag_bytes() + bytes, b'.');
        frame.extend_from_slice(payload.suffix());
        frame
    }

    fn read_all(pieces: &[&[u8]]) -> Result<Vec<Arrived>> {
        let (mut reader, mut all) = (FrameReader::default(), Vec::new());
        for piece in pieces {
            reader.read(piece, |arrived| {
                all.push(arrived);
                Ok(())
            })?;
        }
        Ok(all)
    }

    #[test]
    fn frames_are_found_wherever_they_are_cut() {
        let mut bytes = unmasked(Payload::Binary, 1, 8);
        bytes.extend_from_slice(&[0x89, 0]);
        bytes.extend(unmasked(Payload::Binary, 2, 126));
        bytes.extend([0x88, 2, 3, 232]);
        bytes.extend(unmasked(Payload::Event, 3, 128));
        bytes.extend([0xC2, 2, 0, 0]);
        bytes.extend([0x81, 1, b'2']);
        bytes.extend(unmasked(Payload::Text, 3, 70_000));
        let expected = [
            Arrived::Message(tag(1), 8),
            Arrived::Ping,
            Arrived::Message(tag(2), 126),
            Arrived::Other(8),
            Arrived::Message(tag(3), 138),
            Arrived::Compressed,
            Arrived::EnginePing,
            Arrived::Message(tag(3), 70_000),
        ];
        assert_eq!(read_all(&[&bytes]).unwrap(), expected);
        for at in 1..200 {
            assert_eq!(read_all(&[&bytes[..at], &bytes[at..]]).unwrap(), expected, "cut at {at}");
        }
        assert_eq!(read_all(&bytes.chunks(1).collect::<Vec<_>>()).unwrap(), expected);
    }

    #[test]
    fn a_message_arrives_with_its_last_byte() {
        let bytes = unmasked(Payload::Binary, 1, 300);
        assert_eq!(read_all(&[&bytes[..bytes.len() - 1]]).unwrap(), []);
    }

    #[test]
    fn a_masked_frame_is_refused() {
        let mut frame = Vec::new();
        Encoder::new(Payload::Binary, 16).append(&mut frame, tag(1));
        assert!(read_all(&[&frame]).is_err());
    }

    #[test]
    fn sent_frames_are_masked_and_carry_their_tag() {
        for (payload, bytes) in [8, 125, 126, 70_000]
            .map(|bytes| (Payload::Binary, bytes))
            .into_iter()
            .chain([(Payload::Text, 16), (Payload::Event, 16)])
        {
            let mut frame = Vec::new();
            Encoder::new(payload, bytes).append(&mut frame, tag(9));
            let payload_at = frame.len() - payload.framed(bytes);
            frame[1] &= 0x7F;
            let mask: [u8; 4] = frame[payload_at - 4..payload_at].try_into().unwrap();
            let content = frame.split_off(payload_at);
            frame.truncate(payload_at - 4);
            frame.extend(content.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
            assert!(frame == unmasked(payload, 9, bytes), "{payload:?} of {bytes} bytes");
        }
    }
}
