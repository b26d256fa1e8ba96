//! What a connection's bytes go over.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

/// TCP; or one end of a socket pair, whose other end somebody else's transport is copied to (TLS, for one).
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Pair(UnixStream),
}

impl Stream {
    /// `stream` must not block.
    pub(crate) fn from_tcp(stream: std::net::TcpStream) -> Self {
        Self::Tcp(TcpStream::from_std(stream))
    }

    /// `stream` must not block.
    pub(crate) fn from_pair(stream: std::os::unix::net::UnixStream) -> Self {
        Self::Pair(UnixStream::from_std(stream))
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(stream) => stream,
            Self::Pair(stream) => stream,
        }
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(self.source(), token, Interest::READABLE | Interest::WRITABLE)
    }

    pub(crate) fn deregister(&mut self, registry: &Registry) {
        // The kernel forgets a closed descriptor anyway.
        let _ = registry.deregister(self.source());
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Pair(stream) => stream.read(buffer),
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Pair(stream) => stream.write(bytes),
        }
    }

    pub(crate) fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write_vectored(slices),
            Self::Pair(stream) => stream.write_vectored(slices),
        }
    }

    /// Nothing more will be written.
    pub(crate) fn finish(&mut self) {
        // It fails only when the other side has gone already.
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Pair(stream) => stream.shutdown(Shutdown::Write),
        };
    }
}
