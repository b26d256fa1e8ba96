//! What a client sent compressed, back into what it says: [`Inflater`].

use std::fmt;

use dog::{Message, MessageKind};
use flate2::{Decompress, FlushDecompress, Status};

use super::error::ProtocolError;

/// What RFC 7692 has senders cut off each message, then a last, empty block: whether the decompressor comes to its end
/// just here tells a message that is whole from one whose last block is not.
const TAIL: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff];

/// A buffer begins with this many bytes, and never has more than this many beyond the limit.
const CHUNK: usize = 16 * 1024;

/// How much of the buffer is kept for the next message.
const KEPT: usize = 64 * 1024;

/// A message may be put together of so many streams that say of themselves that they have ended, as RFC 7692 lets a sender
/// do it that cannot flush. Each costs more than the two bytes that it may have.
const ENDS: usize = 1000;

/// Inflates messages, each by itself: one serves all connections of a thread. It takes memory, some 50 KiB and up to
/// 64 KiB of buffer, with the first message.
#[derive(Default)]
pub struct Inflater {
    stream: Option<Decompress>,
    inflated: Vec<u8>,
}

impl Inflater {
    /// One that has no memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The message whose payload came as `payload`.
    ///
    /// # Errors
    /// When it cannot be inflated, is no UTF-8 though it is a text, or has more than `limit` bytes. That is found out when
    /// so many have been inflated, whatever would come after them.
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
            // An empty message has a byte at least. Some senders cut it off too, and it can mean nothing else.
            return Ok(());
        }
        let stream = self.stream.get_or_insert_with(|| Decompress::new(false));
        stream.reset(false);
        let (mut has_ended, mut ends) = (false, 0);
        for mut piece in [payload, &TAIL] {
            // A buffer that is full may not hold all that the piece has given.
            while !piece.is_empty() || (!has_ended && self.inflated.len() == self.inflated.capacity()) {
                if has_ended {
                    // There is more: another stream begins.
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

/// Makes room for a byte at least; the more there is, the more, up to a chunk beyond the limit.
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
    /// Not the last message.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Inflater")
    }
}

#[cfg(test)]
mod tests;
