//! What the suite needs from a host: [`Harness`].

use std::net::SocketAddr;

/// A running host that serves [`TestApp`](crate::app::TestApp).
pub trait Harness {
    /// The name of the host in reports.
    fn name(&self) -> String;

    /// The addresses on which it listens: one per node of a cluster. Scenarios spread their clients over them.
    fn entries(&self) -> Vec<SocketAddr>;

    /// The maximum size of a message, in bytes.
    fn message_limit(&self) -> usize {
        1 << 20
    }

    /// What this host cannot do. Scenarios that need it are skipped, and the reason is printed.
    fn lacks(&self) -> Vec<Lack> {
        Vec::new()
    }
}

/// Something that some scenarios need and a host may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Answers an invalid handshake itself, with the right status and headers.
    Handshakes,
    /// Reads WebSocket frames itself, so it chooses the close code of a protocol error and knows its kind.
    Frames,
    /// Limits the bytes that wait for a slow socket.
    BoundedOutbox,
    /// Sees the address of the client by itself, without a front that puts it into a header.
    PeerAddress,
    /// Stops reading a socket whose handler is busy.
    Backpressure,
    /// Is reached as messages are sent, so that many of them fill what lies between a client and a host that does not read on.
    FullBuffers,
    /// Ends the connection after the closing handshake, whichever side closed.
    Hangup,
    /// Parks Replicas that stay empty.
    Parking,
    /// Restarts a Group whose object has crashed.
    GroupRestart,
    /// Keeps a log in memory, so that it ends with its Group. Elsewhere each is durable.
    LogsInMemory,
    /// Lets every object hibernate after every event, so that scenarios know when it does.
    Hibernation,
}

/// A [`Capability`] that a host lacks.
#[derive(Clone, Copy, Debug)]
pub struct Lack {
    /// The capability.
    pub capability: Capability,
    /// The reason, in a few words.
    pub reason: &'static str,
}
