//! Event streams: sockets that only send, because they are the body of a response (feature `streams`). Here are the methods of
//! [`Context`] that open them.

mod deliver;

use serde::Serialize;

use crate::body::{Request, Response};
use crate::context::Context;
use crate::error::Error;
use crate::port::Opening;
use crate::replica::Replica;
use crate::socket::encode_attachment;
use crate::stream_format::StreamFormat;

impl<R: Replica> Context<R> {
    /// Answers the request with a stream of server-sent events (`text/event-stream`), which is a [`Socket`](crate::Socket) that
    /// only sends. Return the response as it is, or with further headers. Use it for clients that cannot open a WebSocket, and
    /// for those that only listen.
    ///
    /// The stream is a socket in every respect but one: its client cannot send on it. It holds a seat, is listed by
    /// [`sockets`](Self::sockets), hears every verb, has an attachment, and has the same limit for the bytes that wait for its
    /// client. `on_open` is called when this response is returned, and `on_close` or `on_error` at its end.
    /// A request whose method is not GET is answered with 405 and takes no seat.
    ///
    /// What a client reads:
    ///
    /// | sent | on the wire | in a browser |
    /// |---|---|---|
    /// | a text | one `data:` line per line of the text; CR LF and CR also end a line | `onmessage`; lines are joined with LF |
    /// | a binary message | `event: binary`, and the bytes in base64 | a listener for `binary`; decode it with `atob` |
    /// | [`Socket::close`](crate::Socket::close), 1011, 1012, 1013 | `event: close`, and `{"code":4000,"reason":"…"}`; then the body ends | a listener for `close` |
    /// | nothing for 10 to 20 s | a comment, so that proxies keep the connection | nothing |
    ///
    /// **A browser's `EventSource` connects again when its stream ends**, 3 s later by default. To end it for good, the page calls
    /// `close()` on it in a listener for `close`, or the App answers the next request with 204.
    ///
    /// ```js
    /// const events = new EventSource("/events?u=ann");
    /// events.onmessage = ({ data }) => show(data);
    /// events.addEventListener("close", ({ data }) => {
    ///   if (JSON.parse(data).code >= 4000) events.close(); // otherwise it connects again
    /// });
    /// ```
    ///
    /// The response has `cache-control: no-cache` and `x-accel-buffering: no`. Many browsers open at most six connections of
    /// HTTP/1.1 to one origin, over all tabs; put a proxy that speaks HTTP/2 in front if that matters.
    ///
    /// **When the server shuts down**, `on_close` is called with 1012 and the client gets the event `close` with that code. In a
    /// cluster, a client that has reached another node than the one that shuts down notices only the end of its stream.
    ///
    /// **What the client says** goes to the App in requests of its own: see [`GroupHandle::deliver`](crate::GroupHandle::deliver).
    ///
    /// ```
    /// # use dog::{Context, Replica, Request, Response, Result};
    /// # async fn receive<R: Replica>(cx: &Context<R>, request: Request) -> Result<Response> {
    /// match request.uri().path() {
    ///     "/events" => Ok(cx.event_stream(request)),
    ///     _ => Ok(cx.connect(request)),
    /// }
    /// # }
    /// ```
    #[must_use = "the stream opens when this response is returned"]
    pub fn event_stream(&self, request: Request) -> Response {
        self.port().stream(request, StreamFormat::Events, Opening::default())
    }

    /// Opens an event stream, like [`event_stream`](Self::event_stream), and attaches `attachment` to the new socket. See
    /// [`connect_with`](Self::connect_with).
    ///
    /// # Errors
    /// No seat is taken in these cases:
    /// - [`Error::is_too_large`]: the attachment has more than 16 KiB when serialised.
    /// - [`Error::is_encoding`]: the attachment cannot be serialised.
    pub fn event_stream_with<T: Serialize>(&self, request: Request, attachment: &T) -> Result<Response, Error> {
        let attachment = encode_attachment(attachment)?;
        Ok(self.port().stream(request, StreamFormat::Events, Opening::with(attachment)))
    }

    /// Answers the request with a stream that has one message per line (`application/x-ndjson`), for clients that are programs.
    /// In everything else it is the same as [`event_stream`](Self::event_stream), except that POST opens it too, for clients that say
    /// something in the body. Read the body first, and put the request together again without it.
    ///
    /// Line breaks within a text are written as spaces, which does not change the meaning of JSON. A binary message is written
    /// in base64. Silence is broken by an empty line. The end has no line of its own: a client cannot read the close code.
    #[must_use = "the stream opens when this response is returned"]
    pub fn line_stream(&self, request: Request) -> Response {
        self.port().stream(request, StreamFormat::Lines, Opening::default())
    }

    /// Opens a stream of lines, like [`line_stream`](Self::line_stream), and attaches `attachment` to the new socket. See
    /// [`connect_with`](Self::connect_with).
    ///
    /// # Errors
    /// As [`event_stream_with`](Self::event_stream_with).
    pub fn line_stream_with<T: Serialize>(&self, request: Request, attachment: &T) -> Result<Response, Error> {
        let attachment = encode_attachment(attachment)?;
        Ok(self.port().stream(request, StreamFormat::Lines, Opening::with(attachment)))
    }

    /// Answers the request with a stream of what is sent, as it is (`application/octet-stream`): texts in UTF-8, binary messages, and
    /// nothing between them, for protocols that say themselves where a message ends. Like a
    /// [`line_stream`](Self::line_stream), GET and POST open it, and the end has no mark of its own.
    ///
    /// Silence is **not** broken. Send something each minute at least: proxies end connections that are silent, and on some hosts only a
    /// write shows that a client has left.
    ///
    /// ```
    /// # use dog::{Context, Replica, Request, Response, Result};
    /// # async fn receive<R: Replica>(cx: &Context<R>, request: Request) -> Result<Response> {
    /// let (head, body) = request.into_parts();
    /// let greeting = body.bytes(1024).await?;
    /// let request = Request::from_parts(head, dog::Body::empty());
    /// Ok(cx.accept(request).attachment(&greeting.to_vec()).byte_stream()?)
    /// # }
    /// ```
    #[must_use = "the stream opens when this response is returned"]
    pub fn byte_stream(&self, request: Request) -> Response {
        self.port().stream(request, StreamFormat::Bytes, Opening::default())
    }
}
