//! A client of the test App over a real WebSocket: [`Client`].
//!
//! Every wait has a deadline. To show that nothing arrives, a scenario sends something that would come after it.

mod events;
mod http;
mod refused;
mod verbs;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use dog::{ClientId, ReplicaId};
use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::{Error, Message};

pub use self::events::Events;
pub use self::http::{Streamed, get};
pub(crate) use self::http::{send, send_patiently};
pub(crate) use self::refused::TurnedAway;
use crate::app::protocol::{Act, Command, CommandReply, REPLICA_HEADER};
use crate::check::{Outcome, ScenarioFailure, ensure, within};

/// One open socket of a client.
pub struct Client {
    id: ClientId,
    replica: ReplicaId,
    stream: WebSocketStream<TcpStream>,
    /// Messages that have come and were not read yet.
    heard: VecDeque<Message>,
    replies: BTreeMap<u64, CommandReply>,
    ending: Option<Ending>,
    commands: u64,
    /// Whether this client ends the connection after the close.
    hangs_up: bool,
}

/// How the server ended a socket, as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The close code: 1005 if the close has none, 1006 if there was no close.
    pub code: u16,
    /// The close reason.
    pub reason: String,
}

impl Client {
    /// Opens a WebSocket for `path` on `stream`.
    ///
    /// # Errors
    /// If the handshake is refused, or not done in time.
    pub async fn open(stream: TcpStream, path: &str, id: ClientId) -> Outcome<Self> {
        stream.set_nodelay(true)?;
        let request = format!("ws://{}{path}", stream.peer_addr()?).into_client_request()?;
        let shaken = within("the handshake", async { Ok(tokio_tungstenite::client_async(request, stream).await?) });
        let (stream, response) = shaken.await?;
        let replica =
            response.headers().get(REPLICA_HEADER).ok_or_else(|| ScenarioFailure::new("a 101 without its header"))?;
        let replica = replica.to_str()?.parse()?;
        let (heard, replies) = (VecDeque::new(), BTreeMap::new());
        Ok(Self { id, replica, stream, heard, replies, ending: None, commands: 0, hangs_up: false })
    }

    /// Opens a WebSocket on a new connection.
    ///
    /// # Errors
    /// See [`open`](Self::open).
    pub async fn connect(entry: SocketAddr, path: &str, id: ClientId) -> Outcome<Self> {
        Self::open(TcpStream::connect(entry).await?, path, id).await
    }

    /// From now on this client ends the connection after the closing handshake, because the host may leave it open.
    pub fn hang_up_yourself(&mut self) {
        self.hangs_up = true;
    }

    /// The id of this client.
    pub fn id(&self) -> &ClientId {
        &self.id
    }

    /// The Replica that has the socket.
    pub fn replica(&self) -> ReplicaId {
        self.replica
    }

    /// Sends a message as it is.
    ///
    /// # Errors
    /// If the connection is broken.
    pub async fn send(&mut self, message: Message) -> Outcome {
        within("sending", async { Ok(self.stream.send(message).await?) }).await
    }

    /// Sends one frame as it is, masked.
    ///
    /// # Errors
    /// If the connection is broken.
    pub async fn send_frame(&mut self, frame: Frame) -> Outcome {
        self.send(Message::Frame(frame)).await
    }

    /// Writes bytes to the connection, without a frame.
    ///
    /// # Errors
    /// If the connection is broken.
    pub async fn write(&mut self, bytes: &[u8]) -> Outcome {
        within("writing", async { Ok(self.stream.get_mut().write_all(bytes).await?) }).await
    }

    /// Sends a command without waiting for its reply. Returns the number for [`reply`](Self::reply).
    ///
    /// # Errors
    /// If the connection is broken.
    pub async fn tell(&mut self, act: Act) -> Outcome<u64> {
        self.tell_padded(act, 0).await
    }

    /// Sends a command that is padded with spaces to `length` bytes.
    ///
    /// # Errors
    /// If the connection is broken.
    pub async fn tell_padded(&mut self, act: Act, length: usize) -> Outcome<u64> {
        self.commands += 1;
        let mut command = serde_json::to_string(&Command { id: self.commands, act })?;
        command.extend(std::iter::repeat_n(' ', length.saturating_sub(command.len())));
        self.send(Message::text(command)).await?;
        Ok(self.commands)
    }

    /// The reply to a command. Other messages are kept for [`hear`](Self::hear).
    ///
    /// # Errors
    /// If it does not come in time, or if the socket ends before.
    pub async fn reply(&mut self, command: u64) -> Outcome<CommandReply> {
        let what = format!("the reply to command {command} of {}", self.id);
        within(&what, async {
            loop {
                if let Some(reply) = self.replies.remove(&command) {
                    return Ok(reply);
                }
                self.read_open().await?;
            }
        })
        .await
    }

    /// Whether the reply has been read already.
    pub fn has_reply(&self, command: u64) -> bool {
        self.replies.contains_key(&command)
    }

    /// The next message that is not a reply.
    ///
    /// # Errors
    /// If none comes in time, or if the socket ends before.
    pub async fn hear_message(&mut self) -> Outcome<Message> {
        let what = format!("a message to {}", self.id);
        within(&what, async {
            loop {
                if let Some(message) = self.heard.pop_front() {
                    return Ok(message);
                }
                self.read_open().await?;
            }
        })
        .await
    }

    /// The next text that is not a reply.
    ///
    /// # Errors
    /// If none comes in time, if the socket ends before, or if the message is binary.
    pub async fn hear(&mut self) -> Outcome<String> {
        match self.hear_message().await? {
            Message::Text(text) => Ok(text.to_string()),
            other => Err(ScenarioFailure::new(format!("{} heard {other:?}, which is no text", self.id))),
        }
    }

    /// The texts before `last`.
    ///
    /// # Errors
    /// If `last` does not come in time.
    pub async fn hear_until(&mut self, last: &str) -> Outcome<Vec<String>> {
        let mut texts = Vec::new();
        loop {
            match self.hear().await? {
                text if text == last => return Ok(texts),
                text => texts.push(text),
            }
        }
    }

    /// Waits until the server ends the socket and the connection. Messages that come before can be read afterwards.
    ///
    /// # Errors
    /// If that does not happen in time.
    pub async fn ended(&mut self) -> Outcome<Ending> {
        let what = format!("the end of {}", self.id);
        within(&what, async {
            while !(self.hangs_up && self.ending.is_some()) && self.read().await? {}
            let lost = Ending { code: 1006, reason: String::new() };
            Ok(self.ending.clone().unwrap_or(lost))
        })
        .await
    }

    /// Closes the socket, with or without a code. Returns the close that the server sends.
    ///
    /// # Errors
    /// If the server does not answer and end the connection in time.
    pub async fn close(&mut self, code: Option<u16>, reason: &str) -> Outcome<Ending> {
        let frame = code.map(|code| CloseFrame { code: code.into(), reason: reason.into() });
        within("closing", async { Ok(self.stream.close(frame).await?) }).await?;
        self.ended().await
    }

    /// Closes the socket with 1000 and checks the answer.
    ///
    /// # Errors
    /// See [`close`](Self::close).
    pub async fn leave(mut self) -> Outcome {
        let ending = self.close(Some(1000), "").await?;
        ensure(ending.code == 1000, format!("closing with 1000 was answered with {}", ending.code))
    }

    /// Breaks the connection with a TCP reset.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn reset(self) -> Outcome {
        Ok(self.stream.get_ref().set_zero_linger()?)
    }

    /// Reads one message of a socket that must be open.
    async fn read_open(&mut self) -> Outcome {
        if self.read().await? {
            return Ok(());
        }
        Err(ScenarioFailure::new(format!("the socket of {} has ended: {:?}", self.id, self.ending)))
    }

    /// Reads one message and stores it. Returns false if the connection has ended.
    async fn read(&mut self) -> Outcome<bool> {
        match self.stream.next().await {
            None
            | Some(Err(
                Error::ConnectionClosed
                | Error::AlreadyClosed
                | Error::Io(_)
                | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake),
            )) => return Ok(false),
            Some(Err(error)) => return Err(error.into()),
            Some(Ok(Message::Close(frame))) => self.ending = Some(frame.map_or_else(Ending::bare, Ending::from)),
            Some(Ok(Message::Ping(_))) => {}
            Some(Ok(message)) => {
                match message.to_text().ok().and_then(|text| serde_json::from_str::<CommandReply>(text).ok()) {
                    Some(reply) => {
                        self.replies.insert(reply.reply, reply);
                    }
                    None => self.heard.push_back(message),
                }
            }
        }
        Ok(true)
    }
}

impl Ending {
    fn bare() -> Self {
        Self { code: 1005, reason: String::new() }
    }
}

impl From<CloseFrame> for Ending {
    fn from(frame: CloseFrame) -> Self {
        Self { code: frame.code.into(), reason: frame.reason.to_string() }
    }
}
