//! Messages that go out compressed: [`Deflater`].

use std::fmt;

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress};

use super::header::COMPRESSED;

/// How a flushed stream ends, and what RFC 7692 has senders cut off.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// How much of the buffer is kept for the next message.
const KEPT: usize = 64 * 1024;

/// The longest header a server sends.
const LONGEST_HEADER: usize = 10;

/// Compresses messages, each by itself: one serves all connections of a thread. It takes memory, some 370 KiB and up to
/// 64 KiB of buffer, with the first message.
pub struct Deflater {
    level: u32,
    stream: Option<Compress>,
    deflated: Vec<u8>,
}

impl Deflater {
    /// One that compresses at this level, 1 (fastest) to 9 (smallest), and has no memory yet.
    pub fn new(level: u32) -> Self {
        Self { level, stream: None, deflated: Vec::new() }
    }

    /// The frame of a message, as [`Message::frame`](dog::Message) has it, compressed. `None` when it would be no smaller,
    /// or is no frame of a whole message.
    pub fn deflate(&mut self, frame: &[u8]) -> Option<Bytes> {
        let payload = payload(frame)?;
        let packed = self.squeeze(payload).map(|deflated| lay_out(frame[0] | COMPRESSED, deflated));
        if self.deflated.capacity() > KEPT {
            self.deflated = Vec::new();
        }
        packed
    }

    /// The payload compressed, if it is smaller then.
    fn squeeze(&mut self, payload: &[u8]) -> Option<&[u8]> {
        let stream = self.stream.get_or_insert_with(|| Compress::new(Compression::new(self.level), false));
        stream.reset();
        self.deflated.clear();
        // Room for what is worth it, and no more: where that is not enough, the compressor stops.
        self.deflated.reserve_exact(payload.len() + TAIL.len());
        stream.compress_vec(payload, &mut self.deflated, FlushCompress::Sync).ok()?;
        let is_whole = stream.total_in() == payload.len() as u64 && self.deflated.len() < self.deflated.capacity();
        let deflated = self.deflated.strip_suffix(&TAIL).filter(|_| is_whole)?;
        (deflated.len() < payload.len()).then_some(deflated)
    }
}

/// The frame that begins with the byte `first`.
fn lay_out(first: u8, payload: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(LONGEST_HEADER + payload.len());
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

/// The payload of a server's frame, if that is a whole message.
pub(crate) fn payload(frame: &[u8]) -> Option<&[u8]> {
    let &[0x81 | 0x82, length, ..] = frame else { return None };
    frame.get(
        match length {
            126 => 4,
            127 => LONGEST_HEADER,
            _ => 2,
        }..,
    )
}

impl fmt::Debug for Deflater {
    /// Not the last message.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Deflater(level {})", self.level)
    }
}

#[cfg(test)]
mod tests;
