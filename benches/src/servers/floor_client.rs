//! A client of the floor: its handshake, and then its frames.

use std::net::TcpStream;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};

use crate::load::connect::{ACCEPT, KEY};
use crate::load::frame::append_header;
use crate::load::payload::Payload;

pub(super) struct FloorClient {
    socket: Rc<TcpStream>,
    /// Its room. Empty before the handshake.
    room: String,
    /// Input without its end.
    partial: Vec<u8>,
    /// The frame to send, in memory that is used again.
    frame: Vec<u8>,
}

/// What a client does.
pub(super) enum FloorEvent<'a> {
    /// It enters a room.
    Entered(&'a str),
    /// It sends a message: the frame for the others.
    Frame(&'a [u8]),
}

impl FloorClient {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self { socket: Rc::new(socket), room: String::new(), partial: Vec::new(), frame: Vec::new() }
    }

    /// Its socket.
    pub(super) fn socket(&self) -> &Rc<TcpStream> {
        &self.socket
    }

    /// Its room. Empty before the handshake.
    pub(super) fn room(&self) -> &str {
        &self.room
    }

    /// Reads `input`, and calls `on_event` for everything that is complete.
    pub(super) fn read(&mut self, input: &mut [u8], mut on_event: impl FnMut(&Self, FloorEvent<'_>)) -> Result<()> {
        if self.partial.is_empty() {
            let used = self.read_from(input, &mut on_event)?;
            self.partial.extend_from_slice(&input[used..]);
            return Ok(());
        }
        let mut whole = std::mem::take(&mut self.partial);
        whole.extend_from_slice(input);
        let used = self.read_from(&mut whole, &mut on_event)?;
        whole.drain(..used);
        self.partial = whole;
        Ok(())
    }

    fn read_from(&mut self, input: &mut [u8], on_event: &mut impl FnMut(&Self, FloorEvent<'_>)) -> Result<usize> {
        let mut used = 0;
        if self.room.is_empty() {
            let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(0) };
            used = end + 4;
            self.room = self.shake_hands(&input[..used])?;
            on_event(self, FloorEvent::Entered(&self.room));
        }
        while let Some(frame) = Frame::parse(&input[used..])? {
            let payload = &mut input[used + frame.payload_at..used + frame.length];
            payload.iter_mut().zip(frame.mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
            used += frame.length;
            self.frame.clear();
            append_header(&mut self.frame, Payload::Binary, payload.len(), 0);
            self.frame.extend_from_slice(payload);
            on_event(self, FloorEvent::Frame(&self.frame));
        }
        Ok(used)
    }

    /// Accepts the client, and returns the room that it asked for.
    fn shake_hands(&self, head: &[u8]) -> Result<String> {
        let head = std::str::from_utf8(head)?;
        ensure!(head.contains(KEY), "this is not the load generator");
        let (_, room) = head.split_once("room=").context("no room is named")?;
        let room = room.split([' ', '&']).next().filter(|room| !room.is_empty()).context("no room is named")?;
        let response = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
        );
        rustix::net::send(&self.socket, response.as_bytes(), rustix::net::SendFlags::NOSIGNAL)?;
        Ok(room.into())
    }
}

/// A complete frame.
struct Frame {
    mask: [u8; 4],
    payload_at: usize,
    length: usize,
}

impl Frame {
    /// `None` if the input is too short.
    fn parse(input: &[u8]) -> Result<Option<Self>> {
        let Some((&[first, second], rest)) = input.split_first_chunk() else { return Ok(None) };
        if first != 0x82 || second & 0x80 == 0 {
            bail!("this is not a frame of the load generator");
        }
        let (length, rest) = match second & 0x7F {
            126 => match rest.split_first_chunk() {
                Some((length, rest)) => (usize::from(u16::from_be_bytes(*length)), rest),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk() {
                Some((length, rest)) => (usize::try_from(u64::from_be_bytes(*length))?, rest),
                None => return Ok(None),
            },
            length => (usize::from(length), rest),
        };
        let Some((mask, rest)) = rest.split_first_chunk() else { return Ok(None) };
        let payload_at = input.len() - rest.len();
        Ok((rest.len() >= length).then_some(Self { mask: *mask, payload_at, length: payload_at + length }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::frame::Encoder;
    use crate::load::payload::Tag;

    /// A client in a room. Its other end is closed.
    fn client() -> FloorClient {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        FloorClient { room: "somewhere".into(), ..FloorClient::new(socket) }
    }

    #[test]
    fn frames_are_forwarded_unmasked_wherever_they_are_cut() {
        for bytes in [8, 126, 70_000] {
            let mut input = Vec::new();
            let tag = Tag { sender: 1, sequence: 2 };
            Encoder::new(Payload::Binary, bytes).append(&mut input, tag);
            Encoder::new(Payload::Binary, bytes).append(&mut input, tag);
            let mut expected = Vec::new();
            append_header(&mut expected, Payload::Binary, bytes, 0);
            expected.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 2]);
            expected.resize(expected.len() + bytes - 8, b'.');
            for at in (0..40).chain([input.len() - 1]) {
                let (mut client, mut frames) = (client(), 0);
                for piece in [&input[..at.min(input.len())], &input[at.min(input.len())..]] {
                    let on_event = |_: &FloorClient, event: FloorEvent<'_>| match event {
                        FloorEvent::Frame(frame) => {
                            assert!(frame == expected, "{bytes} bytes cut at {at}");
                            frames += 1;
                        }
                        FloorEvent::Entered(_) => panic!("it is in a room"),
                    };
                    client.read(&mut piece.to_vec(), on_event).unwrap();
                }
                assert_eq!(frames, 2);
            }
        }
    }
}
