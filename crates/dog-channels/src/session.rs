//! What is known of one connection, and what it may say when: [`ClientSession`]. Pure code.

use std::collections::BTreeMap;

use bytes::Bytes;
use dog::Timestamp;
use serde::{Deserialize, Serialize};

use crate::protocol::{ClientCommand, ClientInfo, Codec, Disconnect};

/// The most channels of a connection, those of the server included.
pub const MAX_CHANNELS: usize = 128;

/// One connection. It survives the hibernation of its Replica.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClientSession {
    pub(crate) codec: Codec,
    pub(crate) client: String,
    pub(crate) user: String,
    pub(crate) info: Bytes,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) state: State,
    pub(crate) channels: BTreeMap<String, Membership>,
    /// What the client of a stream has said with its request, until the connection is open.
    pub(crate) first: Bytes,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    /// It has not said who it is.
    Opened,
    /// It may do what it is permitted.
    Connected,
    /// It was refused with an error, and has to leave.
    Refused,
}

/// A subscription of a connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Membership {
    pub(crate) info: Bytes,
    pub(crate) expires: Option<Timestamp>,
    /// The server has made it.
    pub(crate) is_of_server: bool,
    /// Its client hears who comes and goes.
    pub(crate) hears_joins: bool,
    /// Others hear of it.
    pub(crate) is_announced: bool,
}

/// A command that counts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// The answer to a ping.
    Pong,
    /// A request, which the command has.
    Request,
}

impl ClientSession {
    pub(crate) fn new(codec: Codec) -> Self {
        Self::said(codec, Bytes::new())
    }

    /// A connection whose client has said something before it is open.
    pub(crate) fn said(codec: Codec, first: Bytes) -> Self {
        let (client, user, info) = Default::default();
        Self { codec, client, user, info, expires: None, state: State::Opened, channels: BTreeMap::new(), first }
    }

    /// The id of the connection.
    pub fn client(&self) -> &str {
        &self.client
    }

    /// The user. Empty: not known.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Whether the connection is subscribed to a channel.
    pub fn is_subscribed(&self, channel: &str) -> bool {
        self.channels.contains_key(channel)
    }

    /// Whether a command may come now.
    pub(crate) fn admit(&self, command: &ClientCommand) -> Result<Admitted, Disconnect> {
        let begins = command.connect.is_some();
        if self.state == State::Refused || begins != (self.state == State::Opened) {
            return Err(Disconnect::BAD_REQUEST);
        }
        match (command.id, command.send.is_some(), is_request(command)) {
            (0, false, _) if begins => Err(Disconnect::BAD_REQUEST),
            (0, false, _) => Ok(Admitted::Pong),
            (_, _, true) => Ok(Admitted::Request),
            _ => Err(Disconnect::BAD_REQUEST),
        }
    }

    /// How others see the connection, in a channel if one is named.
    pub(crate) fn seen(&self, channel: &str) -> ClientInfo {
        let chan_info = self.channels.get(channel).map(|membership| membership.info.clone()).unwrap_or_default();
        ClientInfo { user: self.user.clone(), client: self.client.clone(), conn_info: self.info.clone(), chan_info }
    }

    /// Whether it is the connection `client`, if one is named, of this user.
    pub(crate) fn is_of(&self, user: &str, client: &str) -> bool {
        self.state == State::Connected && self.user == user && (client.is_empty() || self.client == client)
    }
}

fn is_request(command: &ClientCommand) -> bool {
    let ClientCommand { id: _, connect, subscribe, unsubscribe, publish, presence, presence_stats, .. } = command;
    let ClientCommand { history, ping, send, rpc, refresh, sub_refresh, .. } = command;
    connect.is_some()
        || subscribe.is_some()
        || unsubscribe.is_some()
        || publish.is_some()
        || presence.is_some()
        || presence_stats.is_some()
        || history.is_some()
        || ping.is_some()
        || send.is_some()
        || rpc.is_some()
        || refresh.is_some()
        || sub_refresh.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{ConnectRequest, SendRequest, SubscribeRequest};

    fn connect(id: u32) -> ClientCommand {
        ClientCommand { id, connect: Some(Box::new(ConnectRequest::default())), ..ClientCommand::default() }
    }

    fn subscribe(id: u32) -> ClientCommand {
        ClientCommand { id, subscribe: Some(Box::new(SubscribeRequest::default())), ..ClientCommand::default() }
    }

    #[test]
    fn a_connection_begins_once_and_nothing_comes_before_it() {
        let mut session = ClientSession::new(Codec::Json);
        let send = ClientCommand { send: Some(SendRequest::default()), ..ClientCommand::default() };
        for early in [subscribe(1), send.clone(), ClientCommand::default(), connect(0)] {
            assert_eq!(session.admit(&early), Err(Disconnect::BAD_REQUEST), "{early:?}");
        }
        assert_eq!(session.admit(&connect(1)), Ok(Admitted::Request));
        session.state = State::Connected;
        assert_eq!(session.admit(&connect(2)), Err(Disconnect::BAD_REQUEST));
        assert_eq!(session.admit(&subscribe(2)), Ok(Admitted::Request));
        assert_eq!(session.admit(&send), Ok(Admitted::Request));
        assert_eq!(session.admit(&ClientCommand::default()), Ok(Admitted::Pong));
        assert_eq!(session.admit(&subscribe(0)), Ok(Admitted::Pong), "without an id it is a pong, whatever it has");
        assert_eq!(session.admit(&ClientCommand { id: 3, ..ClientCommand::default() }), Err(Disconnect::BAD_REQUEST));
    }

    #[test]
    fn a_connection_that_was_refused_can_do_nothing() {
        let session = ClientSession { state: State::Refused, ..ClientSession::new(Codec::Json) };
        assert_eq!(session.admit(&connect(2)), Err(Disconnect::BAD_REQUEST));
        assert_eq!(session.admit(&subscribe(2)), Err(Disconnect::BAD_REQUEST));
    }
}
