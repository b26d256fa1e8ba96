//! Connections, and the clients at their other end. What goes either way on one arrives in order.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use bytes::Bytes;
use dog::internal::SocketErrorKind;
use dog::{Close, CloseCode, Message, Request, Response, SocketError, SocketId};
use dog_engine::Upgrade;
use dog_engine::address::{Object, ReplicaAddress};
use dog_engine::host::{End, Readiness};
use http::StatusCode;

use super::World;
use super::agenda::Micros;
use super::place::{Dropped, Place};
use crate::bugs::Bug;

/// Tells clients' connections apart.
pub(crate) type ClientKey = usize;

/// Goes to a client.
#[derive(Clone, Debug)]
pub(crate) enum Outgoing {
    Message(Message),
    Close(Close),
}

/// Comes from a client.
enum Incoming {
    Message(Message),
    End(End),
}

/// A socket, as its Replica's host has it.
pub(crate) struct Connection {
    pub(crate) place: Rc<Place>,
    pub(crate) replica: ReplicaAddress,
    pub(crate) client: Option<ClientKey>,
    /// What was sent before the client was there.
    early: Vec<Outgoing>,
    /// Ended by its Replica before the client was there.
    ended: bool,
    incoming: VecDeque<Incoming>,
    busy: bool,
    attachment: Option<Bytes>,
}

/// Where a client's connection stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClientState {
    /// Its request is on its way.
    Asking,
    /// It has a socket.
    Open,
    /// It was answered, but not with a socket.
    Answered,
    /// Its socket has ended.
    Closed(Close),
    /// It has gone without a word.
    Gone,
}

/// One client's connection, at the client's end.
pub(crate) struct Client {
    pub(crate) state: ClientState,
    pub(crate) node: usize,
    pub(crate) socket: Option<(ReplicaAddress, SocketId)>,
    pub(crate) response: Option<Response>,
    pub(crate) received: Vec<Message>,
    pub(crate) reads: bool,
    /// Whether it has ever stopped reading.
    pub(crate) has_stalled: bool,
    unread: VecDeque<Outgoing>,
    unread_bytes: usize,
    last_in: Micros,
    last_out: Micros,
}

#[derive(Default)]
pub(crate) struct Sockets {
    next: u64,
    connections: BTreeMap<SocketId, Connection>,
    clients: Vec<Client>,
}

impl Sockets {
    pub(super) fn attachment(&self, socket: SocketId) -> Option<Bytes> {
        self.connections.get(&socket)?.attachment.clone()
    }

    pub(super) fn set_attachment(&mut self, socket: SocketId, attachment: Bytes) {
        if let Some(connection) = self.connections.get_mut(&socket) {
            connection.attachment = Some(attachment);
        }
    }

    /// The sockets that are open, as the host knows them.
    pub(crate) fn open(&self) -> impl Iterator<Item = (SocketId, &Connection)> {
        self.connections.iter().filter(|(_, connection)| !connection.ended).map(|(socket, open)| (*socket, open))
    }

    pub(crate) fn connection(&self, socket: SocketId) -> Option<&Connection> {
        self.connections.get(&socket).filter(|connection| !connection.ended)
    }

    /// What clients have received stays.
    pub(super) fn clear(&mut self) -> impl Sized + use<> {
        std::mem::take(&mut self.connections)
    }

    pub(crate) fn client(&self, key: ClientKey) -> &Client {
        &self.clients[key]
    }

    pub(crate) fn client_mut(&mut self, key: ClientKey) -> &mut Client {
        &mut self.clients[key]
    }

    fn new_client(&mut self, node: usize) -> ClientKey {
        self.clients.push(Client {
            state: ClientState::Asking,
            node,
            socket: None,
            response: None,
            received: Vec::new(),
            reads: true,
            has_stalled: false,
            unread: VecDeque::new(),
            unread_bytes: 0,
            last_in: 0,
            last_out: 0,
        });
        self.clients.len() - 1
    }
}

/// An end by nobody's wish.
fn broken(kind: SocketErrorKind, code: CloseCode) -> End {
    End::Error(SocketError::new(kind, Close::new(code, "")))
}

impl World {
    /// A client asks for something at a node.
    pub(crate) fn ask(self: &Rc<Self>, node: usize, request: Request) -> ClientKey {
        let client = self.sockets.borrow_mut().new_client(node);
        self.note(|| format!("client {client} asks node {node} for {}", request.uri()));
        let delay = self.delay();
        self.later(delay, move |world| {
            let front = world.fronts.borrow().get(node).cloned().filter(|_| !world.is_down(node));
            let (Some(front), Some(place)) = (front, world.apps.borrow().get(node).cloned()) else {
                return world.answered(client, dog::text(StatusCode::SERVICE_UNAVAILABLE, "the node is down"));
            };
            let task = Rc::clone(world);
            let answer = async move {
                let response = front(request).await;
                let delay = task.delay();
                task.later(delay, move |world| world.answered(client, response));
            };
            world.tasks.spawn(place.key, Box::pin(answer));
        });
        client
    }

    /// The answer is at the client. One that has gone drops it, and with it the socket.
    fn answered(self: &Rc<Self>, client: ClientKey, mut response: Response) {
        if self.sockets.borrow().client(client).state != ClientState::Asking {
            return;
        }
        self.note(|| format!("client {client} is answered {}", response.status().as_u16()));
        let upgrade = response.extensions_mut().remove::<Upgrade>();
        let upgrade = upgrade.filter(|_| response.status() == StatusCode::SWITCHING_PROTOCOLS);
        let socket = upgrade.map(Upgrade::accept);
        let mut sockets = self.sockets.borrow_mut();
        let end = sockets.client_mut(client);
        end.response = Some(response);
        let Some((replica, socket)) = socket else {
            end.state = ClientState::Answered;
            return;
        };
        end.state = ClientState::Open;
        end.socket = Some((replica, socket));
        let Some(connection) = sockets.connections.get_mut(&socket) else {
            // Its Replica crashed meanwhile.
            drop(sockets);
            return self.to_client(client, Outgoing::Close(Close::new(CloseCode::ABNORMAL, "")));
        };
        connection.client = Some(client);
        let early = std::mem::take(&mut connection.early);
        if connection.ended {
            sockets.connections.remove(&socket);
        }
        drop(sockets);
        early.into_iter().for_each(|outgoing| self.to_client(client, outgoing));
    }

    /// Nobody waits for the answer any more: a node has crashed with it.
    pub(crate) fn give_up(&self, client: ClientKey) {
        let mut sockets = self.sockets.borrow_mut();
        let end = sockets.client_mut(client);
        if end.state == ClientState::Asking {
            end.state = ClientState::Gone;
        }
    }

    pub(super) fn new_socket(&self, place: &Place, replica: ReplicaAddress) -> SocketId {
        // A life that has crashed makes sockets that nobody sees.
        let living = self.living(Object::Replica(replica)).map(|life| life.place);
        let living = living.filter(|living| living.key == place.key);
        let mut sockets = self.sockets.borrow_mut();
        sockets.next += 1;
        let socket = SocketId::from_raw(sockets.next);
        if let Some(living) = living {
            self.note(|| format!("{place:?} has a new socket {}", socket.raw()));
            let connection = Connection {
                place: living,
                replica,
                client: None,
                early: Vec::new(),
                ended: false,
                incoming: VecDeque::new(),
                busy: false,
                attachment: None,
            };
            sockets.connections.insert(socket, connection);
            drop(sockets);
            self.observe(|observer| observer.opens(self, place, socket));
        }
        socket
    }

    /// Whether the socket took the message.
    pub(super) fn to_socket(&self, socket: SocketId, message: &Message) -> bool {
        let outgoing = Outgoing::Message(message.clone());
        let mut sockets = self.sockets.borrow_mut();
        let Some(connection) = sockets.connections.get_mut(&socket).filter(|connection| !connection.ended) else {
            return false;
        };
        match connection.client {
            Some(client) => {
                drop(sockets);
                self.to_client(client, outgoing);
            }
            None => connection.early.push(outgoing),
        }
        true
    }

    /// Sends to a client, after all that was sent before.
    fn to_client(&self, client: ClientKey, outgoing: Outgoing) {
        let delay = self.delay();
        let mut sockets = self.sockets.borrow_mut();
        let end = sockets.client_mut(client);
        end.last_out = end.last_out.max(self.agenda.micros() + delay);
        let at = end.last_out;
        drop(sockets);
        self.at(at, move |world| world.comes_to(client, outgoing));
    }

    fn comes_to(self: &Rc<Self>, client: ClientKey, outgoing: Outgoing) {
        let mut sockets = self.sockets.borrow_mut();
        let end = sockets.client_mut(client);
        if end.state != ClientState::Open {
            return;
        }
        if end.reads && end.unread.is_empty() {
            drop(sockets);
            return self.client_reads(client, outgoing);
        }
        if let Outgoing::Message(message) = &outgoing {
            end.unread_bytes += message.len();
        }
        end.unread.push_back(outgoing);
        let too_slow = (end.unread_bytes > self.outbox).then_some(end.socket).flatten();
        drop(sockets);
        if let Some((_, socket)) = too_slow {
            self.break_off(socket, &broken(SocketErrorKind::TooSlow, CloseCode::TRY_AGAIN));
        }
    }

    fn client_reads(&self, client: ClientKey, outgoing: Outgoing) {
        match outgoing {
            Outgoing::Message(message) => {
                self.note(|| format!("client {client} gets {}", message.as_text().unwrap_or("binary")));
                self.sockets.borrow_mut().client_mut(client).received.push(message.clone());
                self.observe(|observer| observer.receives(self, client, &message));
            }
            Outgoing::Close(close) => {
                self.note(|| format!("client {client} is closed with {}", close.code()));
                self.sockets.borrow_mut().client_mut(client).state = ClientState::Closed(close);
            }
        }
    }

    /// The client stops reading, or begins again.
    pub(crate) fn set_reads(self: &Rc<Self>, client: ClientKey, reads: bool) {
        let mut sockets = self.sockets.borrow_mut();
        let end = sockets.client_mut(client);
        end.reads = reads;
        end.has_stalled |= !reads;
        if !reads {
            return;
        }
        end.unread_bytes = 0;
        let unread = std::mem::take(&mut end.unread);
        drop(sockets);
        unread.into_iter().for_each(|outgoing| self.client_reads(client, outgoing));
    }

    pub(crate) fn client_sends(&self, client: ClientKey, message: Message) {
        self.from_client(client, Incoming::Message(message));
    }

    pub(crate) fn client_closes(&self, client: ClientKey, close: Close) {
        self.from_client(client, Incoming::End(End::Close(close)));
    }

    fn from_client(&self, client: ClientKey, incoming: Incoming) {
        let delay = self.delay();
        let mut sockets = self.sockets.borrow_mut();
        let end = sockets.client_mut(client);
        let Some((_, socket)) = end.socket.filter(|_| end.state == ClientState::Open) else { return };
        end.last_in = end.last_in.max(self.agenda.micros() + delay);
        let at = end.last_in;
        drop(sockets);
        self.at(at, move |world| {
            if let Some(connection) = world.sockets.borrow_mut().connections.get_mut(&socket) {
                connection.incoming.push_back(incoming);
            }
            world.pump(socket);
        });
    }

    /// The client has gone without a word; the host finds out after `delay`.
    pub(crate) fn client_vanishes(&self, client: ClientKey, delay: Micros) {
        let mut sockets = self.sockets.borrow_mut();
        let end = sockets.client_mut(client);
        let socket = end.socket.filter(|_| end.state == ClientState::Open);
        if matches!(end.state, ClientState::Open | ClientState::Asking) {
            end.state = ClientState::Gone;
        }
        drop(sockets);
        if let Some((_, socket)) = socket {
            self.later(delay, move |world| {
                world.break_off(socket, &broken(SocketErrorKind::Lost, CloseCode::ABNORMAL));
            });
        }
    }

    /// Hands over what has come from the client, as far as the handler keeps up.
    fn pump(self: &Rc<Self>, socket: SocketId) {
        loop {
            let next = {
                let mut sockets = self.sockets.borrow_mut();
                let Some(connection) = sockets.connections.get_mut(&socket) else { return };
                // A host that cannot stop reading at once hands over one more now and then.
                let late = self.network.borrow().weather.late;
                if connection.busy && !self.random.borrow_mut().happens(late) {
                    return;
                }
                let Some(incoming) = connection.incoming.pop_front() else { return };
                (incoming, connection.replica, connection.place.epoch)
            };
            match next {
                (Incoming::Message(message), replica, epoch) => {
                    let Some(object) = self.living_replica(replica, Some(epoch)) else { return };
                    let readiness = object.message(socket, message);
                    if let Some(connection) = self.sockets.borrow_mut().connections.get_mut(&socket) {
                        connection.busy = readiness == Readiness::Busy;
                    }
                }
                (Incoming::End(end), ..) => return self.break_off(socket, &end),
            }
        }
    }

    pub(super) fn resumed(self: &Rc<Self>, socket: SocketId) {
        if let Some(connection) = self.sockets.borrow_mut().connections.get_mut(&socket) {
            connection.busy = false;
        }
        self.pump(socket);
    }

    /// The connection has ended: its Replica hears of it, and the client if it is still there.
    fn break_off(self: &Rc<Self>, socket: SocketId, end: &End) {
        let connection = self.sockets.borrow_mut().connections.remove(&socket);
        let Some(connection) = connection.filter(|connection| !connection.ended) else { return };
        self.observe(|observer| observer.ends(socket));
        let close = match end {
            End::Close(close) => close.clone(),
            End::Error(error) => error.close().clone(),
        };
        self.note(|| format!("{:?}: socket {} ends with {}", connection.place, socket.raw(), close.code()));
        if let Some(client) = connection.client {
            self.to_client(client, Outgoing::Close(close));
        }
        let lost = matches!(end, End::Error(error) if error.is_lost());
        if lost && self.bug == Some(Bug::LeakedSeat) {
            return;
        }
        if let Some(object) = self.living_replica(connection.replica, Some(connection.place.epoch)) {
            Rc::clone(&object).closed(socket, end.clone());
            // Only the first end counts, however often a host tells.
            let again = self.random.borrow_mut().happens(self.network.borrow().weather.doubled);
            if again {
                object.closed(socket, end.clone());
            }
        }
    }

    /// The engine ends a socket.
    pub(super) fn close_socket(&self, socket: SocketId, code: CloseCode, reason: &str) {
        self.end_here(socket, Close::new(code, reason));
    }

    fn end_here(&self, socket: SocketId, close: Close) {
        let mut sockets = self.sockets.borrow_mut();
        let Some(connection) = sockets.connections.get_mut(&socket).filter(|connection| !connection.ended) else {
            return;
        };
        let outgoing = Outgoing::Close(close);
        self.note(|| format!("{:?}: socket {} is closed", connection.place, socket.raw()));
        match connection.client {
            Some(client) => {
                sockets.connections.remove(&socket);
                drop(sockets);
                self.to_client(client, outgoing);
            }
            None => {
                connection.early.push(outgoing);
                connection.ended = true;
                drop(sockets);
            }
        }
        self.observe(|observer| observer.ends(socket));
    }

    /// A life is over: the sockets that it has left open break.
    pub(super) fn sockets_of_ended(&self, place: &Rc<Place>) {
        let sockets: Vec<SocketId> = {
            let sockets = self.sockets.borrow();
            sockets.open().filter(|(_, open)| open.place.key == place.key).map(|(socket, _)| socket).collect()
        };
        for socket in sockets {
            self.end_here(socket, Close::new(CloseCode::ABNORMAL, ""));
        }
    }

    /// A guard was dropped.
    pub(super) fn given_back(self: &Rc<Self>, dropped: Dropped) {
        match dropped {
            Dropped::Seat { replica, epoch, seat } => {
                if let Some(object) = self.living_replica(replica, Some(epoch)) {
                    object.released(seat);
                }
            }
            Dropped::Socket(socket) => self.break_off(socket, &broken(SocketErrorKind::Lost, CloseCode::ABNORMAL)),
        }
    }
}
