//! How a request becomes a WebSocket, with choices: [`Accept`].

use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use crate::body::{Request, Response};
use crate::error::{Error, Kind};
use crate::port::ReplicaPort;
use crate::request::offered_subprotocols;
use crate::socket::encode_attachment;

/// A request that is about to become a WebSocket, from [`Context::accept`](crate::Context::accept). Say what the socket is to
/// have, then [`connect`](Self::connect).
#[must_use = "the socket opens when `connect` is called and its response is returned"]
pub struct Accept {
    port: Rc<dyn ReplicaPort>,
    request: Request,
    subprotocol: Option<HeaderValue>,
    attachment: Option<Bytes>,
    /// The first thing that was wrong.
    error: Option<Error>,
}

impl Accept {
    pub(crate) fn new(port: Rc<dyn ReplicaPort>, request: Request) -> Self {
        Self { port, request, subprotocol: None, attachment: None, error: None }
    }

    /// Chooses one of the subprotocols that the client [offers](crate::offered_subprotocols). Upper and lower case differ.
    /// Without a choice the response names none. A second choice replaces the first.
    pub fn subprotocol(mut self, name: &str) -> Self {
        let is_offered = offered_subprotocols(&self.request).any(|offered| offered == name);
        match HeaderValue::from_str(name) {
            Ok(name) if is_offered => self.subprotocol = Some(name),
            _ => self.note(Error::new(Kind::NotOffered, format!("the client does not offer the subprotocol {name:?}"))),
        }
        self
    }

    /// Attaches `value` to the new socket, as [`Context::connect_with`](crate::Context::connect_with).
    pub fn attachment<T: Serialize>(mut self, value: &T) -> Self {
        match encode_attachment(value) {
            Ok(attachment) => self.attachment = Some(attachment),
            Err(error) => self.note(error),
        }
        self
    }

    /// Accepts the request as a WebSocket, as [`Context::connect`](crate::Context::connect).
    ///
    /// # Errors
    /// No seat is taken in these cases:
    /// - [`Error::is_not_offered`]: the client does not offer the chosen subprotocol.
    /// - [`Error::is_too_large`]: the attachment has more than 16 KiB when serialised.
    /// - [`Error::is_encoding`]: the attachment cannot be serialised.
    pub fn connect(self) -> Result<Response, Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let mut response = self.port.connect(self.request, self.attachment);
        if let Some(name) = self.subprotocol.filter(|_| response.status() == StatusCode::SWITCHING_PROTOCOLS) {
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, name);
        }
        Ok(response)
    }

    fn note(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }
}

impl fmt::Debug for Accept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Accept").field("uri", &self.request.uri()).finish_non_exhaustive()
    }
}
