//! Event streams in a run: what the App does with them, and their clients.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use dog::{Group, GroupHandle, Message, Request, Response, Result, Socket, SocketId};
use dog_testing::EventClient;
use dog_testing::world::{ClientKey, ClientState, World};
use http::StatusCode;

use crate::witness::Witness;

/// The first message of an event stream has this kind. It names the socket and its session.
const HELLO: &str = "o";

/// If it is an event stream, tells the client its session.
pub(crate) fn greet(socket: &Socket) {
    let hello = socket.session().map(|session| format!("{HELLO} {} {session}", socket.id().raw()));
    // The client may have left.
    hello.into_iter().for_each(|hello| drop(socket.send(hello)));
}

/// The path with which a client says something: see [`say`].
fn say_path(group: &str, socket: SocketId, session: &str, (number, verb, about): (u64, &str, &str)) -> String {
    format!("/say?g={group}&n={number}&socket={}&session={session}&text={number}+{verb}+{about}", socket.raw())
}

/// What a client of an event stream says comes to the App, which hands it to the socket.
pub(crate) async fn say<G: Group>(witness: &Witness, group: &GroupHandle<G>, request: &Request) -> Result<Response> {
    let param = |name| dog::query_param(request, name).unwrap_or_default();
    let (number, socket) = (param("n").parse()?, SocketId::from_raw(param("socket").parse()?));
    {
        let mut record = witness.record();
        let is_over = record.sockets.get(&socket).is_none_or(|socket| !socket.is_open);
        record.says().begins(number, socket, is_over);
    }
    let handed = group.deliver(&param("session"), Message::text(param("text"))).await;
    let mut record = witness.record();
    let outcome = match &handed {
        Ok(()) => record.says().taken(number),
        Err(error) if error.is_not_found() => record.says().refused(number),
        Err(_) => Ok(()),
    };
    record.check(7, outcome);
    drop(record);
    handed?;
    Ok(dog::text_response(StatusCode::ACCEPTED, ""))
}

/// The clients of event streams.
#[derive(Default)]
pub(crate) struct StreamClients(RefCell<BTreeMap<ClientKey, StreamClient>>);

struct StreamClient {
    group: String,
    /// `None` until it is answered.
    events: Option<EventClient>,
    /// From its first message.
    session: Option<(SocketId, String)>,
    reads: bool,
    has_stalled: bool,
}

impl StreamClient {
    fn is_open(&self) -> bool {
        self.session.is_some() && self.events.as_ref().is_some_and(EventClient::is_open)
    }

    /// Takes the messages that have arrived. The first one is for the client itself.
    fn receive(&mut self) -> Vec<(SocketId, Message)> {
        let mut received = Vec::new();
        for message in self.events.iter().flat_map(EventClient::received) {
            match &self.session {
                Some((socket, _)) => received.push((*socket, message)),
                None => self.session = message.as_text().and_then(session),
            }
        }
        received
    }
}

fn session(hello: &str) -> Option<(SocketId, String)> {
    let (socket, session) = hello.strip_prefix(HELLO)?.trim_start().split_once(' ')?;
    Some((SocketId::from_raw(socket.parse().ok()?), session.to_owned()))
}

impl StreamClients {
    /// A client has asked for an event stream.
    pub(crate) fn asks(&self, client: ClientKey, group: &str) {
        let group = group.to_owned();
        let asking = StreamClient { group, events: None, session: None, reads: true, has_stalled: false };
        self.0.borrow_mut().insert(client, asking);
    }

    /// Lets those that were answered begin to read. Returns the messages that have arrived.
    pub(crate) fn receive(&self, world: &Rc<World>) -> Vec<(SocketId, Message)> {
        let mut clients = self.0.borrow_mut();
        clients.retain(|client, stream| stream.events.is_some() || stream.begins(world, *client));
        clients.values_mut().flat_map(StreamClient::receive).collect()
    }

    /// Whether this is the client of an event stream.
    pub(crate) fn has(&self, client: ClientKey) -> bool {
        self.0.borrow().contains_key(&client)
    }

    /// Returns the clients whose streams are open, as far as they know.
    pub(crate) fn open(&self) -> Vec<ClientKey> {
        self.0.borrow().iter().filter(|(_, stream)| stream.is_open()).map(|(client, _)| *client).collect()
    }

    /// Whether the client of this socket reads its event stream, and has always done so. `None` if it is none.
    pub(crate) fn is_read(&self, socket: SocketId) -> Option<bool> {
        let clients = self.0.borrow();
        let mut streams = clients.values();
        let is_it = |stream: &&StreamClient| stream.session.as_ref().is_some_and(|(own, _)| *own == socket);
        streams.find(is_it).map(|stream| stream.is_open() && !stream.has_stalled)
    }

    /// Whether the client reads.
    pub(crate) fn reads(&self, client: ClientKey) -> bool {
        self.0.borrow().get(&client).is_some_and(|stream| stream.reads)
    }

    /// Lets a client stop or start reading.
    pub(crate) fn set_reads(&self, client: ClientKey, reads: bool) {
        if let Some(stream) = self.0.borrow_mut().get_mut(&client) {
            stream.reads = reads;
            stream.has_stalled |= !reads;
            let turn = if reads { EventClient::read_on } else { EventClient::stop_reading };
            stream.events.iter().for_each(turn);
        }
    }

    /// Lets all clients read.
    pub(crate) fn all_read(&self) {
        let all: Vec<ClientKey> = self.0.borrow().keys().copied().collect();
        all.into_iter().for_each(|client| self.set_reads(client, true));
    }

    /// A client hangs up.
    pub(crate) fn vanish(&self, client: ClientKey) {
        if let Some(stream) = self.0.borrow().get(&client) {
            stream.events.iter().for_each(EventClient::vanish);
        }
    }

    /// Returns the path with which the client says this. `None` if it has no session.
    pub(crate) fn path(&self, client: ClientKey, command: (u64, &str, &str)) -> Option<String> {
        let clients = self.0.borrow();
        let stream = clients.get(&client)?;
        let (socket, session) = stream.session.as_ref()?;
        Some(say_path(&stream.group, *socket, session, command))
    }
}

impl StreamClient {
    /// Begins to read if there is an answer. Returns `false` if there will be no event stream.
    fn begins(&mut self, world: &Rc<World>, client: ClientKey) -> bool {
        match world.client_state(client) {
            ClientState::Asking => true,
            ClientState::Answered => {
                let response = world.take_response(client);
                self.events = response.and_then(|response| EventClient::read(world, response).ok());
                if !self.reads {
                    self.events.iter().for_each(EventClient::stop_reading);
                }
                self.events.is_some()
            }
            _ => false,
        }
    }
}
