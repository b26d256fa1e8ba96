//! The connections between clients and hosts: both ends, and the items between them. Each direction keeps its order.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use bytes::Bytes;
use dog::internal::{LocalFuture, SocketErrorKind};
use dog::{ClientId, Close, CloseCode, Message, Response, SocketError, SocketId};
use dog_engine::Upgrade;
use dog_engine::address::{Object, ReplicaAddress};
use dog_engine::host::{End, Readiness, ReplicaObject};
use http::StatusCode;

use super::bugs::Bug;
use super::client::{Client, ClientKey, ClientState, Outgoing};
use super::clock::Micros;
use super::core::Core;
use super::life::{Driver, Life};
use super::lives::Lives;
use super::reply::{OnLoss, reply};

/// An extension of a Replica's response: the client whose seat the request used.
#[derive(Clone, Debug)]
pub(super) struct SeatOf(pub(super) ClientId);

/// An item that has arrived from a client.
enum Incoming {
    Message(Message),
    End(End),
}

/// The host's end of a connection.
struct Connection {
    life: Rc<Life>,
    replica: ReplicaAddress,
    client: Option<ClientKey>,
    /// The items that were sent before the client had its answer.
    early: Vec<Outgoing>,
    /// Whether it ended before the client had its answer.
    ended: bool,
    incoming: VecDeque<Incoming>,
    busy: bool,
}

/// An open socket, as its host sees it.
#[derive(Clone, Debug)]
pub struct OpenSocket {
    /// Which socket.
    pub socket: SocketId,
    /// The life that has it.
    pub life: Rc<Life>,
    /// The Replica.
    pub replica: ReplicaAddress,
    /// The client at its other end, once the client has its answer.
    pub client: Option<ClientKey>,
}

/// All connections.
pub(super) struct Connections {
    core: Rc<Core>,
    lives: Rc<Lives>,
    next: RefCell<u64>,
    connections: RefCell<BTreeMap<SocketId, Connection>>,
    clients: RefCell<Vec<Client>>,
    attachments: RefCell<BTreeMap<SocketId, Bytes>>,
}

/// Returns the end of a connection that broke.
fn broken(kind: SocketErrorKind, code: CloseCode) -> End {
    End::Error(SocketError::new(kind, Close::new(code, "")))
}

impl Connections {
    pub(super) fn new(core: &Rc<Core>, lives: &Rc<Lives>) -> Rc<Self> {
        Rc::new(Self {
            core: Rc::clone(core),
            lives: Rc::clone(lives),
            next: RefCell::default(),
            connections: RefCell::default(),
            clients: RefCell::default(),
            attachments: RefCell::default(),
        })
    }

    /// Adds a client that has sent a request.
    pub(super) fn add_client(&self) -> ClientKey {
        let mut clients = self.clients.borrow_mut();
        clients.push(Client::new());
        clients.len() - 1
    }

    /// Reads or changes a client's end.
    pub(super) fn with_client<T>(&self, client: ClientKey, look: impl FnOnce(&mut Client) -> T) -> T {
        look(&mut self.clients.borrow_mut()[client])
    }

    /// Returns the sockets that are open on their host's side.
    pub(super) fn open(&self) -> Vec<OpenSocket> {
        let connections = self.connections.borrow();
        let open = connections.iter().filter(|(_, connection)| !connection.ended);
        open.map(|(socket, connection)| OpenSocket {
            socket: *socket,
            life: Rc::clone(&connection.life),
            replica: connection.replica,
            client: connection.client,
        })
        .collect()
    }

    pub(super) fn attachment(&self, socket: SocketId) -> Option<Bytes> {
        self.attachments.borrow().get(&socket).cloned()
    }

    pub(super) fn set_attachment(&self, socket: SocketId, attachment: Bytes) {
        self.attachments.borrow_mut().insert(socket, attachment);
    }

    /// Creates a socket of a life. If the life has ended, the socket is not connected.
    pub(super) fn new_socket(&self, life: &Rc<Life>, replica: ReplicaAddress) -> SocketId {
        let runs = self.lives.by_epoch(Object::Replica(replica), life.epoch()).is_some();
        let socket = {
            let mut next = self.next.borrow_mut();
            *next += 1;
            SocketId::from_raw(*next)
        };
        if runs {
            self.core.note(|| format!("{life:?} has a new socket {}", socket.raw()));
            let connection = Connection {
                life: Rc::clone(life),
                replica,
                client: None,
                early: Vec::new(),
                ended: false,
                incoming: VecDeque::new(),
                busy: false,
            };
            self.connections.borrow_mut().insert(socket, connection);
            self.core.observe(|observer| observer.opens(life, socket));
        }
        socket
    }

    /// Sends a message on a socket. Returns whether the socket accepted it.
    pub(super) fn send(self: &Rc<Self>, socket: SocketId, message: &Message) -> bool {
        let outgoing = Outgoing::Message(message.clone());
        let mut connections = self.connections.borrow_mut();
        let Some(connection) = connections.get_mut(&socket).filter(|connection| !connection.ended) else {
            return false;
        };
        match connection.client {
            Some(client) => {
                drop(connections);
                self.to_client(client, outgoing);
            }
            None => connection.early.push(outgoing),
        }
        true
    }

    /// Delivers the answer to a client's request. If the client has disconnected, the answer and its socket are
    /// dropped.
    pub(super) fn answered(self: &Rc<Self>, client: ClientKey, mut response: Response) {
        if self.with_client(client, |end| *end.state() != ClientState::Asking) {
            return;
        }
        self.core.note(|| format!("client {client} is answered {}", response.status().as_u16()));
        let upgrade = response.extensions_mut().remove::<Upgrade>();
        let seat = response.extensions_mut().remove::<SeatOf>();
        let upgrade = upgrade.filter(|_| response.status() == StatusCode::SWITCHING_PROTOCOLS);
        let accepted = upgrade.map(Upgrade::accept);
        let socket = accepted.map(|(replica, socket)| (replica, socket, seat.map(|seat| seat.0)));
        self.with_client(client, |end| end.answer(response, socket));
        if let Some((_, socket)) = accepted {
            self.connect(client, socket);
        }
    }

    fn connect(self: &Rc<Self>, client: ClientKey, socket: SocketId) {
        let early = {
            let mut connections = self.connections.borrow_mut();
            match connections.get_mut(&socket) {
                Some(connection) => {
                    connection.client = Some(client);
                    let early = std::mem::take(&mut connection.early);
                    if connection.ended {
                        connections.remove(&socket);
                    }
                    early
                }
                // The Replica has crashed meanwhile.
                None => vec![Outgoing::Close(Close::new(CloseCode::ABNORMAL, ""))],
            }
        };
        early.into_iter().for_each(|outgoing| self.to_client(client, outgoing));
    }

    /// Lets the client stop waiting for its answer.
    pub(super) fn give_up(&self, client: ClientKey) {
        self.with_client(client, |end| {
            if *end.state() == ClientState::Asking {
                end.set_state(ClientState::Gone);
            }
        });
    }

    fn to_client(self: &Rc<Self>, client: ClientKey, outgoing: Outgoing) {
        let at = self.core.clock().micros() + self.core.delay();
        let at = self.with_client(client, |end| {
            end.is_sent(outgoing.bytes());
            end.in_order_out(at)
        });
        let this = Rc::clone(self);
        self.core.clock().at(at, move || this.reaches_client(client, outgoing));
    }

    fn reaches_client(self: &Rc<Self>, client: ClientKey, outgoing: Outgoing) {
        let limit = self.core.config().outbox;
        let queued = self.with_client(client, |end| {
            let is_open = *end.state() == ClientState::Open;
            if !is_open {
                end.is_done_with(outgoing.bytes());
            }
            is_open.then(|| end.queue(outgoing, limit))
        });
        match queued {
            Some(Ok(outgoing)) => self.client_reads(client, outgoing),
            Some(Err(true)) => {
                if let Some((_, socket)) = self.with_client(client, |end| end.socket()) {
                    self.break_off(socket, &broken(SocketErrorKind::TooSlow, CloseCode::TRY_AGAIN));
                }
            }
            Some(Err(false)) | None => {}
        }
    }

    fn client_reads(&self, client: ClientKey, outgoing: Outgoing) {
        self.with_client(client, |end| end.is_done_with(outgoing.bytes()));
        match outgoing {
            Outgoing::Message(message) => {
                self.core.note(|| format!("client {client} gets {}", message.as_text().unwrap_or("binary")));
                self.with_client(client, |end| end.received().push(message.clone()));
                self.core.observe(|observer| observer.receives(client, &message));
            }
            Outgoing::Close(close) => {
                self.core.note(|| format!("client {client} is closed with {}", close.code()));
                self.with_client(client, |end| end.set_state(ClientState::Closed(close)));
            }
        }
    }

    /// The bytes that wait for the client of a socket.
    pub(super) fn waiting(&self, socket: SocketId) -> usize {
        let client = self.connections.borrow().get(&socket).and_then(|connection| connection.client);
        client.map_or(0, |client| self.with_client(client, |end| end.waiting()))
    }

    /// Completes when the client of a socket has read everything.
    pub(super) fn drained(&self, socket: SocketId) -> LocalFuture<()> {
        let client = self.connections.borrow().get(&socket).and_then(|connection| connection.client);
        let (waits, drained) = reply(OnLoss::Fail);
        if let Some(client) = client {
            self.with_client(client, |end| end.when_drained(waits));
        }
        Box::pin(async move { drop(drained.await) })
    }

    /// Lets the client stop or start reading.
    pub(super) fn set_reads(&self, client: ClientKey, reads: bool) {
        let waiting = self.with_client(client, |end| end.set_reads(reads));
        waiting.into_iter().for_each(|outgoing| self.client_reads(client, outgoing));
    }

    pub(super) fn client_sends(self: &Rc<Self>, client: ClientKey, message: Message) {
        self.from_client(client, Incoming::Message(message));
    }

    pub(super) fn client_closes(self: &Rc<Self>, client: ClientKey, close: Close) {
        self.from_client(client, Incoming::End(End::Close(close)));
    }

    fn from_client(self: &Rc<Self>, client: ClientKey, incoming: Incoming) {
        let at = self.core.clock().micros() + self.core.delay();
        let Some(socket) = self.with_client(client, |end| end.open_socket()) else { return };
        let at = self.with_client(client, |end| end.in_order_in(at));
        let this = Rc::clone(self);
        self.core.clock().at(at, move || {
            if let Some(connection) = this.connections.borrow_mut().get_mut(&socket) {
                connection.incoming.push_back(incoming);
            }
            this.pump_when_running(socket);
        });
    }

    /// Disconnects the client without a close. The host notices after `delay`.
    pub(super) fn client_vanishes(self: &Rc<Self>, client: ClientKey, delay: Micros) {
        let socket = self.with_client(client, |end| {
            let socket = end.open_socket();
            if matches!(end.state(), ClientState::Open | ClientState::Asking) {
                end.set_state(ClientState::Gone);
            }
            socket
        });
        let Some(socket) = socket else { return };
        let this = Rc::clone(self);
        self.core.clock().later(delay, move || this.lose(socket));
    }

    /// Breaks the connection. The host notices when its node runs.
    pub(super) fn lose(self: &Rc<Self>, socket: SocketId) {
        let this = Rc::clone(self);
        self.on_its_node(socket, move || this.break_off(socket, &broken(SocketErrorKind::Lost, CloseCode::ABNORMAL)));
    }

    fn on_its_node(&self, socket: SocketId, what: impl FnOnce() + 'static) {
        let node = self.connections.borrow().get(&socket).map(|connection| connection.life.node());
        if let Some(node) = node {
            self.core.when_running(node, what);
        }
    }

    /// Records that the handler of a busy socket has ended.
    pub(super) fn resume(self: &Rc<Self>, socket: SocketId) {
        if let Some(connection) = self.connections.borrow_mut().get_mut(&socket) {
            connection.busy = false;
        }
        self.pump_when_running(socket);
    }

    fn pump_when_running(self: &Rc<Self>, socket: SocketId) {
        let this = Rc::clone(self);
        self.on_its_node(socket, move || this.pump(socket));
    }

    /// Passes on the items from the client, as fast as the handlers process them.
    fn pump(self: &Rc<Self>, socket: SocketId) {
        while let Some((incoming, replica)) = self.next_incoming(socket) {
            match incoming {
                Incoming::Message(message) => {
                    let Some(replica) = replica else { return };
                    let readiness = replica.message(socket, message);
                    if let Some(connection) = self.connections.borrow_mut().get_mut(&socket) {
                        connection.busy = readiness == Readiness::Busy;
                    }
                }
                Incoming::End(end) => return self.break_off(socket, &end),
            }
        }
    }

    fn next_incoming(&self, socket: SocketId) -> Option<(Incoming, Option<Rc<dyn ReplicaObject>>)> {
        let mut connections = self.connections.borrow_mut();
        let connection = connections.get_mut(&socket)?;
        // A host that cannot stop reading at once sometimes passes on one more item.
        if connection.busy && !self.core.happens(self.core.weather().late) {
            return None;
        }
        let incoming = connection.incoming.pop_front()?;
        let (replica, life) = (connection.replica, Rc::clone(&connection.life));
        drop(connections);
        Some((incoming, self.replica(replica, &life)))
    }

    /// Returns the Replica in that life, if the life is not over.
    fn replica(&self, address: ReplicaAddress, life: &Life) -> Option<Rc<dyn ReplicaObject>> {
        match self.lives.by_epoch(Object::Replica(address), life.epoch())?.driver {
            Driver::Replica(replica) => Some(replica),
            Driver::Group(_) => None,
        }
    }

    /// Ends the connection. Tells its Replica, and the client if it is still connected.
    fn break_off(self: &Rc<Self>, socket: SocketId, end: &End) {
        let connection = self.connections.borrow_mut().remove(&socket);
        let Some(connection) = connection.filter(|connection| !connection.ended) else { return };
        self.forget_attachment(socket);
        self.core.observe(|observer| observer.ends(socket));
        let close = match end {
            End::Close(close) => close.clone(),
            End::Error(error) => error.close().clone(),
        };
        self.core.note(|| format!("{:?}: socket {} ends with {}", connection.life, socket.raw(), close.code()));
        if let Some(client) = connection.client {
            self.to_client(client, Outgoing::Close(close));
        }
        let lost = matches!(end, End::Error(error) if error.is_lost());
        if lost && self.core.has_bug(Bug::LeakedSeat) {
            return;
        }
        if let Some(replica) = self.replica(connection.replica, &connection.life) {
            Rc::clone(&replica).closed(socket, end.clone());
            // A host may report an end twice. Only the first report counts.
            if self.core.happens(self.core.weather().doubled) {
                replica.closed(socket, end.clone());
            }
        }
    }

    /// Closes the socket from the Replica's side.
    pub(super) fn close(self: &Rc<Self>, socket: SocketId, close: Close) {
        let client = {
            let mut connections = self.connections.borrow_mut();
            let Some(connection) = connections.get_mut(&socket).filter(|connection| !connection.ended) else { return };
            self.core.note(|| format!("{:?}: socket {} is closed", connection.life, socket.raw()));
            match connection.client {
                Some(client) => {
                    connections.remove(&socket);
                    Some((client, close))
                }
                None => {
                    connection.early.push(Outgoing::Close(close));
                    connection.ended = true;
                    None
                }
            }
        };
        if let Some((client, close)) = client {
            self.to_client(client, Outgoing::Close(close));
        }
        self.forget_attachment(socket);
        self.core.observe(|observer| observer.ends(socket));
    }

    /// Removes the attachment. Called when the Replica has been told of the end, because it may read the attachment
    /// until then.
    fn forget_attachment(self: &Rc<Self>, socket: SocketId) {
        let this = Rc::clone(self);
        self.core.clock().later(0, move || drop(this.attachments.borrow_mut().remove(&socket)));
    }

    /// Breaks the sockets that a life has left open at its end.
    pub(super) fn end_life(self: &Rc<Self>, life: &Life) {
        let open = self.open().into_iter().filter(|open| open.life.id() == life.id());
        open.for_each(|open| self.close(open.socket, Close::new(CloseCode::ABNORMAL, "")));
    }

    /// Drops the hosts' ends. Clients keep what they have received.
    pub(super) fn clear(&self) {
        let connections = self.connections.take();
        drop(connections);
    }
}
