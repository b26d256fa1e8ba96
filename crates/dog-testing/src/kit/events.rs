//! A client's end of an event stream: [`EventClient`].

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use dog::{Body, Close, CloseCode, Message, Response};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::received;
use crate::world::World;

/// A client's end of an event stream, from [`Cluster::open_events`](crate::Cluster::open_events). It keeps the messages that it
/// has received.
///
/// Messages arrive when the [`Cluster`](crate::Cluster) runs, without the [delay](crate::Builder::network_delay) that messages
/// of WebSockets have. A client of server-sent events does not connect again by itself, as a browser would.
pub struct EventClient {
    headers: HeaderMap,
    stream: Rc<Stream>,
}

/// What the task that reads and the test share.
struct Stream {
    format: Format,
    /// `None` once it has ended.
    body: RefCell<Option<Body>>,
    /// What was read and is not a whole event yet.
    unread: RefCell<Vec<u8>>,
    received: RefCell<Vec<Message>>,
    closed: RefCell<Option<Close>>,
    is_stopped: Cell<bool>,
    /// Wakes the task that reads.
    waker: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Events,
    Lines,
}

impl EventClient {
    /// Reads the body of `response` from now on, if it is a stream of events or lines.
    ///
    /// # Errors
    /// The response, if it is no such stream.
    #[doc(hidden)]
    pub fn read(world: &Rc<World>, response: Response) -> Result<Self, Box<Response>> {
        let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let format = match kind {
            kind if kind.starts_with("text/event-stream") => Format::Events,
            kind if kind.starts_with("application/x-ndjson") => Format::Lines,
            _ => return Err(Box::new(response)),
        };
        if response.status() != StatusCode::OK {
            return Err(Box::new(response));
        }
        let (head, body) = response.into_parts();
        let stream = Rc::new(Stream {
            format,
            body: RefCell::new(Some(body)),
            unread: RefCell::default(),
            received: RefCell::default(),
            closed: RefCell::default(),
            is_stopped: Cell::default(),
            waker: RefCell::default(),
        });
        let reading = Rc::clone(&stream);
        world.spawn_client(Box::pin(poll_fn(move |context| reading.poll(context))));
        Ok(Self { headers: head.headers, stream })
    }

    /// Returns the headers of the response.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Takes the oldest message that has arrived.
    #[must_use]
    pub fn next(&self) -> Option<Message> {
        let mut received = self.stream.received.borrow_mut();
        if received.is_empty() { None } else { Some(received.remove(0)) }
    }

    /// Takes all messages that have arrived, the oldest first. The event `binary` is a binary message. In a stream of lines
    /// every message is a text.
    #[must_use]
    pub fn received(&self) -> Vec<Message> {
        self.stream.received.take()
    }

    /// Takes all messages that have arrived, as text.
    ///
    /// # Panics
    /// If one of them is binary.
    #[must_use]
    #[track_caller]
    pub fn received_texts(&self) -> Vec<String> {
        received::texts(self.received())
    }

    /// Takes all messages that have arrived, deserialised from JSON.
    ///
    /// # Panics
    /// If one of them is not a `T`.
    #[must_use]
    #[track_caller]
    pub fn received_json<T: DeserializeOwned>(&self) -> Vec<T> {
        received::json(self.received())
    }

    /// Whether the stream goes on, as far as the client knows.
    pub fn is_open(&self) -> bool {
        self.stream.body.borrow().is_some()
    }

    /// Returns the code and the reason of the event `close`. The code is [`CloseCode::ABNORMAL`] if the stream has ended without
    /// one, as streams of lines do. `None` while it is open.
    pub fn closed(&self) -> Option<Close> {
        if self.is_open() {
            return None;
        }
        let closed = self.stream.closed.borrow().clone();
        Some(closed.unwrap_or_else(|| Close::new(CloseCode::ABNORMAL, "")))
    }

    /// Breaks the connection. `on_error` follows. This is also the only way in which a client can close an event stream.
    pub fn vanish(&self) {
        let body = self.stream.body.take();
        drop(body);
    }

    /// Stops reading. Messages then wait at the server. If more than
    /// [`Builder::max_outbox`](crate::Builder::max_outbox) bytes wait, the server ends the stream with 1013.
    pub fn stop_reading(&self) {
        self.stream.is_stopped.set(true);
    }

    /// Reads again, beginning with the messages that have waited.
    pub fn read_on(&self) {
        self.stream.is_stopped.set(false);
        if let Some(waker) = self.stream.waker.take() {
            waker.wake();
        }
    }
}

impl Stream {
    fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        self.waker.replace(Some(context.waker().clone()));
        while !self.is_stopped.get() {
            let mut body = self.body.borrow_mut();
            let Some(open) = &mut *body else { return Poll::Ready(()) };
            let frame = match http_body::Body::poll_frame(Pin::new(open), context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(frame) => frame,
            };
            let Some(Ok(frame)) = frame else {
                let ended = body.take();
                drop(body);
                drop(ended);
                return Poll::Ready(());
            };
            drop(body);
            self.take(&frame.into_data().unwrap_or_default());
        }
        Poll::Pending
    }

    fn take(&self, bytes: &Bytes) {
        let mut unread = self.unread.borrow_mut();
        unread.extend_from_slice(bytes);
        let end: &[u8] = if self.format == Format::Events { b"\n\n" } else { b"\n" };
        while let Some(at) = unread.windows(end.len()).position(|window| window == end) {
            let event: Vec<u8> = unread.drain(..at + end.len()).collect();
            self.event(&String::from_utf8_lossy(&event[..at]));
        }
    }

    fn event(&self, event: &str) {
        if self.format == Format::Lines {
            if !event.is_empty() {
                self.received.borrow_mut().push(Message::text(event));
            }
            return;
        }
        let (mut name, mut data) = ("", Vec::new());
        for line in event.split('\n') {
            match line.split_once(": ") {
                Some(("event", value)) => name = value,
                Some(("data", value)) => data.push(value),
                _ => {}
            }
        }
        let data = data.join("\n");
        match name {
            "close" => drop(self.closed.replace(read_close(&data))),
            "binary" => self.received.borrow_mut().extend(BASE64_STANDARD.decode(data).ok().map(Message::binary)),
            // A comment has no data.
            _ if event.starts_with(':') => {}
            _ => self.received.borrow_mut().push(Message::text(data)),
        }
    }
}

fn read_close(data: &str) -> Option<Close> {
    #[derive(Deserialize)]
    struct Said {
        code: u16,
        reason: String,
    }
    let Said { code, reason } = serde_json::from_str(data).ok()?;
    Some(Close::new(CloseCode::new(code)?, reason))
}

impl fmt::Debug for EventClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "EventClient({})", if self.is_open() { "open" } else { "ended" })
    }
}
