//! A client's side of a connection, with TLS or without: [`Connection`].

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use dog_test_support::tls::NAME;
use rustls::{ClientConfig, ClientConnection};

/// A connection.
#[derive(Debug)]
pub struct Connection {
    tcp: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

impl Connection {
    /// Does the handshake of TLS, if there are settings for it.
    ///
    /// # Errors
    /// When it fails.
    pub fn open(mut tcp: TcpStream, settings: Option<&Arc<ClientConfig>>) -> Result<Self> {
        let Some(settings) = settings else { return Ok(Self { tcp, tls: None }) };
        let mut tls = ClientConnection::new(Arc::clone(settings), NAME.try_into()?)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp).context("the handshake of TLS")?;
        }
        Ok(Self { tcp, tls: Some(Box::new(tls)) })
    }

    /// Returns the connection below.
    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Returns the connection below, if nothing is encrypted.
    ///
    /// # Errors
    /// With TLS.
    pub fn plain(&self) -> Result<&TcpStream> {
        ensure!(!self.is_encrypted(), "the load generator speaks this protocol without TLS only");
        Ok(&self.tcp)
    }

    /// Returns whether it has TLS.
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Returns whether the session of an earlier connection was resumed.
    pub fn is_resumed(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed))
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tcp.as_fd()
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.tcp.read(buffer) };
        loop {
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            if tls.read_tls(&mut self.tcp)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            tls.process_new_packets().map_err(io::Error::other)?;
        }
    }
}

impl Write for Connection {
    /// Bytes that it has taken may wait until [`flush`](Write::flush) is called again.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let Some(tls) = &mut self.tls else { return self.tcp.write(bytes) };
        let taken = tls.writer().write(bytes)?;
        match self.flush() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        while tls.wants_write() {
            tls.write_tls(&mut self.tcp)?;
        }
        Ok(())
    }
}
