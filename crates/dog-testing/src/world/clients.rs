//! The clients at the other end of connections: what they ask, send and read. What goes either way arrives in order.

use std::collections::VecDeque;
use std::rc::Rc;

use dog::internal::SocketErrorKind;
use dog::{ClientId, Close, CloseCode, Message, Request, Response, SocketId};
use dog_engine::Upgrade;
use dog_engine::address::ReplicaAddress;
use dog_engine::host::End;
use http::StatusCode;

use super::World;
use super::agenda::Micros;
use super::sockets::{Incoming, Outgoing, broken};

/// Tells clients' connections apart.
pub type ClientKey = usize;

/// On a response of a Replica: whose seat it was answered from.
#[derive(Clone, Debug)]
pub(super) struct SeatOf(pub(super) ClientId);

/// Where a client's connection stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientState {
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
pub struct Client {
    pub state: ClientState,
    pub socket: Option<(ReplicaAddress, SocketId)>,
    /// Whom the App has identified it as, once it has a socket.
    pub identified: Option<ClientId>,
    pub response: Option<Response>,
    pub received: Vec<Message>,
    pub reads: bool,
    /// Whether it has ever stopped reading.
    pub has_stalled: bool,
    unread: VecDeque<Outgoing>,
    unread_bytes: usize,
    last_in: Micros,
    last_out: Micros,
}

impl Client {
    /// One that has asked for something.
    fn asking() -> Self {
        Self {
            state: ClientState::Asking,
            socket: None,
            identified: None,
            response: None,
            received: Vec::new(),
            reads: true,
            has_stalled: false,
            unread: VecDeque::new(),
            unread_bytes: 0,
            last_in: 0,
            last_out: 0,
        }
    }
}

impl World {
    /// A client asks for something at a node.
    pub fn ask(self: &Rc<Self>, node: usize, request: Request) -> ClientKey {
        let client = self.sockets.borrow_mut().add_client(Client::asking());
        self.note(|| format!("client {client} asks node {node} for {}", request.uri()));
        let delay = self.delay();
        self.later(delay, move |world| {
            let front = world.fronts.borrow().get(node).cloned().filter(|_| !world.is_down(node));
            let (Some(front), Some(place)) = (front, world.apps.borrow().get(node).cloned()) else {
                return world.answered(client, dog::text_response(StatusCode::SERVICE_UNAVAILABLE, "the node is down"));
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
        let seat = response.extensions_mut().remove::<SeatOf>();
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
        end.identified = seat.map(|seat| seat.0);
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
    pub fn give_up(&self, client: ClientKey) {
        let mut sockets = self.sockets.borrow_mut();
        let end = sockets.client_mut(client);
        if end.state == ClientState::Asking {
            end.state = ClientState::Gone;
        }
    }

    /// Sends to a client, after all that was sent before.
    pub(super) fn to_client(&self, client: ClientKey, outgoing: Outgoing) {
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
    pub fn set_reads(self: &Rc<Self>, client: ClientKey, reads: bool) {
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

    pub fn client_sends(&self, client: ClientKey, message: Message) {
        self.comes_from(client, Incoming::Message(message));
    }

    pub fn client_closes(&self, client: ClientKey, close: Close) {
        self.comes_from(client, Incoming::End(End::Close(close)));
    }

    fn comes_from(&self, client: ClientKey, incoming: Incoming) {
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
    pub fn client_vanishes(&self, client: ClientKey, delay: Micros) {
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
}
