//! The headers of requests between nodes. Clients cannot reach the address on which nodes listen for each other, so a
//! node has set these headers. If a client sends a header of the same name, it is replaced or removed.

use dog::http::{HeaderName, HeaderValue};

/// What goes with a forwarded request: a [`RequestHead`](super::message::RequestHead), or [`WATCH`].
pub(super) use dog_engine::request::HEAD;

/// How many bytes a node may add to the headers of a client: [`HEAD`] with the largest identity and the longest client, a
/// `Host`, and a space after each colon that had none.
pub(super) const ADDED_BYTES: usize = 8 * 1024;
/// How many headers a node may add to those of a client.
pub(super) const ADDED_HEADERS: usize = 2;
/// Used instead of a request head: the connection only shows whether the other node is alive.
pub(super) const WATCH: HeaderValue = HeaderValue::from_static("lifeline");
/// In a response: what the body is, if it is not the answer of the object.
pub(super) const ANSWER: HeaderName = HeaderName::from_static("dog-answer");
/// The body is the reason why the Replica refused the request.
pub(super) const REFUSED: HeaderValue = HeaderValue::from_static("refused");
/// The body is an error.
pub(super) const FAILED: HeaderValue = HeaderValue::from_static("failed");
/// The body is an event stream of the Replica.
pub(super) const EVENTS: HeaderValue = HeaderValue::from_static("events");
