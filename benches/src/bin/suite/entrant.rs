//! Who is measured: [`Entrant`].

use dog_benches::connect::Protocol;
use dog_benches::frame::Payload;

/// A server, as it is started for one scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entrant {
    /// What it is called in tables.
    pub(crate) name: &'static str,
    pub(crate) server: Kind,
    /// What its command line has besides the usual.
    pub(crate) arguments: &'static [&'static str],
}

/// Which program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Floor,
    /// Ours, as examples/relay.
    Relay,
    /// Ours, as src/bin/verbs.rs.
    Verbs,
    /// uWebSockets, by way of socketify.
    Socketify,
    NodeWs,
    SocketIo,
    Socketioxide,
    Axum,
    /// npm's `dog` on workerd.
    NpmDog,
}

impl Entrant {
    /// As it is, with no arguments.
    pub(crate) const fn plain(name: &'static str, server: Kind) -> Self {
        Self { name, server, arguments: &[] }
    }

    /// The same in another shape, under another name.
    pub(crate) const fn with(self, name: &'static str, arguments: &'static [&'static str]) -> Self {
        Self { name, arguments, ..self }
    }

    /// The word after `--flag` in its arguments.
    pub(crate) fn argument(&self, flag: &str) -> Option<&'static str> {
        let at = self.arguments.iter().position(|argument| *argument == flag)?;
        self.arguments.get(at + 1).copied()
    }
}

impl Kind {
    pub(crate) fn protocol(self) -> Protocol {
        match self {
            Self::SocketIo | Self::Socketioxide => Protocol::SocketIo,
            _ => Protocol::WebSocket,
        }
    }

    /// What it passes on best, or at all.
    pub(crate) fn payload(self) -> Payload {
        match self {
            Self::SocketIo | Self::Socketioxide => Payload::Event,
            Self::NpmDog => Payload::Text,
            _ => Payload::Binary,
        }
    }
}

pub(crate) const FLOOR: Entrant = Entrant::plain("floor", Kind::Floor);
pub(crate) const JOINED_FLOOR: Entrant = FLOOR.with("joined floor", &["--joined"]);
pub(crate) const OURS: Entrant = Entrant::plain("ours", Kind::Relay);
pub(crate) const UWS: Entrant = Entrant::plain("uWebSockets", Kind::Socketify);
pub(crate) const NODE_WS: Entrant = Entrant::plain("node ws", Kind::NodeWs);
pub(crate) const AXUM: Entrant = Entrant::plain("axum", Kind::Axum);
pub(crate) const SOCKETIOXIDE: Entrant = Entrant::plain("socketioxide", Kind::Socketioxide);
pub(crate) const SOCKET_IO: Entrant = Entrant::plain("Socket.IO", Kind::SocketIo);
pub(crate) const NPM_DOG: Entrant = Entrant::plain("npm dog", Kind::NpmDog);
pub(crate) const VERBS: Entrant = Entrant::plain("ours", Kind::Verbs);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_found_by_its_flag() {
        let entrant = OURS.with("small", &["--limit", "5"]);
        assert_eq!(entrant.argument("--limit"), Some("5"));
        assert_eq!(entrant.argument("--workers"), None);
    }
}
