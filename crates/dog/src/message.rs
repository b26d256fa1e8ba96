//! One message to or from a client: [`Message`].

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Kind};

/// The longest header of a frame that a server sends: two bytes and a length of eight bytes.
const HEADROOM: usize = 10;

/// One message of a WebSocket: text or binary.
///
/// Cloning increments a reference count. One message can go to a million sockets without a copy.
///
/// ```
/// use dog::Message;
///
/// let text = Message::text("hello");
/// assert_eq!(text.as_text(), Some("hello"));
///
/// let said = Message::json(&serde_json::json!({ "type": "msg", "text": "hi" }))?;
/// assert_eq!(said.to_json::<serde_json::Value>()?["text"], "hi");
/// # Ok::<(), dog::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    kind: MessageKind,
    /// Offset of the payload in `frame`: 2, 4 or 10.
    payload_at: u8,
    /// The whole frame as a server sends it, header included. It is made together with the message, so a broadcast encodes
    /// nothing, whatever the number of receivers.
    frame: Bytes,
}

/// The two kinds of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Binary,
}

impl Message {
    /// A text message with a copy of `text`.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::copied(MessageKind::Text, text.as_ref().as_bytes())
    }

    /// A binary message with a copy of `bytes`.
    pub fn binary(bytes: impl AsRef<[u8]>) -> Self {
        Self::copied(MessageKind::Binary, bytes.as_ref())
    }

    /// A text message that contains `value` as JSON.
    ///
    /// # Errors
    /// [`Error::is_encoding`] if `value` cannot be written as JSON, for example a map whose keys are not strings.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        let mut buffer = MessageBuffer::with_capacity(128);
        serde_json::to_writer(&mut buffer, value)
            .map_err(|cause| Error::caused(Kind::Encoding, "the value cannot be written as JSON", cause))?;
        Ok(buffer.seal(MessageKind::Text))
    }

    fn copied(kind: MessageKind, payload: &[u8]) -> Self {
        let mut buffer = MessageBuffer::with_capacity(payload.len());
        buffer.extend_from_slice(payload);
        buffer.seal(kind)
    }

    /// Text or binary.
    pub fn kind(&self) -> MessageKind {
        self.kind
    }

    /// The text, or `None` for a binary message.
    pub fn as_text(&self) -> Option<&str> {
        match self.kind {
            MessageKind::Text => std::str::from_utf8(self.as_bytes()).ok(),
            MessageKind::Binary => None,
        }
    }

    /// The payload, for both kinds.
    pub fn as_bytes(&self) -> &[u8] {
        &self.frame[usize::from(self.payload_at)..]
    }

    /// The payload without a copy. It keeps the whole message in memory.
    pub fn to_bytes(&self) -> Bytes {
        self.frame.slice(usize::from(self.payload_at)..)
    }

    /// Reads the payload as JSON, for both kinds.
    ///
    /// # Errors
    /// [`Error::is_encoding`] if the payload is not the JSON of a `T`.
    pub fn to_json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(self.as_bytes())
            .map_err(|cause| Error::caused(Kind::Encoding, "the message is not JSON of the expected type", cause))
    }

    /// The length of the payload in bytes.
    pub fn len(&self) -> usize {
        self.frame.len() - usize::from(self.payload_at)
    }

    /// Whether the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For hosts: the message as one unfragmented, unmasked WebSocket frame, with header and payload in one shared buffer.
    #[doc(hidden)]
    pub fn frame(&self) -> &Bytes {
        &self.frame
    }
}

/// What the verbs send: a [`Message`], text (`&str`, `String`) or bytes ([`Bytes`], `Vec<u8>`).
///
/// Implement it for a type of yours that is a message by itself:
///
/// ```
/// use dog::{IntoMessage, Message};
///
/// struct Tick(u64);
///
/// impl From<Tick> for Message {
///     fn from(tick: Tick) -> Self {
///         Message::binary(tick.0.to_be_bytes())
///     }
/// }
/// impl IntoMessage for Tick {}
/// # fn check(socket: &dog::Socket) -> Result<(), dog::Error> { socket.send(Tick(7)) }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no message",
    label = "this cannot be sent as it is",
    note = "a value that clients read as JSON: `Message::json(&value)?`",
    note = "bytes: `Message::binary(bytes)`; text: `Message::text(text)`"
)]
pub trait IntoMessage: Into<Message> {}

impl IntoMessage for Message {}
impl IntoMessage for &str {}
impl IntoMessage for String {}
impl IntoMessage for Bytes {}
impl IntoMessage for Vec<u8> {}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::binary(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::binary(bytes)
    }
}

/// The form that travels between objects: the kind and the payload.
impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.kind == MessageKind::Text, self.to_bytes()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (is_text, payload) = <(bool, Bytes)>::deserialize(deserializer)?;
        if is_text && std::str::from_utf8(&payload).is_err() {
            return Err(serde::de::Error::custom("a text message that is not UTF-8"));
        }
        Ok(Self::copied(if is_text { MessageKind::Text } else { MessageKind::Binary }, &payload))
    }
}

impl fmt::Debug for Message {
    /// The kind and the length. The content belongs to users and does not go into logs.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Message({:?}, {} bytes)", self.kind, self.len())
    }
}

/// For hosts: a message under construction. The buffer has room for the header before the payload, so that sealing copies
/// nothing.
#[doc(hidden)]
#[derive(Debug)]
pub struct MessageBuffer {
    buffer: BytesMut,
}

impl MessageBuffer {
    /// An empty payload with room for `payload` bytes.
    pub fn with_capacity(payload: usize) -> Self {
        let mut buffer = BytesMut::with_capacity(HEADROOM + payload);
        buffer.extend_from_slice(&[0; HEADROOM]);
        Self { buffer }
    }

    /// Appends to the payload.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The payload so far.
    pub fn payload(&self) -> &[u8] {
        &self.buffer[HEADROOM..]
    }

    /// The payload so far, to be changed in place.
    pub fn payload_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[HEADROOM..]
    }

    /// Completes the message. The caller has checked that a text payload is UTF-8.
    pub fn seal(mut self, kind: MessageKind) -> Message {
        let length = self.payload().len();
        let mut header = [0_u8; HEADROOM];
        header[0] = match kind {
            MessageKind::Text => 0x81,
            MessageKind::Binary => 0x82,
        };
        let header_length = if let Ok(short @ 0..=125) = u8::try_from(length) {
            header[1] = short;
            2
        } else if let Ok(medium) = u16::try_from(length) {
            header[1] = 126;
            header[2..4].copy_from_slice(&medium.to_be_bytes());
            4
        } else {
            header[1] = 127;
            header[2..10].copy_from_slice(&(length as u64).to_be_bytes());
            HEADROOM
        };
        let start = HEADROOM - header_length;
        self.buffer[start..HEADROOM].copy_from_slice(&header[..header_length]);
        let mut frame = self.buffer.freeze();
        // `slice` would add a reference to the buffer, which allocates; `advance` does not.
        frame.advance(start);
        // A header has at most ten bytes.
        let payload_at = u8::try_from(header_length).unwrap_or(u8::MAX);
        Message { kind, payload_at, frame }
    }
}

impl std::io::Write for MessageBuffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_travels_as_it_is() {
        for message in [Message::text("größe"), Message::text(""), Message::binary([0xff, 0])] {
            let bytes = crate::codec::encode(&message).unwrap();
            assert_eq!(crate::codec::decode::<Message>(&bytes).unwrap(), message);
        }
        let broken = crate::codec::encode(&(true, Bytes::from_static(&[0xff]))).unwrap();
        assert!(crate::codec::decode::<Message>(&broken).unwrap_err().is_encoding());
    }

    #[test]
    fn the_frame_is_laid_out_as_rfc_6455_says() {
        for (length, header) in [
            (0, vec![0x82, 0]),
            (125, vec![0x82, 125]),
            (126, vec![0x82, 126, 0, 126]),
            (65_535, vec![0x82, 126, 0xff, 0xff]),
            (65_536, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let message = Message::binary(vec![7; length]);
            assert_eq!(message.frame()[..header.len()], header, "length {length}");
            assert_eq!(message.as_bytes(), vec![7; length]);
            assert_eq!(message.len(), length);
        }
        assert_eq!(Message::text("hi").frame()[..], [0x81, 2, b'h', b'i']);
    }

    #[test]
    fn a_text_message_reads_as_text_and_a_binary_one_does_not() {
        assert_eq!(Message::text("grüezi").as_text(), Some("grüezi"));
        assert_eq!(Message::binary("grüezi").as_text(), None);
        assert_eq!(Message::from("a").to_bytes(), Bytes::from_static(b"a"));
    }

    #[test]
    fn a_clone_shares_the_bytes() {
        let message = Message::text("shared");
        assert_eq!(message.frame().as_ptr(), message.clone().frame().as_ptr());
    }

    #[test]
    fn json_that_does_not_fit_is_an_encoding_error() {
        assert!(Message::text("{").to_json::<u32>().unwrap_err().is_encoding());
    }
}
