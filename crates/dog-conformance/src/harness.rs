//! What a host gives the suite: [`Harness`].

use std::net::SocketAddr;

/// A running host that serves [`TestApp`](crate::app::TestApp).
pub trait Harness {
    /// What it is called in reports.
    fn name(&self) -> String;

    /// Where it listens; of a cluster, one address a node. Scenarios spread their clients over them.
    fn entries(&self) -> Vec<SocketAddr>;

    /// The most bytes that a message may have.
    fn message_limit(&self) -> usize {
        1 << 20
    }

    /// What this host cannot do: scenarios that need it are skipped, and the reason is printed.
    fn lacks(&self) -> Vec<Lack> {
        Vec::new()
    }
}

/// Something that a host may be unable to do, and some scenarios need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Answers a bad handshake itself, with the right status and headers.
    Handshakes,
    /// Reads WebSocket frames itself, so that it chooses the close code of a breach of protocol and tells its kind.
    Frames,
    /// Bounds the bytes that wait for a slow socket.
    BoundedOutbox,
    /// Stops reading a socket whose handler is busy.
    Backpressure,
    /// Ends the connection when the closing handshake is done, whoever closed.
    Hangup,
    /// Parks Replicas that stay empty.
    Parking,
    /// Gets a Group back after its object has crashed.
    GroupRestart,
    /// Lets every object hibernate after every event, so that scenarios can tell when it did.
    Hibernation,
}

/// A [`Capability`] that a host lacks.
#[derive(Clone, Copy, Debug)]
pub struct Lack {
    /// Which.
    pub capability: Capability,
    /// Why, in a few words.
    pub reason: &'static str,
}
