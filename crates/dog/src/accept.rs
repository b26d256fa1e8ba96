//! How a request becomes a socket, with choices: [`Accept`].

use std::fmt;
use std::rc::Rc;

use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use crate::body::{Request, Response};
use crate::error::{Error, Kind};
use crate::port::{Opening, ReplicaPort};
use crate::replica::Format;
use crate::request::offered_subprotocols;
use crate::socket::encode_attachment;
#[cfg(feature = "streams")]
use crate::stream_format::StreamFormat;

/// A request that is about to become a socket, from [`Context::accept`](crate::Context::accept). Say what the socket is to have,
/// then [`connect`](Self::connect).
#[must_use = "the socket opens when `connect` is called and its response is returned"]
pub struct Accept {
    port: Rc<dyn ReplicaPort>,
    request: Request,
    subprotocol: Option<HeaderValue>,
    opening: Opening,
    /// The first thing that was wrong.
    error: Option<Error>,
}

impl Accept {
    pub(crate) fn new(port: Rc<dyn ReplicaPort>, request: Request) -> Self {
        Self { port, request, subprotocol: None, opening: Opening::default(), error: None }
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
            Ok(attachment) => self.opening.attachment = Some(attachment),
            Err(error) => self.note(error),
        }
        self
    }

    /// Chooses the form in which the new socket gets publications, for its whole life. Number 0 without a choice. It has a meaning
    /// only in a Replica that [renders](crate::Replica::RENDERS) them.
    pub fn format(mut self, format: Format) -> Self {
        self.opening.format = format;
        self
    }

    /// Lets `on_open` send first: what its [`send`](crate::Socket::send) sends comes before everything that others send to the new
    /// socket, although it may wait for something, such as a page of the history. What others send meanwhile follows in its order
    /// when `on_open` has ended.
    ///
    /// ```
    /// # use dog::*;
    /// # struct Room;
    /// # impl Room {
    /// async fn receive<R: Replica>(&self, cx: &Context<R>, request: Request) -> Result<Response> {
    ///     Ok(cx.accept(request).on_open_first().connect()?)
    /// }
    ///
    /// /// The history is the first message of every socket.
    /// async fn on_open<R: Replica>(&self, cx: &Context<R>, socket: &Socket) -> Result {
    ///     let page = cx.history(ROOM, None, HistoryOrder::NewestFirst, 1).await?;
    ///     let newest = page.publications.first().map(|publication| publication.message.clone());
    ///     Ok(socket.send(newest.unwrap_or_else(|| Message::text("nothing yet")))?)
    /// }
    /// # }
    /// ```
    ///
    /// At most 1,000 messages or 256 KiB wait, and 10 s. Beyond that the socket closes with 1013, and `on_error` is called with
    /// [`is_handler`](crate::SocketError::is_handler). If the socket closes while `on_open` runs, what waits is dropped. A message
    /// that waits counts as delivered. Automatic responses and what `on_open` broadcasts wait too.
    #[cfg(feature = "log")]
    pub fn on_open_first(mut self) -> Self {
        self.opening.on_open_first = true;
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
        let mut response = self.port.connect(self.request, self.opening);
        if let Some(name) = self.subprotocol.filter(|_| response.status() == StatusCode::SWITCHING_PROTOCOLS) {
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, name);
        }
        Ok(response)
    }

    /// Answers the request with an event stream, as [`Context::event_stream`](crate::Context::event_stream). No subprotocol can be
    /// chosen for it.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    #[cfg(feature = "streams")]
    pub fn event_stream(self) -> Result<Response, Error> {
        self.stream(StreamFormat::Events)
    }

    /// Answers the request with a stream of lines, as [`Context::line_stream`](crate::Context::line_stream).
    ///
    /// # Errors
    /// As [`event_stream`](Self::event_stream).
    #[cfg(feature = "streams")]
    pub fn line_stream(self) -> Result<Response, Error> {
        self.stream(StreamFormat::Lines)
    }

    /// Answers the request with a stream of lines that is silent while nothing is sent, for clients to which an empty line is an error.
    /// Send something each minute at least: proxies end connections that are silent.
    ///
    /// # Errors
    /// As [`event_stream`](Self::event_stream).
    #[cfg(feature = "streams")]
    pub fn quiet_line_stream(self) -> Result<Response, Error> {
        self.stream(StreamFormat::QuietLines)
    }

    /// Answers the request with a stream of bytes, as [`Context::byte_stream`](crate::Context::byte_stream).
    ///
    /// # Errors
    /// As [`event_stream`](Self::event_stream).
    #[cfg(feature = "streams")]
    pub fn byte_stream(self) -> Result<Response, Error> {
        self.stream(StreamFormat::Bytes)
    }

    #[cfg(feature = "streams")]
    fn stream(self, format: StreamFormat) -> Result<Response, Error> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(self.port.stream(self.request, format, self.opening)),
        }
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
