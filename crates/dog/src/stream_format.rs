//! How an event stream writes messages: [`StreamFormat`].

/// How an event stream writes messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamFormat {
    /// As server-sent events.
    Events,
    /// One per line.
    Lines,
    /// One per line, and nothing while it is silent.
    QuietLines,
    /// As they are, with nothing between them.
    Bytes,
}
