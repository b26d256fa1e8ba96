//! A client of the room. The record contains everything that it sends and receives.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::app::PATIENCE;
use crate::record::{Action, Heard, Life, Operation, Recorder, Sent, SocketRecord, Time};
use crate::registers::{Answer, Command};

/// A connected client with one socket.
pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    close_code: Option<u16>,
    /// The id of the process that runs its Replica.
    pub(crate) at: u32,
    pub(crate) replica: String,
    record: Recorder,
    /// The index of the socket in the record.
    number: usize,
    /// When each question that has no answer yet was sent. Answers come in the same order.
    asked: VecDeque<Time>,
}

impl Client {
    /// Connects to this node. Retries until it succeeds. Its record is not checked.
    pub(crate) async fn join(entry: SocketAddr, room: &str, name: &str) -> Self {
        Self::join_recorded(&Recorder::new(Duration::ZERO), entry, room, name).await
    }

    pub(crate) async fn join_recorded(record: &Recorder, entry: SocketAddr, room: &str, name: &str) -> Self {
        let by = Instant::now() + PATIENCE;
        loop {
            let trouble = match Self::try_to_join_recorded(record, entry, room, name).await {
                Ok(client) => return client,
                Err(trouble) => trouble,
            };
            assert!(Instant::now() < by, "{name} cannot connect through {entry}: {trouble}");
            // Real clients also pause before they reconnect. No event says when the next attempt can succeed.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Connects to this node, without retries. The error says why the client could not connect. Its record is not
    /// checked.
    pub(crate) async fn try_to_join(entry: SocketAddr, room: &str, name: &str) -> Result<Self, String> {
        Self::try_to_join_recorded(&Recorder::new(Duration::ZERO), entry, room, name).await
    }

    /// Connects to this node, without retries. The error says why the client could not connect.
    pub(crate) async fn try_to_join_recorded(
        record: &Recorder,
        entry: SocketAddr,
        room: &str,
        name: &str,
    ) -> Result<Self, String> {
        let asked = record.now();
        let outcome = Self::open(record, entry, room, name, asked).await;
        if outcome.is_err() {
            let now = record.now();
            record.history().attempts.push((room.to_owned(), asked, now));
        }
        outcome
    }

    async fn open(record: &Recorder, entry: SocketAddr, room: &str, name: &str, asked: Time) -> Result<Self, String> {
        let url = format!("ws://{entry}/?room={room}&u={name}");
        let connecting = tokio::time::timeout(Duration::from_secs(8), connect_async(url)).await;
        let (mut socket, _) = connecting.map_err(|_| "no answer")?.map_err(|error| error.to_string())?;
        let mut earlier = Vec::new();
        loop {
            // Broadcasts of other clients may arrive before the greeting.
            let first = read(&mut socket, &mut None).await.ok_or("it was closed")?;
            let at = record.now();
            let Some(seats) = first.text.strip_prefix("at ").filter(|_| first.answer) else {
                earlier.push(Heard { at, asked: None, sent: first });
                continue;
            };
            let seats = seats.parse().map_err(|_| "no number")?;
            let Life { replica, process, .. } = first.life.clone();
            earlier.push(Heard { at, asked: Some(asked), sent: first });
            let opened = SocketRecord {
                client: name.to_owned(),
                room: room.to_owned(),
                entry,
                replica: replica.clone(),
                process,
                seats,
                asked,
                opened: at,
                ended: None,
                code: None,
                said: Vec::new(),
                heard: earlier,
            };
            let number = {
                let mut history = record.history();
                history.sockets.push(opened);
                history.sockets.len() - 1
            };
            let (record, asked) = (record.clone(), VecDeque::new());
            return Ok(Self { socket, close_code: None, at: process, replica, record, number, asked });
        }
    }

    async fn next(&mut self) -> Option<Sent> {
        let sent = read(&mut self.socket, &mut self.close_code).await;
        let now = self.record.now();
        let mut history = self.record.history();
        let socket = &mut history.sockets[self.number];
        match &sent {
            Some(sent) => {
                let asked = if sent.answer { self.asked.pop_front() } else { None };
                socket.heard.push(Heard { at: now, asked, sent: sent.clone() });
            }
            None => {
                socket.ended.get_or_insert(now);
                socket.code = self.close_code;
            }
        }
        sent
    }

    /// Receives the next text. `None`: the socket has ended.
    pub(crate) async fn hear(&mut self) -> Option<String> {
        self.next().await.map(|sent| sent.text)
    }

    /// Returns the code with which the socket was closed.
    pub(crate) fn close_code(&self) -> Option<u16> {
        self.close_code
    }

    /// Sends a text. Returns whether it could be sent.
    pub(crate) async fn say(&mut self, text: &str) -> bool {
        let now = self.record.now();
        if is_question(text) {
            self.asked.push_back(now);
        }
        self.record.history().sockets[self.number].said.push((now, text.to_owned()));
        self.socket.send(Frame::text(text)).await.is_ok()
    }

    /// Sends a question. Returns when it was sent, and the answer. Other messages that arrive meanwhile are only
    /// recorded.
    async fn ask(&mut self, question: &str) -> (Time, Option<Sent>) {
        let invoked = self.record.now();
        if !self.say(question).await {
            return (invoked, None);
        }
        loop {
            match self.next().await {
                Some(sent) if sent.answer => return (invoked, Some(sent)),
                Some(_) => {}
                None => return (invoked, None),
            }
        }
    }

    /// Sends a question of one word. Returns what follows that word in the answer.
    pub(crate) async fn question(&mut self, word: &str) -> String {
        let (_, answer) = self.ask(word).await;
        let answer = answer.expect("the socket is open");
        answer.text.strip_prefix(word).expect("an answer to it").trim().to_owned()
    }

    fn note(&self, invoked: Time, by: Option<Life>, action: Action) {
        let completed = by.is_some().then(|| self.record.now());
        let operation = Operation { socket: self.number, invoked, completed, by, action };
        self.record.history().operations.push(operation);
    }

    /// Stores a number. Returns whether the Replica has acknowledged it.
    pub(crate) async fn put(&mut self, number: u32) -> bool {
        let (invoked, answer) = self.ask(&format!("put {number}")).await;
        let kept = answer.as_ref().is_some_and(|answer| answer.text == format!("kept {number}"));
        assert!(kept || answer.is_none(), "{answer:?}");
        self.note(invoked, answer.map(|answer| answer.life), Action::Put(number));
        kept
    }

    /// Sends a command to the registers. Returns the answer. `None`: the socket has ended, and the outcome is unknown.
    pub(crate) async fn register(&mut self, command: Command) -> Option<Answer> {
        let (invoked, sent) = self.ask(&command.to_string()).await;
        let answer = sent.as_ref().map(|sent| Answer::parse(&sent.text).expect("an answer of a register"));
        // A command that conflicted was not executed and never will be, so it is not recorded.
        if answer != Some(Answer::Conflict) {
            self.note(invoked, sent.map(|sent| sent.life), Action::Register(command, answer));
        }
        answer
    }

    /// Asks for the number of sockets in the cluster until it is `wanted`, or until `PATIENCE` has passed. Returns the
    /// last number.
    pub(crate) async fn count_until(&mut self, wanted: usize) -> usize {
        let by = Instant::now() + PATIENCE;
        loop {
            let (invoked, answer) = self.ask("count").await;
            let answer = answer.expect("the socket is open");
            let count = answer.text.strip_prefix("count ").and_then(|count| count.parse().ok()).expect("a number");
            self.note(invoked, Some(answer.life), Action::Count(count));
            if count == wanted || Instant::now() > by {
                return count;
            }
            // Missing clients reconnect by themselves. No event says when they have done so.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Reads the stored numbers.
    pub(crate) async fn all(&mut self) -> BTreeSet<u32> {
        let (invoked, answer) = self.ask("all").await;
        let answer = answer.expect("the socket is open");
        let numbers = answer.text.strip_prefix("all").expect("numbers");
        let number = |word: &str| {
            let (number, life) = word.split_once(':').expect("a number and a life");
            (number.parse().expect("a number"), life.parse().expect("a life"))
        };
        let all: BTreeMap<u32, u64> = numbers.split_whitespace().map(number).collect();
        let numbers = all.keys().copied().collect();
        self.note(invoked, Some(answer.life), Action::Read(all));
        numbers
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let now = self.record.now();
        self.record.history().sockets[self.number].ended.get_or_insert(now);
    }
}

/// Whether the Replica answers this text.
fn is_question(text: &str) -> bool {
    text.starts_with("put ") || ["count", "all", "clock"].contains(&text) || Command::parse(text).is_some()
}

async fn read(socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>, close_code: &mut Option<u16>) -> Option<Sent> {
    loop {
        let next = tokio::time::timeout(PATIENCE, socket.next()).await.expect("a message arrives in time");
        match next? {
            Ok(Frame::Text(text)) => return Some(Sent::parse(&text).expect("a signed text")),
            Ok(Frame::Close(close)) => {
                *close_code = close.map(|close| close.code.into());
                return None;
            }
            Err(_) => return None,
            Ok(_) => {}
        }
    }
}

/// The last number that was received from each speaker.
#[derive(Debug, Default)]
pub(crate) struct History {
    last: BTreeMap<String, u32>,
    pub(crate) heard: usize,
}

impl History {
    /// Adds a message `SPEAKER NUMBER`. Panics if the speaker's number is not higher than the one before: then a
    /// message came twice or out of order.
    pub(crate) fn note(&mut self, text: &str) {
        let Some((speaker, number)) = text.split_once(' ') else { return };
        let Ok(number) = number.parse() else { return };
        let before = self.last.insert(speaker.to_owned(), number);
        assert!(before.is_none_or(|before| before < number), "{speaker}: {number} was heard after {before:?}");
        self.heard += 1;
    }
}
