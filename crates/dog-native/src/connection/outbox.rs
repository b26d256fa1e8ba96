//! Queues of frames to be written. All connections of a worker share one arena, so that a delivery allocates nothing
//! and an idle connection holds no memory.

use std::io::{self, IoSlice};
use std::num::NonZeroU8;

use bytes::Bytes;
use slab::Slab;

use super::stream::Stream;

/// The index that means "no node".
const NONE: u32 = u32::MAX;

/// What each queued frame counts in addition to its bytes: its node and its allocation. Without it, a socket with many
/// frames of a few bytes could use many times its limit of memory.
pub(super) const KEEPING: usize = 64;

/// If all queued frames together have at most this many bytes, they are copied into one buffer and written at once.
/// Otherwise they are written without a copy.
pub(super) const JOIN_UP_TO: usize = 64 * 1024;

/// In moments, about one second. If the kernel has refused bytes for less than this, the queue is the result of a
/// burst.
const BURST: u8 = 4;

/// The most frames in one vectored write. The kernel's limit is 1024.
const SLICES: usize = 64;

/// The frames of all outboxes, and the buffer in which small frames are joined.
#[derive(Default)]
pub(super) struct Arena {
    nodes: Slab<Node>,
    joined: Vec<u8>,
    /// The frames that `joined` contains, by address and length. If many sockets have the same frames queued, these are
    /// joined once. It is valid within one flush, while the nodes keep the frames alive; see [`Arena::begin_flush`].
    joined_frames: Vec<(usize, usize)>,
    /// The bytes written since [`Arena::take_written`] was last called.
    written: usize,
}

struct Node {
    frame: Bytes,
    next: u32,
}

/// The queued frames of one connection, as a linked list in the [`Arena`].
#[derive(Debug)]
pub(super) struct Outbox {
    head: u32,
    tail: u32,
    /// How many bytes of the first frame have been written.
    written: usize,
    /// The number of queued bytes.
    pub(super) bytes: usize,
    /// The number of queued frames.
    frames: u32,
    /// Whether the kernel's buffer was full, and the kernel has not reported since then that it takes bytes again.
    pub(super) blocked: bool,
    /// The moment since which the kernel has not taken everything: see [`moment`](super::moment).
    backed_up_at: Option<NonZeroU8>,
    /// Whether the connection is on the list of those to be written.
    pub(super) dirty: bool,
    /// How well the client keeps up, as far as that is known.
    pub(super) pace: Pace,
}

/// How well a client keeps up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pace {
    /// Little is queued for it.
    #[default]
    KeepsUp,
    /// Much is queued for it, and it has some time to read it: see [`Lagging`](super::lagging::Lagging).
    Lags,
    /// It was not fast enough in that time.
    Slow,
}

impl Outbox {
    /// Notes whether the kernel refused some of what was offered to it at `moment`.
    pub(super) fn is_refused(&mut self, refused: bool, moment: u8) {
        self.blocked = refused;
        self.backed_up_at = if refused { self.backed_up_at.or(NonZeroU8::new(moment)) } else { None };
    }

    /// Returns whether the kernel has refused some of what is queued.
    pub(super) fn is_backed_up(&self) -> bool {
        self.backed_up_at.is_some()
    }

    /// Returns whether what is queued was sent in a short time. If the kernel was never offered it, that is assumed.
    pub(super) fn is_burst(&self, moment: u8) -> bool {
        self.backed_up_at.is_none_or(|since| moment.wrapping_sub(since.get()) < BURST)
    }

    /// Returns whether something waits to be written. If nothing is queued, that is the end of a TLS connection.
    pub(super) fn waits(&self) -> bool {
        self.bytes > 0 || self.blocked
    }

    /// Returns what the queue counts against the limit.
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

/// What takes the bytes of an outbox: the kernel, or TLS in front of it.
pub(super) trait Sink {
    /// Returns how many bytes it has taken. The error `WouldBlock` says that it takes none now. Then the same bytes, at
    /// least, are offered again.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Does the same for bytes in several places.
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
}

impl Sink for Stream {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::write(self, bytes)
    }

    #[inline]
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Self::write_vectored(self, slices)
    }
}

/// The result of a flush.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    /// The queue is empty.
    All,
    /// The kernel's buffer is full.
    Blocked,
}

impl Arena {
    /// Forgets the joined frames. They may have been freed since the last flush, and their addresses may belong to
    /// other frames now.
    pub(super) fn begin_flush(&mut self) {
        self.joined_frames.clear();
    }

    /// Returns the bytes written since the last call.
    pub(super) fn take_written(&mut self) -> usize {
        std::mem::take(&mut self.written)
    }

    /// Appends a frame.
    pub(super) fn push(&mut self, outbox: &mut Outbox, frame: Bytes) {
        outbox.bytes += frame.len();
        outbox.frames += 1;
        // There are at most as many nodes as queued bytes, far below 2^32. If that number were ever reached, later
        // frames would be lost, which is better than mixing them up.
        let Ok(node) = u32::try_from(self.nodes.insert(Node { frame, next: NONE })) else { return };
        match self.nodes.get_mut(outbox.tail as usize) {
            Some(last) if outbox.head != NONE => last.next = node,
            _ => outbox.head = node,
        }
        outbox.tail = node;
    }

    /// Appends frames of which the kernel has already taken `written` bytes. The outbox must be empty, unless `written`
    /// is zero.
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

    /// Replaces each queued frame. The caller makes sure that none has been written in part.
    pub(super) fn replace(&mut self, outbox: &mut Outbox, mut other: impl FnMut(&Bytes) -> Bytes) {
        let mut node = outbox.head;
        while let Some(next) = self.nodes.get_mut(node as usize) {
            let frame = other(&next.frame);
            outbox.bytes = outbox.bytes + frame.len() - next.frame.len();
            next.frame = frame;
            node = next.next;
        }
    }

    /// Counts bytes that were written without being queued here.
    pub(super) fn note_written(&mut self, bytes: usize) {
        self.written += bytes;
    }

    /// Drops all queued frames except one that has been written in part. Without its rest, the client could not read
    /// later frames.
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

    /// Drops all queued frames.
    pub(super) fn clear(&mut self, outbox: &mut Outbox) {
        while let Some(node) = self.take(outbox.head) {
            outbox.head = node.next;
        }
        *outbox = Outbox::default();
    }

    fn take(&mut self, node: u32) -> Option<Node> {
        self.nodes.try_remove(node as usize)
    }

    /// Writes until the queue is empty or the kernel's buffer is full.
    pub(super) fn flush(&mut self, outbox: &mut Outbox, sink: &mut impl Sink) -> io::Result<Flushed> {
        while outbox.head != NONE {
            let wrote = match self.write_some(outbox, sink) {
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

    fn write_some(&mut self, outbox: &Outbox, sink: &mut impl Sink) -> io::Result<usize> {
        let Some(first) = self.nodes.get(outbox.head as usize) else { return Ok(0) };
        if first.next == NONE {
            return sink.write(&first.frame[outbox.written..]);
        }
        if outbox.bytes <= JOIN_UP_TO && outbox.written == 0 {
            self.join(outbox.head);
            return sink.write(&self.joined);
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
        sink.write_vectored(&slices[..count])
    }

    /// Joins the frames from `node` on in `joined`, unless it contains exactly these already.
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

    /// Removes the next `wrote` bytes, which were taken, from the queue.
    pub(super) fn advance(&mut self, outbox: &mut Outbox, mut wrote: usize) {
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
