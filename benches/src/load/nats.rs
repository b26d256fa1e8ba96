//! The part of the protocol of NATS that the load generator needs, within WebSocket frames. Its lines and messages are a stream
//! of bytes: a frame may hold several of them, or a piece of one.

use anyhow::{Result, bail, ensure};

use super::frame::{self, Arrived, Header, MASKED_WITH_ZEROS};
use super::payload::{NATS_END, Payload, SUBJECT, Tag};

/// The longest line of the server that is read: longer than those that announce a message.
const LONGEST: usize = 128;

/// The longest header of a server's frame, in bytes.
const LONGEST_HEADER: usize = 10;

/// What a client sends when it has connected. The server answers with `PONG` when it has done all of it.
pub fn greeting(subscribes: bool) -> String {
    let subscription = if subscribes { format!("SUB {SUBJECT} 1\r\n") } else { String::new() };
    format!("CONNECT {{\"verbose\":false,\"pedantic\":false,\"lang\":\"bench\"}}\r\n{subscription}PING\r\n")
}

/// The answer to a ping, as a frame.
pub fn pong() -> Vec<u8> {
    frame(b"PONG\r\n")
}

/// A short text as the frame of a client.
pub fn frame(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::append_header(&mut out, Payload::Nats, text.len(), 0x80);
    out.extend_from_slice(MASKED_WITH_ZEROS);
    out.extend_from_slice(text);
    out
}

/// Finds the messages in what a server sends. It reads lines and tags, and skips the rest.
#[derive(Debug, Default)]
pub struct NatsReader {
    /// A frame's header that was cut.
    header: Vec<u8>,
    /// The bytes still to come of the current frame.
    frame: usize,
    /// The front of what was cut before its end: of a line, or of a tag.
    stash: Vec<u8>,
    message: Option<Message>,
}

/// A message whose line has been read.
#[derive(Debug)]
struct Message {
    bytes: usize,
    tag: Option<Tag>,
    /// The bytes still to come, with those that end it.
    remaining: usize,
}

impl NatsReader {
    /// Reads all of `input`, and calls `arrived` for each message that ends in it, and for each ping.
    ///
    /// # Errors
    /// When the bytes are not what a server may send, and whenever `arrived` fails.
    pub fn read(&mut self, mut input: &[u8], mut arrived: impl FnMut(Arrived) -> Result<()>) -> Result<()> {
        while !input.is_empty() {
            if self.frame == 0 {
                self.read_header(&mut input)?;
                continue;
            }
            let (mut content, rest) = input.split_at(self.frame.min(input.len()));
            self.frame -= content.len();
            input = rest;
            while !content.is_empty() {
                self.read_content(&mut content, &mut arrived)?;
            }
        }
        Ok(())
    }

    /// Reads a header byte by byte, because it may be cut.
    fn read_header(&mut self, input: &mut &[u8]) -> Result<()> {
        let Some((first, rest)) = input.split_first() else { return Ok(()) };
        *input = rest;
        self.header.push(*first);
        ensure!(self.header.len() <= LONGEST_HEADER, "the server sent a header that has no end");
        if let Some(Header { first, length, .. }) = Header::parse(&self.header)? {
            ensure!(first == 0x82, "the server sent a frame that begins with {first:02x}");
            self.frame = length;
            self.header.clear();
        }
        Ok(())
    }

    /// Reads the next piece: of a line, of a tag, or of the rest of a message.
    fn read_content(&mut self, content: &mut &[u8], arrived: &mut impl FnMut(Arrived) -> Result<()>) -> Result<()> {
        match &mut self.message {
            None => self.read_line(content, arrived),
            Some(message) if message.tag.is_none() => {
                let wanted = Payload::Nats.tag_bytes() - self.stash.len();
                let (piece, rest) = content.split_at(wanted.min(content.len()));
                *content = rest;
                self.stash.extend_from_slice(piece);
                message.remaining -= piece.len();
                if let Some(tag) = self.stash.first_chunk() {
                    message.tag = Some(Tag::from_bytes(*tag));
                    self.stash.clear();
                }
                Ok(())
            }
            Some(message) => {
                let passed = message.remaining.min(content.len());
                message.remaining -= passed;
                *content = &content[passed..];
                let ended = self.message.take_if(|message| message.remaining == 0);
                let ended = ended.and_then(|message| Some(Arrived::Message(message.tag?, message.bytes)));
                ended.map_or(Ok(()), arrived)
            }
        }
    }

    fn read_line(&mut self, content: &mut &[u8], arrived: &mut impl FnMut(Arrived) -> Result<()>) -> Result<()> {
        let length = content.iter().position(|byte| *byte == b'\n').map_or(content.len(), |at| at + 1);
        let (piece, rest) = content.split_at(length);
        *content = rest;
        self.stash.extend_from_slice(piece);
        ensure!(self.stash.len() <= LONGEST, "the server sent a line that has no end");
        let Some(line) = self.stash.strip_suffix(NATS_END) else { return Ok(()) };
        match (line, announced(line)) {
            (_, Some(bytes)) if bytes >= Payload::Nats.tag_bytes() => {
                self.message = Some(Message { bytes, tag: None, remaining: bytes + NATS_END.len() });
            }
            (b"PING", _) => arrived(Arrived::NatsPing)?,
            (b"PONG", _) => {}
            _ => bail!("the server sent {:?}", String::from_utf8_lossy(line)),
        }
        self.stash.clear();
        Ok(())
    }
}

/// The length in `MSG t 1 128`.
fn announced(line: &[u8]) -> Option<usize> {
    let line = std::str::from_utf8(line).ok()?.strip_prefix("MSG ")?;
    line.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(sequence: u32) -> Tag {
        Tag { sender: 7, sequence }
    }

    /// A message as the server sends it.
    fn message(sequence: u32, bytes: usize) -> Vec<u8> {
        let mut content = format!("MSG t 1 {bytes}\r\n").into_bytes();
        content.extend_from_slice(&tag(sequence).to_bytes());
        content.resize(content.len() + bytes - 8, b'\n');
        content.extend_from_slice(NATS_END);
        content
    }

    fn framed(content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame::append_header(&mut bytes, Payload::Nats, content.len(), 0);
        bytes.extend_from_slice(content);
        bytes
    }

    fn read_all(pieces: &[&[u8]]) -> Result<Vec<Arrived>> {
        let (mut reader, mut all) = (NatsReader::default(), Vec::new());
        for piece in pieces {
            reader.read(piece, |arrived| {
                all.push(arrived);
                Ok(())
            })?;
        }
        Ok(all)
    }

    #[test]
    fn messages_are_found_wherever_they_are_cut() {
        let mut bytes = framed(&[message(1, 8), message(2, 300), b"PING\r\n".to_vec()].concat());
        let (front, rest) = (&message(3, 128)[..5], &message(3, 128)[5..]);
        bytes.extend([framed(front), framed(rest)].concat());
        let expected = [
            Arrived::Message(tag(1), 8),
            Arrived::Message(tag(2), 300),
            Arrived::NatsPing,
            Arrived::Message(tag(3), 128),
        ];
        assert_eq!(read_all(&[&bytes]).unwrap(), expected);
        for at in 1..bytes.len() {
            assert_eq!(read_all(&[&bytes[..at], &bytes[at..]]).unwrap(), expected, "cut at {at}");
        }
        assert_eq!(read_all(&bytes.chunks(1).collect::<Vec<_>>()).unwrap(), expected);
    }

    #[test]
    fn an_error_of_the_server_is_one() {
        let error = read_all(&[&framed(b"-ERR 'Slow Consumer'\r\n")]).unwrap_err();
        assert!(error.to_string().contains("Slow Consumer"), "{error}");
        assert!(read_all(&[&framed(&[b'x'; LONGEST + 1])]).is_err());
    }
}
