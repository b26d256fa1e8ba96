//! Compression of outgoing messages. A worker compresses a message once per turn, when the first socket needs it, and
//! uses the result for all sockets.

use std::rc::Rc;

use bytes::Bytes;

use crate::config::Compression;
use crate::metrics::counters::Counters;
use crate::websocket::{Deflater, payload};

/// How many messages of a turn are kept with their compressed frames. A broadcast to the cluster reaches each Replica
/// of this worker separately, and the siblings of its sender later in the turn.
const REMEMBERED: usize = 64;

/// How messages are sent to a socket. The handshake negotiates it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Uncompressed.
    #[default]
    Plain,
    /// Compressed, if that makes them smaller.
    Compressed,
    /// Compressed, except messages of more than 2^n bytes, where n is this number. The client keeps a smaller window,
    /// so a longer message could contain references that it cannot resolve.
    CompressedWindow(u8),
}

impl Lane {
    /// Returns the lane of a client with a window of this many bytes, a power of two.
    pub(crate) fn of_window(bytes: usize) -> Self {
        let bits = bytes.ilog2();
        if bits >= 15 { Self::Compressed } else { Self::CompressedWindow(u8::try_from(bits).unwrap_or_default()) }
    }

    /// Returns whether messages may be sent compressed.
    pub(crate) fn deflates(self) -> bool {
        self != Self::Plain
    }
}

/// The compressor of one worker, and what it has compressed in this turn.
#[derive(Debug)]
pub(super) struct Compressor {
    compression: Compression,
    deflater: Deflater,
    /// Pairs of a frame and its compressed form, as a ring. The frames are kept alive, so that no other frame can have
    /// the same address.
    compressed: Vec<(Bytes, Bytes)>,
    next: usize,
    counters: Rc<Counters>,
}

impl Compressor {
    pub(super) fn new(compression: Compression, counters: Rc<Counters>) -> Self {
        let deflater = Deflater::new(compression.level);
        Self { compression, deflater, compressed: Vec::new(), next: 0, counters }
    }

    /// Returns the bytes that are sent to a socket of this lane for `frame`.
    #[inline]
    pub(super) fn frame(&mut self, frame: &Bytes, lane: Lane) -> Bytes {
        match lane {
            Lane::Plain => frame.clone(),
            Lane::Compressed => self.compress(frame),
            Lane::CompressedWindow(bits) if frame.len() <= 1 << bits => self.compress(frame),
            Lane::CompressedWindow(_) => frame.clone(),
        }
    }

    fn compress(&mut self, frame: &Bytes) -> Bytes {
        if payload(frame).is_none_or(|payload| payload.len() < self.compression.least) {
            return frame.clone();
        }
        let same = |(plain, _): &&(Bytes, Bytes)| (plain.as_ptr(), plain.len()) == (frame.as_ptr(), frame.len());
        if let Some((_, compressed)) = self.compressed.iter().find(same) {
            return compressed.clone();
        }
        let compressed = self.deflater.deflate(frame).unwrap_or_else(|| frame.clone());
        self.counters.messages_compressed.one();
        self.counters.bytes_to_compress.add(frame.len());
        self.counters.bytes_compressed.add(compressed.len());
        let entry = (frame.clone(), compressed.clone());
        match self.compressed.get_mut(self.next) {
            Some(oldest) => *oldest = entry,
            None => self.compressed.push(entry),
        }
        self.next = (self.next + 1) % REMEMBERED;
        compressed
    }

    /// Forgets the compressed frames, at the end of a turn.
    pub(super) fn forget(&mut self) {
        self.compressed.clear();
        self.next = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dog::Message;

    fn compressor(least: usize) -> Compressor {
        Compressor::new(Compression::new().at_least(least), Rc::default())
    }

    #[test]
    fn the_same_message_is_compressed_once_a_turn() {
        let mut compressor = compressor(0);
        let message = Message::text("a".repeat(1_000));
        let first = compressor.frame(message.frame(), Lane::Compressed);
        assert!(first.len() < 100);
        let again = compressor.frame(message.clone().frame(), Lane::Compressed);
        assert_eq!(first.as_ptr(), again.as_ptr());
        let other = compressor.frame(Message::text("b".repeat(1_000)).frame(), Lane::Compressed);
        assert_ne!(first, other);
        // The number of remembered frames is bounded, however many are sent in a turn.
        for _ in 0..1_000 {
            compressor.frame(Message::text("c".repeat(1_000)).frame(), Lane::Compressed);
        }
        assert_eq!(compressor.compressed.len(), REMEMBERED);
        compressor.forget();
        assert_ne!(first.as_ptr(), compressor.frame(message.frame(), Lane::Compressed).as_ptr());
    }

    #[test]
    fn who_takes_what() {
        let mut compressor = compressor(100);
        let (short, fits, long) =
            (Message::text("a".repeat(99)), Message::text("a".repeat(250)), Message::text("a".repeat(300)));
        let narrow = Lane::of_window(256);
        assert_eq!(Lane::of_window(32 * 1024), Lane::Compressed);
        for (lane, is_compressed) in
            [(Lane::Plain, [false; 3]), (Lane::Compressed, [false, true, true]), (narrow, [false, true, false])]
        {
            assert_eq!(lane.deflates(), lane != Lane::Plain);
            for (message, is_compressed) in [&short, &fits, &long].into_iter().zip(is_compressed) {
                assert_eq!(
                    compressor.frame(message.frame(), lane) != message.frame(),
                    is_compressed,
                    "{lane:?} {message:?}"
                );
            }
        }
    }
}
