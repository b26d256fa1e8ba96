//! What waits to be written. All connections of a worker share one arena, so that a delivery allocates nothing and a
//! connection at rest holds nothing.

use std::io::{self, IoSlice};
use std::num::NonZeroU8;

use bytes::Bytes;
use slab::Slab;

use super::stream::Stream;

/// Where no node is.
const NONE: u32 = u32::MAX;

/// What a frame that waits counts for besides its bytes: its node, and what its allocation takes. Without it a socket that
/// is owed frames of a few bytes could keep many times its bound.
pub(super) const KEEPING: usize = 64;

/// Frames up to this many bytes in all are copied together and written at once; more are written from where they are.
pub(super) const JOIN_UP_TO: usize = 64 * 1024;

/// In moments: what waits was sent in a short while if the kernel has refused some of it for less than a second.
const BURST: u8 = 4;

/// The most frames in one vectored write; the kernel takes 1024.
const SLICES: usize = 64;

/// The frames of all outboxes, and the buffer in which small ones are joined.
#[derive(Default)]
pub(super) struct Arena {
    nodes: Slab<Node>,
    joined: Vec<u8>,
    /// The frames that `joined` holds, by address and length: where many sockets are owed the same frames, they are
    /// joined once. Valid within one flush, while the nodes keep the frames alive; see [`Arena::begin_flush`].
    joined_frames: Vec<(usize, usize)>,
    /// Bytes that the kernel has taken since somebody asked.
    written: usize,
}

struct Node {
    frame: Bytes,
    next: u32,
}

/// One connection's frames, first to last, as a list in the [`Arena`].
#[derive(Debug)]
pub(super) struct Outbox {
    head: u32,
    tail: u32,
    /// How much of the first frame has been written.
    written: usize,
    /// Bytes that wait.
    pub(super) bytes: usize,
    /// Frames that they are in.
    frames: u32,
    /// Whether the kernel has refused to take more, and has not said since that it takes something.
    pub(super) blocked: bool,
    /// The moment since which some of what waits was refused by the kernel: see [`moment`](super::moment).
    backed_up_at: Option<NonZeroU8>,
    /// Whether it is on the list of those to be written.
    pub(super) dirty: bool,
    /// How the client reads, as far as that is known.
    pub(super) pace: Pace,
}

/// How a client reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pace {
    /// Little waits for it.
    #[default]
    KeepsUp,
    /// Much waits, and it has some time to take it: see [`Lagging`](super::lagging::Lagging).
    Lags,
    /// It had that time.
    Slow,
}

impl Outbox {
    /// Whether the kernel has refused some of what was offered to it at `moment`.
    pub(super) fn is_refused(&mut self, refused: bool, moment: u8) {
        self.blocked = refused;
        self.backed_up_at = if refused { self.backed_up_at.or(NonZeroU8::new(moment)) } else { None };
    }

    /// Whether the kernel has refused some of what waits before.
    pub(super) fn is_backed_up(&self) -> bool {
        self.backed_up_at.is_some()
    }

    /// Whether what waits was sent in a short while. What the kernel was never offered says nothing.
    pub(super) fn is_burst(&self, moment: u8) -> bool {
        self.backed_up_at.is_none_or(|since| moment.wrapping_sub(since.get()) < BURST)
    }

    /// What it counts for against its bound.
    pub(super) fn weight(&self) -> usize {
        self.bytes + self.frames as usize * KEEPING
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            head: NONE,
            tail: NONE,
            written: 0,
            bytes: 0,
            frames: 0,
            blocked: false,
            backed_up_at: None,
            dirty: false,
            pace: Pace::KeepsUp,
        }
    }
}

/// How a flush ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    /// Nothing waits any more.
    All,
    /// The kernel takes no more for now.
    Blocked,
}

impl Arena {
    /// What was joined in an earlier flush may have been freed since, and its address used again.
    pub(super) fn begin_flush(&mut self) {
        self.joined_frames.clear();
    }

    /// Bytes written since it was asked last.
    pub(super) fn take_written(&mut self) -> usize {
        std::mem::take(&mut self.written)
    }

    /// Appends a frame.
    pub(super) fn push(&mut self, outbox: &mut Outbox, frame: Bytes) {
        outbox.bytes += frame.len();
        outbox.frames += 1;
        // At most as many nodes as bytes may wait, far below what 32 bits count; should it ever be reached, the
        // frames after it are lost rather than mixed up.
        let Ok(node) = u32::try_from(self.nodes.insert(Node { frame, next: NONE })) else { return };
        match self.nodes.get_mut(outbox.tail as usize) {
            Some(last) if outbox.head != NONE => last.next = node,
            _ => outbox.head = node,
        }
        outbox.tail = node;
    }

    /// Appends frames of which the kernel has `written` bytes already. Nothing else may wait there, unless that is none.
    pub(super) fn push_rest(&mut self, outbox: &mut Outbox, frames: &[Bytes], mut written: usize) {
        self.written += written;
        for frame in frames {
            if written >= frame.len() {
                written -= frame.len();
                continue;
            }
            self.push(outbox, frame.clone());
            if written > 0 {
                outbox.written = written;
                outbox.bytes -= written;
                written = 0;
            }
        }
    }

    /// Puts other frames in the place of those that wait, none of which has been begun.
    pub(super) fn replace(&mut self, outbox: &mut Outbox, mut other: impl FnMut(&Bytes) -> Bytes) {
        let mut node = outbox.head;
        while let Some(next) = self.nodes.get_mut(node as usize) {
            let frame = other(&next.frame);
            outbox.bytes = outbox.bytes + frame.len() - next.frame.len();
            next.frame = frame;
            node = next.next;
        }
    }

    /// Bytes that went out without waiting here.
    pub(super) fn note_written(&mut self, bytes: usize) {
        self.written += bytes;
    }

    /// Drops all that waits, but what has been begun: half a frame would spoil those after it.
    pub(super) fn clear_unbegun(&mut self, outbox: &mut Outbox) {
        if outbox.written == 0 {
            self.clear(outbox);
            return;
        }
        let Some(first) = self.nodes.get_mut(outbox.head as usize) else { return };
        let mut rest = std::mem::replace(&mut first.next, NONE);
        outbox.bytes = first.frame.len() - outbox.written;
        outbox.frames = 1;
        outbox.tail = outbox.head;
        while let Some(node) = self.take(rest) {
            rest = node.next;
        }
    }

    /// Drops all that waits.
    pub(super) fn clear(&mut self, outbox: &mut Outbox) {
        while let Some(node) = self.take(outbox.head) {
            outbox.head = node.next;
        }
        *outbox = Outbox::default();
    }

    fn take(&mut self, node: u32) -> Option<Node> {
        self.nodes.try_remove(node as usize)
    }

    /// Writes until nothing waits or the kernel takes no more.
    pub(super) fn flush(&mut self, outbox: &mut Outbox, stream: &mut Stream) -> io::Result<Flushed> {
        while outbox.head != NONE {
            let wrote = match self.write_some(outbox, stream) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(wrote) => wrote,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Flushed::Blocked),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.advance(outbox, wrote);
        }
        Ok(Flushed::All)
    }

    fn write_some(&mut self, outbox: &Outbox, stream: &mut Stream) -> io::Result<usize> {
        let Some(first) = self.nodes.get(outbox.head as usize) else { return Ok(0) };
        if first.next == NONE {
            return stream.write(&first.frame[outbox.written..]);
        }
        if outbox.bytes <= JOIN_UP_TO && outbox.written == 0 {
            self.join(outbox.head);
            return stream.write(&self.joined);
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        let mut node = outbox.head;
        while let Some(next) = self.nodes.get(node as usize).filter(|_| count < SLICES) {
            let skip = if count == 0 { outbox.written } else { 0 };
            slices[count] = IoSlice::new(&next.frame[skip..]);
            count += 1;
            node = next.next;
        }
        stream.write_vectored(&slices[..count])
    }

    /// Puts the frames from `node` on into `joined`, unless just these are there already.
    fn join(&mut self, node: u32) {
        if self.is_joined(node) {
            return;
        }
        self.joined.clear();
        self.joined_frames.clear();
        let mut next = node;
        while let Some(node) = self.nodes.get(next as usize) {
            self.joined.extend_from_slice(&node.frame);
            self.joined_frames.push((node.frame.as_ptr() as usize, node.frame.len()));
            next = node.next;
        }
    }

    fn is_joined(&self, mut node: u32) -> bool {
        for joined in &self.joined_frames {
            let Some(next) = self.nodes.get(node as usize) else { return false };
            if (next.frame.as_ptr() as usize, next.frame.len()) != *joined {
                return false;
            }
            node = next.next;
        }
        node == NONE && !self.joined_frames.is_empty()
    }

    /// `wrote` more bytes are with the kernel.
    fn advance(&mut self, outbox: &mut Outbox, mut wrote: usize) {
        outbox.bytes -= wrote;
        self.written += wrote;
        while let Some(first) = self.nodes.get(outbox.head as usize) {
            let left = first.frame.len() - outbox.written;
            if wrote < left {
                outbox.written += wrote;
                return;
            }
            wrote -= left;
            let next = first.next;
            self.nodes.remove(outbox.head as usize);
            outbox.frames -= 1;
            outbox.head = next;
            outbox.written = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn pair() -> (Stream, std::os::unix::net::UnixStream) {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (Stream::from_pair(ours), theirs)
    }

    #[test]
    fn frames_arrive_in_order_whatever_their_sizes() {
        let mut arena = Arena::default();
        let (mut stream, mut other) = pair();
        for sizes in [vec![3], vec![3, 5], vec![100_000, 1, 2], vec![1; 200], vec![70_000; 5]] {
            let total: usize = sizes.iter().sum();
            let reader = std::thread::spawn(move || {
                let mut bytes = vec![0; total];
                other.read_exact(&mut bytes).unwrap();
                (bytes, other)
            });
            let mut outbox = Outbox::default();
            let mut sent = Vec::new();
            for (at, size) in sizes.iter().enumerate() {
                let frame = vec![u8::try_from(at % 251).unwrap(); *size];
                sent.extend_from_slice(&frame);
                arena.push(&mut outbox, frame.into());
            }
            assert_eq!((outbox.bytes, outbox.weight()), (total, total + sizes.len() * KEEPING));
            arena.begin_flush();
            while arena.flush(&mut outbox, &mut stream).unwrap() == Flushed::Blocked {
                std::thread::yield_now();
            }
            let (received, reused) = reader.join().unwrap();
            assert!(received == sent, "sizes {sizes:?}");
            assert_eq!((outbox.weight(), arena.nodes.len()), (0, 0));
            other = reused;
        }
    }

    #[test]
    fn the_same_frames_are_joined_once_and_others_anew() {
        let mut arena = Arena::default();
        let shared: Vec<Bytes> = vec![Bytes::from(vec![1; 8]), Bytes::from(vec![2; 8])];
        let other = Bytes::from(vec![3; 8]);
        for (frames, expected) in [
            (vec![&shared[0], &shared[1]], [1, 2]),
            (vec![&shared[0], &shared[1]], [1, 2]),
            (vec![&shared[0], &other], [1, 3]),
        ] {
            let (mut stream, mut peer) = pair();
            let mut outbox = Outbox::default();
            frames.into_iter().for_each(|frame| arena.push(&mut outbox, frame.clone()));
            assert_eq!(arena.flush(&mut outbox, &mut stream).unwrap(), Flushed::All);
            let mut bytes = [0; 16];
            peer.read_exact(&mut bytes).unwrap();
            assert_eq!([bytes[0], bytes[8]], expected);
        }
    }

    #[test]
    fn clearing_keeps_only_what_was_begun() {
        let mut arena = Arena::default();
        let mut outbox = Outbox::default();
        for _ in 0..3 {
            arena.push(&mut outbox, Bytes::from_static(b"12345"));
        }
        arena.advance(&mut outbox, 2);
        arena.clear_unbegun(&mut outbox);
        assert_eq!((outbox.bytes, outbox.weight(), arena.nodes.len()), (3, 3 + KEEPING, 1));
        arena.push(&mut outbox, Bytes::from_static(b"x"));
        arena.advance(&mut outbox, 4);
        assert_eq!((outbox.weight(), arena.nodes.len(), outbox.head), (0, 0, NONE));
    }
}
