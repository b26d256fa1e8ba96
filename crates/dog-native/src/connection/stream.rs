//! The transport of a connection.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

/// What carries the bytes of a connection.
#[derive(Debug)]
pub(crate) enum Stream {
    /// A TCP connection.
    Tcp(TcpStream),
    /// A TCP connection with TLS on it. This is the TCP below, whose bytes are encrypted. The [`Session`](super::tls::Session) is kept beside the
    /// record of the connection, so that it costs other connections nothing.
    Tls(TcpStream),
    /// One end of a socket pair. The bytes of a transport of another server are copied to the other end.
    Pair(UnixStream),
}

impl Stream {
    /// Wraps a socket, which must be in non-blocking mode.
    pub(crate) fn from_tcp(stream: std::net::TcpStream) -> Self {
        Self::Tcp(TcpStream::from_std(stream))
    }

    /// Wraps a socket with TLS on it, which must be in non-blocking mode.
    pub(super) fn encrypted(stream: std::net::TcpStream) -> Self {
        Self::Tls(TcpStream::from_std(stream))
    }

    /// Wraps a socket, which must be in non-blocking mode.
    pub(crate) fn from_pair(stream: std::os::unix::net::UnixStream) -> Self {
        Self::Pair(UnixStream::from_std(stream))
    }

    /// Returns whether the bytes on it are encrypted.
    #[inline]
    pub(super) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(stream) | Self::Tls(stream) => stream,
            Self::Pair(stream) => stream,
        }
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(self.source(), token, Interest::READABLE | Interest::WRITABLE)
    }

    pub(crate) fn deregister(&mut self, registry: &Registry) {
        // If this fails, the kernel removes the descriptor when it is closed.
        let _ = registry.deregister(self.source());
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) | Self::Tls(stream) => stream.read(buffer),
            Self::Pair(stream) => stream.read(buffer),
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) | Self::Tls(stream) => stream.write(bytes),
            Self::Pair(stream) => stream.write(bytes),
        }
    }

    pub(crate) fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) | Self::Tls(stream) => stream.write_vectored(slices),
            Self::Pair(stream) => stream.write_vectored(slices),
        }
    }

    /// Shuts down the write direction.
    pub(crate) fn finish(&mut self) {
        // It fails only if the other side has already closed.
        let _ = match self {
            Self::Tcp(stream) | Self::Tls(stream) => stream.shutdown(Shutdown::Write),
            Self::Pair(stream) => stream.shutdown(Shutdown::Write),
        };
    }
}
