//! Messages to bytes and back: [`Codec`], and the bounds of what a client may send.

use bytes::{Buf, Bytes, BytesMut};
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::command::ClientCommand;
use super::reply::ServerReply;

/// The most bytes in a frame from a client.
pub const MAX_FRAME: usize = 64 * 1024;

/// The most commands in a frame.
pub const MAX_COMMANDS: usize = 1_000;

/// The longest name of a channel, in bytes.
pub const MAX_CHANNEL: usize = 255;

/// How messages are written. Both sides of a connection use one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, serde::Deserialize)]
pub enum Codec {
    /// One JSON object per line, in text frames. All payloads are JSON.
    Json,
    /// Each message behind its length, in binary frames. Payloads are any bytes.
    Protobuf,
}

/// Why a frame cannot be read. A client that sends such a frame is disconnected with
/// [`Disconnect::BAD_REQUEST`](super::Disconnect::BAD_REQUEST).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// There is nothing in it.
    #[error("the frame is empty")]
    Empty,
    /// It has more than [`MAX_FRAME`] bytes.
    #[error("the frame has more than {MAX_FRAME} bytes")]
    TooLarge,
    /// It has more than [`MAX_COMMANDS`] commands.
    #[error("the frame has more than {MAX_COMMANDS} commands")]
    TooMany,
    /// It is not what the codec writes.
    #[error("the frame is malformed")]
    Malformed,
}

/// A payload is not JSON, and so cannot be sent to a client that speaks JSON. That client is disconnected with
/// [`Disconnect::INAPPROPRIATE_PROTOCOL`](super::Disconnect::INAPPROPRIATE_PROTOCOL).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a payload is not JSON, and the client speaks JSON")]
pub struct NotJson;

/// There can be no channel with this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a channel has a name of 1 to {MAX_CHANNEL} bytes without control characters")]
pub struct InvalidChannel;

/// Checks the name of a channel.
///
/// # Errors
/// It is empty, has more than [`MAX_CHANNEL`] bytes, or has control characters.
pub fn check_channel(name: &str) -> Result<(), InvalidChannel> {
    let fits = !name.is_empty() && name.len() <= MAX_CHANNEL && !name.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(InvalidChannel) }
}

impl Codec {
    /// Reads what a client has sent in one frame: one command or more.
    ///
    /// # Errors
    /// The frame is empty, over a bound, or malformed. Nothing of it counts.
    pub fn commands(self, frame: &[u8]) -> Result<Vec<ClientCommand>, FrameError> {
        if frame.len() > MAX_FRAME {
            return Err(FrameError::TooLarge);
        }
        self.read(frame, MAX_COMMANDS)
    }

    /// Writes replies as one frame.
    ///
    /// # Errors
    /// A payload is not JSON, and this is [`Codec::Json`].
    pub fn replies(self, replies: &[ServerReply]) -> Result<Bytes, NotJson> {
        self.write(replies)
    }

    /// Writes commands as one frame, as a client does.
    ///
    /// # Errors
    /// As [`replies`](Self::replies).
    pub fn write_commands(self, commands: &[ClientCommand]) -> Result<Bytes, NotJson> {
        self.write(commands)
    }

    /// Reads replies, as a client does. There is no bound but the frame.
    ///
    /// # Errors
    /// The frame is empty or malformed.
    pub fn read_replies(self, frame: &[u8]) -> Result<Vec<ServerReply>, FrameError> {
        self.read(frame, usize::MAX)
    }

    fn read<M: Message + Default + DeserializeOwned>(self, frame: &[u8], most: usize) -> Result<Vec<M>, FrameError> {
        if frame.is_empty() {
            return Err(FrameError::Empty);
        }
        match self {
            Self::Json => read_lines(frame, most),
            Self::Protobuf => read_delimited(frame, most),
        }
    }

    fn write<M: Message + Serialize>(self, messages: &[M]) -> Result<Bytes, NotJson> {
        match self {
            Self::Json => write_lines(messages),
            Self::Protobuf => Ok(write_delimited(messages)),
        }
    }
}

/// Messages are separated by one line feed, and one may follow the last.
fn read_lines<M: DeserializeOwned>(frame: &[u8], most: usize) -> Result<Vec<M>, FrameError> {
    let lines = frame.strip_suffix(b"\n").unwrap_or(frame);
    let mut messages = Vec::new();
    for line in lines.split(|byte| *byte == b'\n') {
        if messages.len() == most {
            return Err(FrameError::TooMany);
        }
        // As serde reads it, a list would do for an object.
        let is_object = line.trim_ascii_start().starts_with(b"{");
        let message = serde_json::from_slice(line).ok().filter(|_| is_object);
        messages.push(message.ok_or(FrameError::Malformed)?);
    }
    Ok(messages)
}

fn read_delimited<M: Message + Default>(mut frame: &[u8], most: usize) -> Result<Vec<M>, FrameError> {
    let mut messages = Vec::new();
    while frame.has_remaining() {
        if messages.len() == most {
            return Err(FrameError::TooMany);
        }
        messages.push(M::decode_length_delimited(&mut frame).map_err(|_| FrameError::Malformed)?);
    }
    Ok(messages)
}

fn write_lines<M: Serialize>(messages: &[M]) -> Result<Bytes, NotJson> {
    let mut frame = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        if index > 0 {
            frame.push(b'\n');
        }
        serde_json::to_writer(&mut frame, message).map_err(|_| NotJson)?;
    }
    Ok(frame.into())
}

fn write_delimited<M: Message>(messages: &[M]) -> Bytes {
    let mut frame = BytesMut::new();
    for message in messages {
        let length = message.encoded_len();
        frame.reserve(length + prost::length_delimiter_len(length));
        // The buffer has room, and this fails only where it has not.
        let _ = message.encode_length_delimited(&mut frame);
    }
    frame.freeze()
}
