//! TLS on the connections of a worker: a [`Session`] per connection, and [`Sessions`], which finds them.
//!
//! A session encrypts what the outbox offers, at most 64 KiB at a time, and keeps what the kernel has not taken of it. The
//! frames stay in the outbox until the kernel has taken the last of these bytes. So everything that is decided by what is
//! queued is the same with TLS and without.

#[cfg(test)]
pub(crate) mod testing;

use std::io::{self, IoSlice, Read, Write};

use rustls::ServerConnection;

use super::outbox::{Arena, Flushed, Outbox, Sink};
use super::stream::Stream;

/// How many encrypted bytes are read at once. What they decrypt to, with the rest of an earlier record, fits the buffer that
/// a worker reads into (64 KiB).
const WIRE: usize = 32 * 1024;

/// The result of reading a connection once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// This many bytes were read, and whether the kernel has no more. With TLS there may be none for now.
    Bytes { length: usize, drained: bool },
    /// The client has ended its side.
    End,
}

/// TLS on one connection, after the handshake.
#[derive(Debug)]
pub(crate) struct Session {
    tls: ServerConnection,
    /// How many bytes at the front of the outbox are encrypted, of which the kernel has not taken everything.
    encrypted: usize,
    /// Whether the kernel has taken bytes since this was last asked.
    progressed: bool,
    /// Whether the client was told that nothing more comes.
    has_ended: bool,
}

/// The sessions of a worker.
#[derive(Default)]
pub(super) struct Sessions {
    /// By the place of their connections. Empty without TLS.
    all: Vec<Option<Box<Session>>>,
    /// The buffer that encrypted bytes are read into. Empty without TLS.
    wire: Vec<u8>,
}

impl Sessions {
    pub(super) fn insert(&mut self, place: usize, session: Box<Session>) {
        if self.all.len() <= place {
            self.all.resize_with(place + 1, || None);
        }
        self.all[place] = Some(session);
        self.wire.resize(WIRE, 0);
    }

    pub(super) fn remove(&mut self, place: usize) {
        if let Some(session) = self.all.get_mut(place) {
            *session = None;
        }
    }

    fn of(&mut self, place: usize) -> io::Result<&mut Session> {
        self.all.get_mut(place).and_then(Option::as_deref_mut).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Reads and decrypts.
    pub(super) fn read(&mut self, place: usize, stream: &mut Stream, buffer: &mut [u8]) -> io::Result<Received> {
        let mut wire = std::mem::take(&mut self.wire);
        let received = self.of(place).and_then(|session| session.read(stream, buffer, &mut wire));
        self.wire = wire;
        received
    }

    /// Encrypts and writes. Returns how many bytes are taken: not all of them, if the kernel's buffer is full.
    pub(super) fn write(&mut self, place: usize, stream: &mut Stream, bytes: &[u8]) -> io::Result<usize> {
        let mut sink = self.of(place)?.on(stream);
        let mut taken = 0;
        while taken < bytes.len() {
            match sink.write(&bytes[taken..]) {
                Ok(more) => taken += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }

    /// Writes a queue until it is empty or the kernel's buffer is full. If this `ends` the connection, the client is told so
    /// after the queue. Also returns whether the kernel has taken anything since the last call.
    pub(super) fn flush(
        &mut self,
        place: usize,
        (arena, outbox): (&mut Arena, &mut Outbox),
        stream: &mut Stream,
        ends: bool,
    ) -> (io::Result<Flushed>, bool) {
        let session = match self.of(place) {
            Ok(session) => session,
            Err(error) => return (Err(error), false),
        };
        let flushed = match arena.flush(outbox, &mut session.on(stream)) {
            Ok(Flushed::All) => session.settle(stream, ends),
            blocked => blocked,
        };
        (flushed, std::mem::take(&mut session.progressed))
    }

    /// Returns how many bytes at the front of the outbox are encrypted. They count as written from now on.
    pub(super) fn take_encrypted(&mut self, place: usize) -> usize {
        self.of(place).map_or(0, |session| std::mem::take(&mut session.encrypted))
    }
}

impl Session {
    pub(crate) fn new(tls: ServerConnection) -> Self {
        Self { tls, encrypted: 0, progressed: false, has_ended: false }
    }

    fn on<'a>(&'a mut self, stream: &'a mut Stream) -> Encrypting<'a> {
        Encrypting { session: self, stream }
    }

    fn read(&mut self, stream: &mut Stream, buffer: &mut [u8], wire: &mut [u8]) -> io::Result<Received> {
        // What was read together with the handshake comes first. After the client's close_notify nothing follows.
        match self.tls.reader().read(buffer) {
            Ok(0) => return Ok(Received::End),
            Ok(length) => return Ok(Received::Bytes { length, drained: false }),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let read = stream.read(wire)?;
        if read == 0 {
            // Without close_notify, anybody on the way can have cut the connection.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (length, has_closed) = self.decrypt(stream, &wire[..read], buffer)?;
        Ok(Received::Bytes { length, drained: read < wire.len() && !has_closed })
    }

    /// Returns how many bytes `wire` decrypts to, and whether the client has sent close_notify.
    fn decrypt(&mut self, stream: &mut Stream, mut wire: &[u8], buffer: &mut [u8]) -> io::Result<(usize, bool)> {
        let (mut length, mut has_closed) = (0, false);
        while !wire.is_empty() && !has_closed {
            self.tls.read_tls(&mut wire)?;
            match self.tls.process_new_packets() {
                Ok(state) => has_closed = state.peer_has_closed(),
                Err(error) => {
                    // The client is told why, if the kernel takes it now.
                    let _ = self.send(stream);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            }
            match self.tls.reader().read(&mut buffer[length..]) {
                Ok(read) => length += read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok((length, has_closed))
    }

    /// Writes what is encrypted. Returns whether the kernel has taken all of it.
    fn send(&mut self, stream: &mut Stream) -> io::Result<bool> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Raw(stream)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => self.progressed = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Writes what does not come from the outbox: the messages of TLS itself, and close_notify if this `ends` the connection.
    fn settle(&mut self, stream: &mut Stream, ends: bool) -> io::Result<Flushed> {
        if ends && !std::mem::replace(&mut self.has_ended, true) {
            self.tls.send_close_notify();
        }
        Ok(if self.send(stream)? { Flushed::All } else { Flushed::Blocked })
    }
}

/// Encrypts the bytes of an outbox for a stream.
struct Encrypting<'a> {
    session: &'a mut Session,
    stream: &'a mut Stream,
}

impl Encrypting<'_> {
    /// Takes the bytes that `encrypt` encrypts once the kernel has taken all of them.
    fn take(&mut self, encrypt: impl FnOnce(&mut rustls::Writer<'_>) -> io::Result<usize>) -> io::Result<usize> {
        if !self.session.send(self.stream)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.session.encrypted == 0 {
            // At most 64 KiB: the limit of what it keeps.
            self.session.encrypted = encrypt(&mut self.session.tls.writer())?;
            if !self.session.send(self.stream)? {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
        Ok(std::mem::take(&mut self.session.encrypted))
    }
}

impl Sink for Encrypting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take(|writer| writer.write(bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.take(|writer| writer.write_vectored(slices))
    }
}

/// The stream below TLS.
struct Raw<'a>(&'a mut Stream);

impl Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
