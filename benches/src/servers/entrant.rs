//! A server that takes part in a scenario: [`Entrant`].

use std::sync::Arc;

use rustls::ClientConfig;

use super::encryption::Encryption;
use crate::load::connect::Protocol;
use crate::load::payload::Payload;

/// A server, configured for a scenario.
#[derive(Clone, Debug)]
pub struct Entrant {
    /// Its name in tables.
    pub name: String,
    /// The program.
    pub program: Program,
    /// What is added to its command line.
    pub arguments: Vec<String>,
    /// What its nodes communicate through; `None` for a single server.
    pub broker: Option<BrokerKind>,
    /// The settings of its clients, if they speak TLS. [`Entrant::arguments`] make the server speak it.
    pub tls: Option<Arc<ClientConfig>>,
}

/// A program that serves rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The bare loop of epoll and send.
    Floor,
    /// Ours: examples/relay.
    Relay,
    /// Ours: src/bin/verbs.rs, which uses the other verbs.
    Verbs,
    /// uWebSockets, driven by socketify.
    Socketify,
    /// npm's `ws`.
    NodeWs,
    /// npm's `socket.io`.
    SocketIo,
    /// npm's `socket.io` with its Redis adapter.
    SocketIoRedis,
    /// socketioxide.
    Socketioxide,
    /// axum with a broadcast channel per room.
    Axum,
    /// nginx with nchan.
    Nchan,
    /// Ours: examples/relay as a Worker, on workerd.
    Worker,
    /// npm's `dog`, on workerd.
    NpmDog,
    /// nats-server: its own WebSocket gateway.
    NatsGateway,
}

/// What the nodes of a cluster communicate through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerKind {
    /// nats-server with JetStream.
    Nats,
    /// redis-server without persistence.
    Redis,
}

impl Entrant {
    /// A single server with no further arguments.
    pub fn new(name: &str, program: Program) -> Self {
        Self { name: name.to_owned(), program, arguments: Vec::new(), broker: None, tls: None }
    }

    /// The same with these words added to its command line.
    #[must_use]
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// The same with TLS. Its clients resume sessions, or do each handshake in full.
    #[must_use]
    pub fn encrypted(self, encryption: &Encryption, resume: bool) -> Self {
        Self { tls: Some(encryption.clients(resume)), ..self.with(&encryption.flags()) }
    }

    /// The same as a cluster.
    #[must_use]
    pub fn over(self, broker: BrokerKind) -> Self {
        Self { broker: Some(broker), ..self }
    }

    /// Whether a flag is among its arguments.
    pub fn has_flag(&self, flag: &str) -> bool {
        self.arguments.iter().any(|argument| argument == flag)
    }

    /// The word after a flag among its arguments.
    pub fn argument(&self, flag: &str) -> Option<&str> {
        let at = self.arguments.iter().position(|argument| argument == flag)?;
        self.arguments.get(at + 1).map(String::as_str)
    }
}

impl Program {
    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Floor => "the floor",
            Self::Relay => "the relay",
            Self::Verbs => "verbs",
            Self::Socketify => "uWebSockets",
            Self::NodeWs => "npm's ws",
            Self::SocketIo => "Socket.IO",
            Self::SocketIoRedis => "Socket.IO with Redis",
            Self::Socketioxide => "socketioxide",
            Self::Axum => "axum",
            Self::Nchan => "nchan",
            Self::Worker => "the relay as a Worker",
            Self::NpmDog => "npm's dog",
            Self::NatsGateway => "nats-server",
        }
    }

    /// The protocol of its sockets.
    pub fn protocol(self) -> Protocol {
        match self {
            Self::SocketIo | Self::SocketIoRedis | Self::Socketioxide => Protocol::SocketIo,
            Self::NatsGateway => Protocol::Nats,
            _ => Protocol::WebSocket,
        }
    }

    /// The form of messages that it forwards fastest, or the only one.
    pub fn payload(self) -> Payload {
        match self {
            Self::SocketIo | Self::SocketIoRedis | Self::Socketioxide => Payload::Event,
            Self::Worker | Self::NpmDog => Payload::Text,
            Self::NatsGateway => Payload::Nats,
            _ => Payload::Binary,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_found_by_its_flag() {
        let entrant = Entrant::new("small", Program::Relay).with(&["--limit", "5"]);
        assert_eq!(entrant.argument("--limit"), Some("5"));
        assert_eq!(entrant.argument("--workers"), None);
        assert!(entrant.has_flag("--limit") && !entrant.has_flag("--workers"));
    }
}
