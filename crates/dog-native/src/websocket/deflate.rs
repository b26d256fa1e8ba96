//! Messages that go out compressed: [`Deflater`].

use std::fmt;

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress};

use super::header::COMPRESSED;
use super::server_frame;

/// How a flushed stream ends, and what RFC 7692 has senders cut off.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// How much of the buffer is kept for the next message.
const KEPT: usize = 64 * 1024;

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
        let payload = server_frame::payload(frame)?;
        let packed = self.squeeze(payload).map(|deflated| server_frame::frame(frame[0] | COMPRESSED, deflated));
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

impl fmt::Debug for Deflater {
    /// Not the last message.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Deflater(level {})", self.level)
    }
}

#[cfg(test)]
mod tests;
