//! A connection on its way to the worker that keeps it: [`Transport`].

use super::stream::Stream;
use super::tls::Session;

/// A stream on its way to its connection.
#[derive(Debug)]
pub(crate) struct Transport {
    pub(super) stream: Stream,
    pub(super) session: Option<Box<Session>>,
}

impl Transport {
    /// Wraps a socket, which must be in non-blocking mode, and the TLS on it.
    pub(crate) fn encrypted(stream: std::net::TcpStream, session: Session) -> Self {
        Self { stream: Stream::encrypted(stream), session: Some(Box::new(session)) }
    }
}

impl From<Stream> for Transport {
    fn from(stream: Stream) -> Self {
        Self { stream, session: None }
    }
}
