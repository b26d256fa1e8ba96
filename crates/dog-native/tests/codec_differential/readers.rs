//! What a server reads: the same stream through both codecs, in one form.

use std::io::{self, Read, Write};

use dog_native::websocket::{Decoder, Event, Inflater, Limits, ProtocolError};
use tungstenite::protocol::{Message, Role, WebSocket, WebSocketConfig};

/// An event in a form to which the events of both codecs are converted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

impl Seen {
    pub(crate) fn is_control(&self) -> bool {
        matches!(self, Self::Ping(_) | Self::Pong(_) | Self::Close(_))
    }
}

/// How the reading of a stream ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End<E> {
    /// The stream ended before a close or a refusal.
    Open,
    /// The client sent a close frame.
    Closed,
    Refused(E),
}

/// Cuts a stream into chunks. The sizes are used in turn, again and again.
pub(crate) fn chunks<'a>(mut stream: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    sizes.iter().cycle().map_while(move |&size| {
        let (chunk, rest) = stream.split_at(size.min(stream.len()));
        stream = rest;
        (!chunk.is_empty()).then_some(chunk)
    })
}

pub(crate) fn read_ours(stream: &[u8], sizes: &[usize], limit: usize) -> (Vec<Seen>, End<ProtocolError>) {
    read_with(stream, sizes, limit, Decoder::decode)
}

/// The same for a connection with compression.
pub(crate) fn read_deflated(stream: &[u8], sizes: &[usize], limit: usize) -> (Vec<Seen>, End<ProtocolError>) {
    let mut inflater = Inflater::new();
    read_with(stream, sizes, limit, |decoder, input, limits| decoder.decode_deflated(input, limits, &mut inflater))
}

pub(crate) fn read_with(
    stream: &[u8],
    sizes: &[usize],
    limit: usize,
    mut decode: impl FnMut(&mut Decoder, &mut [u8], &Limits) -> Result<(usize, Option<Event>), ProtocolError>,
) -> (Vec<Seen>, End<ProtocolError>) {
    let limits = Limits { message: limit };
    let mut decoder = Decoder::new();
    let mut seen = Vec::new();
    for chunk in chunks(stream, sizes) {
        let mut chunk = chunk.to_vec();
        let mut input = &mut chunk[..];
        while !input.is_empty() {
            match decode(&mut decoder, input, &limits) {
                Ok((used, Some(event))) => {
                    assert!(used > 0);
                    seen.push(seen_ours(event));
                    if let Some(Seen::Close(_)) = seen.last() {
                        return (seen, End::Closed);
                    }
                    input = &mut input[used..];
                }
                Ok((used, None)) => {
                    assert_eq!(used, input.len(), "without an event all input is used");
                    break;
                }
                Err(error) => return (seen, End::Refused(error)),
            }
        }
    }
    (seen, End::Open)
}

pub(crate) fn seen_ours(event: Event) -> Seen {
    match event {
        Event::Message(message) => match message.as_text() {
            Some(text) => Seen::Text(text.to_owned()),
            None => Seen::Binary(message.as_bytes().to_vec()),
        },
        Event::Ping(payload) => Seen::Ping(payload.to_vec()),
        Event::Pong(payload) => Seen::Pong(payload.to_vec()),
        Event::Close(frame) => Seen::Close(frame.map(|frame| (frame.code, frame.reason))),
    }
}

/// A stream for tungstenite. A read returns one chunk, or as much of it as fits. What is written is discarded.
pub(crate) struct Chunked<'a, I> {
    pub(crate) chunk: &'a [u8],
    pub(crate) chunks: I,
}

impl<'a, I: Iterator<Item = &'a [u8]>> Read for Chunked<'a, I> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() {
            self.chunk = self.chunks.next().unwrap_or_default();
        }
        self.chunk.read(buffer)
    }
}

impl<I> Write for Chunked<'_, I> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns what tungstenite sees, and the close code of its refusal.
pub(crate) fn read_theirs(stream: &[u8], sizes: &[usize], limit: usize) -> (Vec<Seen>, End<u16>) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(limit))
        .max_frame_size(Some(limit))
        // tungstenite fills this buffer with zeros on every read, so a small one is faster here.
        .read_buffer_size(4096);
    let stream = Chunked { chunk: &[], chunks: chunks(stream, sizes) };
    let mut socket = WebSocket::from_raw_socket(stream, Role::Server, Some(config));
    let mut seen = Vec::new();
    loop {
        let event = match socket.read() {
            Ok(Message::Text(text)) => Seen::Text(text.as_str().to_owned()),
            Ok(Message::Binary(bytes)) => Seen::Binary(bytes.into()),
            Ok(Message::Ping(payload)) => Seen::Ping(payload.into()),
            Ok(Message::Pong(payload)) => Seen::Pong(payload.into()),
            Ok(Message::Close(frame)) => {
                seen.push(Seen::Close(frame.map(|frame| (frame.code.into(), frame.reason.as_str().to_owned()))));
                return (seen, End::Closed);
            }
            Ok(Message::Frame(frame)) => panic!("tungstenite never reads a raw frame: {frame}"),
            Err(error) => return (seen, end_theirs(&error)),
        };
        seen.push(event);
    }
}

pub(crate) fn end_theirs(error: &tungstenite::Error) -> End<u16> {
    use tungstenite::Error;
    match error {
        // The stream ended without a close frame.
        Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => End::Open,
        Error::Protocol(_) => End::Refused(1002),
        Error::Utf8(_) => End::Refused(1007),
        Error::Capacity(_) => End::Refused(1009),
        other => panic!("tungstenite failed in a way that the client's bytes do not explain: {other}"),
    }
}
