//! [`Deflater`], which compresses outgoing messages.

use std::fmt;

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress};

use super::header::COMPRESSED;
use super::server_frame;

/// The last bytes of a flushed stream. RFC 7692 requires senders to remove them.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// The most bytes of the buffer that are kept for the next message.
const KEPT: usize = 64 * 1024;

/// Compresses messages, each independently, so one deflater serves all connections of a thread. With the first message
/// it allocates about 370 KiB, and a buffer of which it keeps up to 64 KiB.
pub struct Deflater {
    level: u32,
    stream: Option<Compress>,
    deflated: Vec<u8>,
}

impl Deflater {
    /// Creates a deflater for this level, from 1 (fastest) to 9 (smallest). It allocates nothing yet.
    pub fn new(level: u32) -> Self {
        Self { level, stream: None, deflated: Vec::new() }
    }

    /// Compresses the frame of a message, as [`Message::frame`](dog::Message) returns it. Returns `None` if the result
    /// would not be smaller, or if `frame` is not a whole message.
    pub fn deflate(&mut self, frame: &[u8]) -> Option<Bytes> {
        let payload = server_frame::payload(frame)?;
        let packed = self.squeeze(payload).map(|deflated| server_frame::frame(frame[0] | COMPRESSED, deflated));
        if self.deflated.capacity() > KEPT {
            self.deflated = Vec::new();
        }
        packed
    }

    /// Compresses the payload. Returns `None` if the result is not smaller.
    fn squeeze(&mut self, payload: &[u8]) -> Option<&[u8]> {
        let stream = self.stream.get_or_insert_with(|| Compress::new(Compression::new(self.level), false));
        stream.reset();
        self.deflated.clear();
        // The buffer is as large as a useful result. If it is too small, the compressor stops.
        self.deflated.reserve_exact(payload.len() + TAIL.len());
        stream.compress_vec(payload, &mut self.deflated, FlushCompress::Sync).ok()?;
        let is_whole = stream.total_in() == payload.len() as u64 && self.deflated.len() < self.deflated.capacity();
        let deflated = self.deflated.strip_suffix(&TAIL).filter(|_| is_whole)?;
        (deflated.len() < payload.len()).then_some(deflated)
    }
}

impl fmt::Debug for Deflater {
    /// Leaves out the last message, which is still in the buffer.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Deflater(level {})", self.level)
    }
}

#[cfg(test)]
mod tests;
