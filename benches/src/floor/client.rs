//! One client of the floor: its handshake, then its frames.

use std::net::TcpStream;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};

use crate::connect::{ACCEPT, KEY};
use crate::frame::{Payload, append_header};

pub(super) struct Client {
    pub(super) socket: Rc<TcpStream>,
    /// Where it is; nowhere before its handshake.
    pub(super) room: String,
    /// What came in part.
    partial: Vec<u8>,
    /// The frame that is sent on, in memory that is used again.
    frame: Vec<u8>,
}

/// What a client has said.
pub(super) enum Heard<'a> {
    /// It wants to enter a room.
    Entered(&'a str),
    /// It says something; this is how the others hear it.
    Frame(&'a [u8]),
}

impl Client {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self { socket: Rc::new(socket), room: String::new(), partial: Vec::new(), frame: Vec::new() }
    }

    /// Reads `input`, and calls `heard` for whatever is complete.
    pub(super) fn hear(&mut self, input: &mut [u8], mut heard: impl FnMut(&Self, Heard<'_>)) -> Result<()> {
        if self.partial.is_empty() {
            let used = self.hear_from(input, &mut heard)?;
            self.partial.extend_from_slice(&input[used..]);
            return Ok(());
        }
        let mut whole = std::mem::take(&mut self.partial);
        whole.extend_from_slice(input);
        let used = self.hear_from(&mut whole, &mut heard)?;
        whole.drain(..used);
        self.partial = whole;
        Ok(())
    }

    fn hear_from(&mut self, input: &mut [u8], heard: &mut impl FnMut(&Self, Heard<'_>)) -> Result<usize> {
        let mut used = 0;
        if self.room.is_empty() {
            let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(0) };
            used = end + 4;
            self.room = self.shake_hands(&input[..used])?;
            heard(self, Heard::Entered(&self.room));
        }
        while let Some(frame) = Frame::parse(&input[used..])? {
            let payload = &mut input[used + frame.payload_at..used + frame.length];
            payload.iter_mut().zip(frame.mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
            used += frame.length;
            self.frame.clear();
            append_header(&mut self.frame, Payload::Binary, payload.len(), 0);
            self.frame.extend_from_slice(payload);
            heard(self, Heard::Frame(&self.frame));
        }
        Ok(used)
    }

    /// Lets the client in, and tells which room it asked for.
    fn shake_hands(&self, head: &[u8]) -> Result<String> {
        let head = std::str::from_utf8(head)?;
        ensure!(head.contains(KEY), "a client that is not ours");
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

/// A frame that is whole in the input.
struct Frame {
    mask: [u8; 4],
    payload_at: usize,
    length: usize,
}

impl Frame {
    /// `None` as long as it is not whole.
    fn parse(input: &[u8]) -> Result<Option<Self>> {
        let Some((&[first, second], rest)) = input.split_first_chunk() else { return Ok(None) };
        if first != 0x82 || second & 0x80 == 0 {
            bail!("not a frame of our load generator's");
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
    use crate::frame::{Encoder, Tag};

    /// A client in a room, whose other end has gone.
    fn client() -> Client {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        Client { room: "somewhere".into(), ..Client::new(socket) }
    }

    #[test]
    fn frames_are_sent_on_unmasked_wherever_they_are_cut() {
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
                    let hear = |_: &Client, heard: Heard<'_>| match heard {
                        Heard::Frame(frame) => {
                            assert!(frame == expected, "{bytes} bytes cut at {at}");
                            frames += 1;
                        }
                        Heard::Entered(_) => panic!("it is in a room"),
                    };
                    client.hear(&mut piece.to_vec(), hear).unwrap();
                }
                assert_eq!(frames, 2);
            }
        }
    }
}
