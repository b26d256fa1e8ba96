//! [`Decoder`], which turns the frames of a client into events.

use std::fmt;

use bytes::{Bytes, BytesMut};
use dog::internal::MessageBuffer;
use dog::{Message, MessageKind};

use super::control::CloseFrame;
use super::error::ProtocolError;
use super::header::{Header, LONGEST, Opcode};
use super::inflate::Inflater;
use super::mask::Mask;
use super::utf8::Utf8Check;

/// The most memory, in bytes, that is reserved because of the length in a header. A header can claim any length within
/// the limit, so the buffer grows beyond this only as payload arrives.
const CLAIM: usize = 64 * 1024;

/// The limits on what a client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most payload bytes of a message, over all its fragments, and after decompression if it is compressed.
    /// Control frames have a limit of their own: 125 bytes.
    pub message: usize,
}

impl Limits {
    /// Returns the most bytes that the frames of a message may have. If data cannot be compressed, compressing it makes
    /// it longer: by up to a sixteenth if the sender uses zlib's smallest buffers.
    fn as_sent(&self, compressed: bool) -> usize {
        if compressed { self.message.saturating_add(self.message / 16 + 64) } else { self.message }
    }
}

/// What a client has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole message. The payload of a text message is valid UTF-8.
    Message(Message),
    /// A ping. Answer it with a pong that has the same payload ([`pong_frame`](super::pong_frame)).
    Ping(Bytes),
    /// A pong, in answer to a ping or unsolicited.
    Pong(Bytes),
    /// A close frame, in answer to one or not. Ignore whatever the client sends after it.
    Close(Option<CloseFrame>),
}

/// Decodes the bytes of one client.
///
/// Between two messages it has eight bytes and owns no memory. Nearly all frames are complete in the input and are read
/// from there. Only a message or frame that has arrived in part is buffered; the buffer is freed when it ends.
#[derive(Default)]
pub struct Decoder {
    partial: Option<Box<Partial>>,
}

/// A message or frame that has arrived in part.
#[derive(Default)]
struct Partial {
    frame: Frame,
    message: Option<OpenMessage>,
}

/// Where in a frame the input ended.
#[derive(Default)]
enum Frame {
    /// Before its first byte.
    #[default]
    Unbegun,
    /// Within its header.
    Header(PartialHeader),
    /// Within its payload: at least one byte is missing.
    Payload(PartialPayload),
}

#[derive(Default)]
struct PartialHeader {
    bytes: [u8; LONGEST],
    length: usize,
}

struct PartialPayload {
    last: bool,
    opcode: Opcode,
    mask: Mask,
    /// The number of bytes that have not arrived yet.
    remaining: usize,
    /// The payload so far of a control frame. The payload of a data frame goes to the open message.
    control: BytesMut,
}

/// A message that has arrived in part: some fragments, or some of a frame's payload.
struct OpenMessage {
    kind: MessageKind,
    /// Whether it is compressed. It is decompressed only when it is complete, because otherwise each connection would
    /// need a decompressor of its own.
    compressed: bool,
    buffer: MessageBuffer,
    check: Utf8Check,
}

impl Decoder {
    /// Creates a decoder for a new connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns whether no frame and no message has arrived in part.
    pub fn is_at_rest(&self) -> bool {
        self.partial.is_none()
    }

    /// Reads from the front of `input` until one event is complete or the input is used up. Returns how many bytes it
    /// used. If there is no event, it used all of them, and keeps what has arrived in part. It unmasks in place, so the
    /// used bytes hold nothing useful afterwards.
    ///
    /// After [`Event::Close`], ignore the rest of the input and all later input.
    ///
    /// # Errors
    /// If the client breaks the protocol or exceeds `limits`. The decoder must not be used after an error.
    pub fn decode(&mut self, input: &mut [u8], limits: &Limits) -> Result<(usize, Option<Event>), ProtocolError> {
        self.read(input, limits, None)
    }

    /// Does the same where compression was negotiated: `inflater` decompresses the messages that are compressed.
    ///
    /// # Errors
    /// The same as [`decode`](Self::decode).
    pub fn decode_deflated(
        &mut self,
        input: &mut [u8],
        limits: &Limits,
        inflater: &mut Inflater,
    ) -> Result<(usize, Option<Event>), ProtocolError> {
        self.read(input, limits, Some(inflater))
    }

    #[inline]
    fn read(
        &mut self,
        input: &mut [u8],
        limits: &Limits,
        mut inflater: Option<&mut Inflater>,
    ) -> Result<(usize, Option<Event>), ProtocolError> {
        let mut used = 0;
        while used < input.len() {
            let (more, event) = self.step(&mut input[used..], limits, inflater.as_deref_mut())?;
            used += more;
            if event.is_some() {
                self.settle();
                return Ok((used, event));
            }
        }
        Ok((used, None))
    }

    /// Reads up to the end of a frame or of the input.
    fn step(
        &mut self,
        input: &mut [u8],
        limits: &Limits,
        inflater: Option<&mut Inflater>,
    ) -> Result<(usize, Option<Event>), ProtocolError> {
        if let Some(partial) = &mut self.partial
            && matches!(partial.frame, Frame::Payload(_))
        {
            return partial.read_payload(input, limits, inflater);
        }
        let Some((header, used)) = self.read_header(input, inflater.is_some())? else { return Ok((input.len(), None)) };
        let length = self.admit(&header, limits)?;
        let rest = &mut input[used..];
        if header.last
            && header.opcode != Opcode::Continuation
            && let Some(payload) = rest.get_mut(..length)
        {
            return Ok((used + length, Some(read_whole(header, payload, limits, inflater)?)));
        }
        let partial = self.partial.get_or_insert_default();
        partial.open(&header, length);
        let (more, event) = partial.read_payload(rest, limits, inflater)?;
        Ok((used + more, event))
    }

    /// Reads a header, and returns it with the number of input bytes that it used. Returns `None` if the header is not
    /// complete; its bytes are kept.
    fn read_header(&mut self, input: &[u8], deflates: bool) -> Result<Option<(Header, usize)>, ProtocolError> {
        if let Some(partial) = &mut self.partial
            && let Frame::Header(begun) = &mut partial.frame
        {
            let header = begun.read(input, deflates)?;
            if header.is_some() {
                partial.frame = Frame::Unbegun;
            }
            return Ok(header);
        }
        let header = Header::parse(input, deflates)?;
        if header.is_none() {
            let mut begun = PartialHeader::default();
            begun.append(input);
            self.partial.get_or_insert_default().frame = Frame::Header(begun);
        }
        Ok(header)
    }

    /// Checks a header against the frames before it and against the limit. Returns the payload's length, which fits
    /// into memory.
    fn admit(&self, header: &Header, limits: &Limits) -> Result<usize, ProtocolError> {
        let open = self.partial.as_ref().and_then(|partial| partial.message.as_ref());
        let (so_far, limit) = match (header.opcode, open) {
            (Opcode::Continuation, None) => return Err(ProtocolError::NothingToContinue),
            (Opcode::Text | Opcode::Binary, Some(_)) => return Err(ProtocolError::Interrupted),
            (Opcode::Continuation, Some(open)) => (open.buffer.payload().len(), limits.as_sent(open.compressed)),
            (Opcode::Text | Opcode::Binary, None) => (0, limits.as_sent(header.compressed)),
            // `Header::parse` has checked these.
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => (0, usize::MAX),
        };
        match usize::try_from(header.length) {
            // The limit may have been lowered after the message began.
            Ok(length) if length <= limit.saturating_sub(so_far) => Ok(length),
            _ => Err(ProtocolError::TooLong { length: so_far as u64 + header.length, limit: limits.message }),
        }
    }

    /// Frees the buffer of a frame or message that has ended.
    #[inline]
    fn settle(&mut self) {
        if let Some(partial) = &self.partial
            && partial.message.is_none()
            && matches!(partial.frame, Frame::Unbegun)
        {
            self.partial = None;
        }
    }
}

/// Returns the event of a frame that is complete, and is a control frame or a whole message.
#[inline]
fn read_whole(
    header: Header,
    payload: &mut [u8],
    limits: &Limits,
    inflater: Option<&mut Inflater>,
) -> Result<Event, ProtocolError> {
    let mut mask = header.mask;
    mask.apply(payload);
    if header.compressed {
        let kind = if header.opcode == Opcode::Text { MessageKind::Text } else { MessageKind::Binary };
        return inflate(kind, payload, limits, inflater).map(Event::Message);
    }
    match header.opcode {
        Opcode::Text => {
            let text = std::str::from_utf8(payload).map_err(|_| ProtocolError::InvalidText)?;
            Ok(Event::Message(Message::text(text)))
        }
        // The caller never passes a continuation.
        Opcode::Binary | Opcode::Continuation => Ok(Event::Message(Message::binary(payload))),
        Opcode::Close => Ok(Event::Close(CloseFrame::parse(payload)?)),
        Opcode::Ping => Ok(Event::Ping(Bytes::copy_from_slice(payload))),
        Opcode::Pong => Ok(Event::Pong(Bytes::copy_from_slice(payload))),
    }
}

/// Decompresses a complete message.
fn inflate(
    kind: MessageKind,
    payload: &[u8],
    limits: &Limits,
    inflater: Option<&mut Inflater>,
) -> Result<Message, ProtocolError> {
    // `inflater` is always `Some` here: without it, a header that says "compressed" is refused.
    inflater.ok_or(ProtocolError::ReservedBits)?.inflate(kind, payload, limits.message)
}

impl PartialHeader {
    /// Continues a header. Returns the same as [`Header::parse`], but counts only the bytes of `input` that were used.
    fn read(&mut self, input: &[u8], deflates: bool) -> Result<Option<(Header, usize)>, ProtocolError> {
        let before = self.length;
        self.append(input);
        let header = Header::parse(&self.bytes[..self.length], deflates)?;
        // The bytes before this input were not a complete header, so the header ends in this input.
        Ok(header.map(|(header, used)| (header, used.saturating_sub(before))))
    }

    /// Keeps as many bytes of `input` as a header can have.
    fn append(&mut self, input: &[u8]) {
        let room = &mut self.bytes[self.length..];
        let count = room.len().min(input.len());
        room[..count].copy_from_slice(&input[..count]);
        self.length += count;
    }
}

impl Partial {
    /// Begins the payload of a frame whose header was admitted.
    fn open(&mut self, header: &Header, length: usize) {
        let kind = match header.opcode {
            Opcode::Text => Some(MessageKind::Text),
            Opcode::Binary => Some(MessageKind::Binary),
            Opcode::Continuation | Opcode::Close | Opcode::Ping | Opcode::Pong => None,
        };
        if let Some(kind) = kind {
            let buffer = MessageBuffer::with_capacity(length.min(CLAIM));
            let compressed = header.compressed;
            self.message = Some(OpenMessage { kind, compressed, buffer, check: Utf8Check::default() });
        }
        self.frame = Frame::Payload(PartialPayload {
            last: header.last,
            opcode: header.opcode,
            mask: header.mask,
            remaining: length,
            control: BytesMut::new(),
        });
    }

    /// Reads payload up to the end of its frame or of the input.
    fn read_payload(
        &mut self,
        input: &mut [u8],
        limits: &Limits,
        inflater: Option<&mut Inflater>,
    ) -> Result<(usize, Option<Event>), ProtocolError> {
        let Frame::Payload(payload) = &mut self.frame else { return Ok((0, None)) };
        let used = payload.remaining.min(input.len());
        let piece = &mut input[..used];
        payload.mask.apply(piece);
        payload.remaining -= used;
        match &mut self.message {
            Some(message) if !payload.opcode.is_control() => message.append(piece)?,
            _ => payload.control.extend_from_slice(piece),
        }
        if payload.remaining > 0 {
            return Ok((used, None));
        }
        let Frame::Payload(payload) = std::mem::take(&mut self.frame) else { return Ok((used, None)) };
        Ok((used, self.end_frame(payload, limits, inflater)?))
    }

    /// Returns the event that a frame completes. All of its payload has arrived.
    fn end_frame(
        &mut self,
        payload: PartialPayload,
        limits: &Limits,
        inflater: Option<&mut Inflater>,
    ) -> Result<Option<Event>, ProtocolError> {
        match payload.opcode {
            Opcode::Text | Opcode::Binary | Opcode::Continuation if !payload.last => Ok(None),
            Opcode::Text | Opcode::Binary | Opcode::Continuation => {
                let message = self.message.take().map(|message| message.finish(limits, inflater));
                Ok(message.transpose()?.map(Event::Message))
            }
            Opcode::Close => Ok(Some(Event::Close(CloseFrame::parse(&payload.control)?))),
            Opcode::Ping => Ok(Some(Event::Ping(payload.control.freeze()))),
            Opcode::Pong => Ok(Some(Event::Pong(payload.control.freeze()))),
        }
    }
}

impl OpenMessage {
    fn append(&mut self, piece: &[u8]) -> Result<(), ProtocolError> {
        self.buffer.extend_from_slice(piece);
        match self.kind {
            MessageKind::Text if !self.compressed => self.check.advance(self.buffer.payload()),
            MessageKind::Text | MessageKind::Binary => Ok(()),
        }
    }

    fn finish(self, limits: &Limits, inflater: Option<&mut Inflater>) -> Result<Message, ProtocolError> {
        if self.compressed {
            return inflate(self.kind, self.buffer.payload(), limits, inflater);
        }
        if self.kind == MessageKind::Text {
            self.check.finish(self.buffer.payload())?;
        }
        Ok(self.buffer.seal(self.kind))
    }
}

impl fmt::Debug for Decoder {
    /// Shows the position only. What has arrived belongs to users and must not be in logs.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.partial.as_deref() {
            None => "at rest",
            Some(Partial { frame: Frame::Unbegun, .. }) => "between fragments",
            Some(Partial { frame: Frame::Header(_), .. }) => "in a header",
            Some(Partial { frame: Frame::Payload(_), .. }) => "in a payload",
        };
        write!(formatter, "Decoder({place})")
    }
}

#[cfg(test)]
mod tests;
