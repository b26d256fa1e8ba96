//! Connections, as the host has them: what it hands over to Replicas, and what they hand over to it.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use bytes::Bytes;
use dog::internal::SocketErrorKind;
use dog::{Close, CloseCode, Message, SocketError, SocketId};
use dog_engine::address::{Object, ReplicaAddress};
use dog_engine::host::{End, Readiness};

use super::World;
use super::bugs::Bug;
use super::clients::{Client, ClientKey};
use super::place::{Dropped, Place};

/// Goes to a client.
#[derive(Clone, Debug)]
pub(super) enum Outgoing {
    Message(Message),
    Close(Close),
}

/// Comes from a client.
pub(super) enum Incoming {
    Message(Message),
    End(End),
}

/// A socket, as its Replica's host has it.
pub struct Connection {
    pub place: Rc<Place>,
    pub replica: ReplicaAddress,
    pub client: Option<ClientKey>,
    /// What was sent before the client was there.
    pub(super) early: Vec<Outgoing>,
    /// Ended by its Replica before the client was there.
    pub(super) ended: bool,
    pub(super) incoming: VecDeque<Incoming>,
    busy: bool,
}
#[derive(Default)]
pub struct Sockets {
    next: u64,
    pub(super) connections: BTreeMap<SocketId, Connection>,
    clients: Vec<Client>,
    attachments: BTreeMap<SocketId, Bytes>,
}

impl Sockets {
    pub(super) fn attachment(&self, socket: SocketId) -> Option<Bytes> {
        self.attachments.get(&socket).cloned()
    }

    pub(super) fn set_attachment(&mut self, socket: SocketId, attachment: Bytes) {
        self.attachments.insert(socket, attachment);
    }

    /// The sockets that are open, as the host knows them.
    pub fn open(&self) -> impl Iterator<Item = (SocketId, &Connection)> {
        self.connections.iter().filter(|(_, connection)| !connection.ended).map(|(socket, open)| (*socket, open))
    }

    pub fn connection(&self, socket: SocketId) -> Option<&Connection> {
        self.connections.get(&socket).filter(|connection| !connection.ended)
    }

    /// What clients have received stays.
    pub(super) fn clear(&mut self) -> impl Sized + use<> {
        std::mem::take(&mut self.connections)
    }

    pub fn client(&self, key: ClientKey) -> &Client {
        &self.clients[key]
    }

    pub fn client_mut(&mut self, key: ClientKey) -> &mut Client {
        &mut self.clients[key]
    }

    pub(super) fn add_client(&mut self, client: Client) -> ClientKey {
        self.clients.push(client);
        self.clients.len() - 1
    }
}

/// An end by nobody's wish.
pub(super) fn broken(kind: SocketErrorKind, code: CloseCode) -> End {
    End::Error(SocketError::new(kind, Close::new(code, "")))
}

impl World {
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

    /// Hands over what has come from the client, as far as the handler keeps up.
    pub(super) fn pump(self: &Rc<Self>, socket: SocketId) {
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
    pub(super) fn break_off(self: &Rc<Self>, socket: SocketId, end: &End) {
        let connection = self.sockets.borrow_mut().connections.remove(&socket);
        let Some(connection) = connection.filter(|connection| !connection.ended) else { return };
        self.forget_attachment(socket);
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
        self.forget_attachment(socket);
        self.observe(|observer| observer.ends(socket));
    }

    /// When the Replica has been told of the end, which still asks for it.
    fn forget_attachment(&self, socket: SocketId) {
        self.later(0, move |world| drop(world.sockets.borrow_mut().attachments.remove(&socket)));
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
