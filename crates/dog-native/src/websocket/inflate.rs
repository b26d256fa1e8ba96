//! [`Inflater`], which decompresses the messages of clients.

use std::fmt;

use dog::{Message, MessageKind};
use flate2::{Decompress, FlushDecompress, Status};

use super::error::ProtocolError;

/// The bytes that RFC 7692 makes senders remove from each message, followed by an empty last block. A message is
/// complete only if the decompressor reaches its end exactly after these bytes.
const TAIL: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff];

/// A buffer starts with this many bytes, and never exceeds the limit by more than this.
const CHUNK: usize = 16 * 1024;

/// The most bytes of the buffer that are kept for the next message.
const KEPT: usize = 64 * 1024;

/// The most DEFLATE streams that may end within one message. RFC 7692 allows them for senders that cannot flush. Each
/// has as few as two bytes and costs the receiver more than that.
const ENDS: usize = 1000;

/// Decompresses messages, each independently, so one inflater serves all connections of a thread. With the first
/// message it allocates about 50 KiB, and a buffer of which it keeps up to 64 KiB.
#[derive(Default)]
pub struct Inflater {
    stream: Option<Decompress>,
    inflated: Vec<u8>,
}

impl Inflater {
    /// Creates an inflater. It allocates nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decompresses the message whose compressed payload is `payload`.
    ///
    /// # Errors
    /// If the payload cannot be decompressed, if a text is not UTF-8, or if the message has more than `limit` bytes.
    /// Decompression stops as soon as the limit is exceeded.
    pub(super) fn inflate(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        limit: usize,
    ) -> Result<Message, ProtocolError> {
        self.inflated.clear();
        let message = self.fill(payload, limit).and_then(|()| message(kind, &self.inflated));
        if self.inflated.capacity() > KEPT {
            self.inflated = Vec::new();
        }
        message
    }

    fn fill(&mut self, payload: &[u8], limit: usize) -> Result<(), ProtocolError> {
        if payload.is_empty() {
            // RFC 7692 gives an empty message at least one byte. Some senders remove that too, and no other message has
            // no bytes.
            return Ok(());
        }
        let stream = self.stream.get_or_insert_with(|| Decompress::new(false));
        stream.reset(false);
        let (mut has_ended, mut ends) = (false, 0);
        for mut piece in [payload, &TAIL] {
            // If the buffer is full, the decompressor may still hold output.
            while !piece.is_empty() || (!has_ended && self.inflated.len() == self.inflated.capacity()) {
                if has_ended {
                    // There is more input: another stream begins.
                    stream.reset(false);
                    ends += 1;
                }
                make_room(&mut self.inflated, limit)?;
                let before = (stream.total_in(), self.inflated.len());
                let outcome = stream.decompress_vec(piece, &mut self.inflated, FlushDecompress::Sync);
                has_ended = outcome.map_err(|_| ProtocolError::Corrupt)? == Status::StreamEnd;
                let used = usize::try_from(stream.total_in() - before.0).unwrap_or(usize::MAX);
                if ends > ENDS || (used == 0 && self.inflated.len() == before.1 && !piece.is_empty()) {
                    return Err(ProtocolError::Corrupt);
                }
                piece = piece.get(used..).unwrap_or_default();
            }
        }
        match self.inflated.len() {
            length if length > limit => Err(too_long(limit)),
            _ if !has_ended => Err(ProtocolError::Corrupt),
            _ => Ok(()),
        }
    }
}

/// Makes room for at least one byte. The buffer doubles, up to `CHUNK` bytes beyond the limit.
fn make_room(inflated: &mut Vec<u8>, limit: usize) -> Result<(), ProtocolError> {
    let length = inflated.len();
    if length > limit {
        return Err(too_long(limit));
    }
    if length == inflated.capacity() {
        let most = limit.saturating_add(CHUNK);
        inflated.reserve_exact(length.max(CHUNK).min(most - length));
    }
    Ok(())
}

fn too_long(limit: usize) -> ProtocolError {
    ProtocolError::TooLong { length: limit as u64 + 1, limit }
}

fn message(kind: MessageKind, payload: &[u8]) -> Result<Message, ProtocolError> {
    match kind {
        MessageKind::Binary => Ok(Message::binary(payload)),
        MessageKind::Text => match std::str::from_utf8(payload) {
            Ok(text) => Ok(Message::text(text)),
            Err(_) => Err(ProtocolError::InvalidText),
        },
    }
}

impl fmt::Debug for Inflater {
    /// Leaves out the last message, which is still in the buffer.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Inflater")
    }
}

#[cfg(test)]
mod tests;
