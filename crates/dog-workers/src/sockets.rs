//! The open sockets of one Replica: [`ObjectSockets`]. The runtime holds them while the object is out of memory. The number and
//! the client of each socket are in the attachment that the runtime keeps with it, and beside them its [`SocketRecord`].

use std::collections::HashMap;

use bytes::Bytes;
use dog::internal::{ConnectionId, Kind, Topic};
use dog::{ClientId, CloseCode, Error, Format, Message, SocketId};
use dog_engine::host::KeptSocket;
use dog_engine::wire;
use js_sys::{Array, Map, Uint8Array};
use serde::{Deserialize, Serialize};
use wasm_bindgen::{JsCast, JsValue};

use crate::platform::{self, OPEN, ObjectState, WebSocket, WebSocketPair, error_text};
use crate::storage::SqliteStorage;

/// Records up to this size, in bytes, stay with the socket; larger ones go into the storage. The runtime keeps 16 KiB per socket,
/// which must also hold the number and the client.
const WITH_SOCKET: usize = 12 * 1024;

/// Longest reason in a close frame, in bytes.
const LONGEST_REASON: usize = 123;

/// The first byte of a stored [`SocketRecord`]. Increase it with each change of the fields, and read the earlier ones too: a
/// socket outlives deploys.
const FORMAT: u8 = 3;

/// The first byte of one of a socket that has the default format for publications, and of one that was stored by a release that
/// knew no other.
const DEFAULT_FORMAT: u8 = 2;

/// The first byte of one that was stored without a presence.
const WITHOUT_PRESENCE: u8 = 1;

/// What must outlive the object's time in memory, for each socket, beside its client. It is stored as messages are sent: for
/// MessagePack, which everything else is stored as, a program needs 20 KB more.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct SocketRecord {
    /// What the App has said about the client.
    identity: Option<Bytes>,
    /// The user's attachment.
    attachment: Option<Bytes>,
    /// The topics that the socket is subscribed to.
    topics: Vec<Topic>,
    /// Its name and its value in the presence of its Group.
    presence: Option<(ConnectionId, Bytes)>,
    /// In which form it gets publications. It is stored before the rest if it is not the default.
    #[serde(skip)]
    format: Format,
}

/// One of the format [`WITHOUT_PRESENCE`].
#[derive(Deserialize)]
struct EarlierRecord {
    identity: Option<Bytes>,
    attachment: Option<Bytes>,
    topics: Vec<Topic>,
}

/// One socket.
struct Entry {
    socket: WebSocket,
    client: ClientId,
    record: SocketRecord,
    /// Whether the record is in the storage.
    stored: bool,
    /// The client's end of the pair, until the response takes it.
    other_end: Option<WebSocket>,
    /// Nothing is sent to it any more. It stays for its last handler only.
    closed: bool,
}

/// The open sockets, and those whose last handler has not started yet.
pub(crate) struct ObjectSockets {
    state: ObjectState,
    entries: HashMap<SocketId, Entry>,
    /// The number of each socket, by the runtime's object for it.
    numbers: Map,
    /// The open sockets by their numbers, in JavaScript, so that a broadcast loops there.
    open: Map,
    /// Sockets that were closed from here and not forgotten yet.
    closed: Vec<SocketId>,
    next: u64,
}

impl ObjectSockets {
    /// The sockets that the runtime holds.
    pub(crate) fn restore(state: ObjectState, storage: &SqliteStorage) -> Self {
        let (numbers, open) = (Map::new(), Map::new());
        let mut sockets = Self { state, entries: HashMap::new(), numbers, open, closed: Vec::new(), next: 1 };
        for socket in sockets.state.get_web_sockets().iter() {
            sockets.take_back(socket.unchecked_into(), storage);
        }
        sockets
    }

    fn take_back(&mut self, socket: WebSocket, storage: &SqliteStorage) {
        // The runtime may list sockets that are closing.
        let Some((id, client, with_socket)) = attached(&socket).filter(|_| socket.ready_state() == OPEN) else {
            return;
        };
        let in_storage = if with_socket.is_none() { storage.socket_record(id).ok().flatten() } else { None };
        let (stored, bytes) = (in_storage.is_some(), with_socket.or(in_storage));
        let record = bytes.map_or(Ok(SocketRecord::default()), |bytes| SocketRecord::decode(&bytes));
        let record = record.unwrap_or_else(|error| {
            tracing::error!("the attachment of a socket cannot be read: {error}");
            SocketRecord::default()
        });
        self.next = self.next.max(id.raw() + 1);
        self.insert(id, Entry { socket, client, record, stored, other_end: None, closed: false });
    }

    fn insert(&mut self, id: SocketId, entry: Entry) {
        let number = number(id).into();
        self.numbers.set(&entry.socket, &number);
        self.open.set(&number, &entry.socket);
        self.entries.insert(id, entry);
    }

    /// The open sockets, in the order of their numbers.
    pub(crate) fn open(&self) -> Vec<KeptSocket> {
        let open = self.entries.iter().filter(|(_, entry)| !entry.closed).map(|(id, entry)| KeptSocket {
            socket: *id,
            client: entry.client.clone(),
            identity: entry.record.identity.clone(),
            topics: entry.record.topics.clone(),
            presence: entry.record.presence.clone(),
            format: entry.record.format,
        });
        let mut open: Vec<_> = open.collect();
        open.sort_unstable_by_key(|open| open.socket.raw());
        open
    }

    /// Adds a socket. If the runtime accepts no more, the socket is not open.
    pub(crate) fn add(&mut self, client: &ClientId, identity: Option<&Bytes>) -> (SocketId, Result<(), JsValue>) {
        let id = SocketId::from_raw(self.next);
        self.next += 1;
        (id, self.try_add(id, client, identity))
    }

    fn try_add(&mut self, id: SocketId, client: &ClientId, identity: Option<&Bytes>) -> Result<(), JsValue> {
        let pair = WebSocketPair::new()?;
        let (theirs, ours) = (pair.get(0), pair.get(1));
        // The runtime allows tags of 256 characters, and can list the sockets with a tag.
        let tags = Array::of1(&JsValue::from_str(client.as_str()));
        self.state.accept_web_socket(&ours, &tags)?;
        let client = client.clone();
        let record = SocketRecord { identity: identity.cloned(), ..SocketRecord::default() };
        // An identity alone is never too large to stay with the socket.
        attach(&ours, id, &client, record.encoded().as_deref())?;
        let other_end = Some(theirs);
        self.insert(id, Entry { socket: ours, client, record, stored: false, other_end, closed: false });
        Ok(())
    }

    /// The client's end of the pair.
    pub(crate) fn take_other_end(&mut self, id: SocketId) -> Option<WebSocket> {
        self.entries.get_mut(&id)?.other_end.take()
    }

    /// The number of a socket that the runtime names. `None` if the socket has ended.
    pub(crate) fn find(&self, socket: &WebSocket) -> Option<SocketId> {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "set by `insert`")]
        let id = self.numbers.get(socket).as_f64().map(|number| SocketId::from_raw(number as u64))?;
        self.entries.get(&id).filter(|entry| !entry.closed).map(|_| id)
    }

    /// Sends one message to several sockets, with one JavaScript value and one call. Returns how many accepted it.
    pub(crate) fn deliver(&self, message: &Message, to: &[SocketId], except: &[SocketId]) -> usize {
        if to.is_empty() {
            return 0;
        }
        let numbers: Vec<f64> = to.iter().filter(|id| !except.contains(id)).map(|id| number(*id)).collect();
        platform::send_to_all(&self.open, &numbers, &value(message)) as usize
    }

    /// Closes a socket. It stays until it is [forgotten](Self::forget), for its last handler.
    pub(crate) fn close(&mut self, id: SocketId, code: CloseCode, reason: &str) {
        if let Some(entry) = self.entries.get_mut(&id).filter(|entry| !entry.closed) {
            entry.closed = true;
            self.closed.push(id);
            self.open.delete(&number(id).into());
            let reason = &reason[..reason.floor_char_boundary(LONGEST_REASON)];
            if let Err(thrown) = entry.socket.close(code.as_u16(), reason) {
                tracing::debug!("a socket could not be closed: {}", error_text(&thrown));
            }
        }
    }

    /// Forgets a socket whose last handler has started.
    pub(crate) fn forget(&mut self, id: SocketId, storage: &SqliteStorage) {
        let Some(entry) = self.entries.remove(&id) else { return };
        self.numbers.delete(&entry.socket);
        self.open.delete(&number(id).into());
        if entry.stored {
            drop(storage.set_socket_record(id, None));
        }
    }

    /// Forgets the sockets that were closed from here.
    pub(crate) fn forget_closed(&mut self, storage: &SqliteStorage) {
        let closed = std::mem::take(&mut self.closed);
        closed.into_iter().for_each(|id| self.forget(id, storage));
    }

    pub(crate) fn attachment(&self, id: SocketId) -> Option<Bytes> {
        self.entries.get(&id)?.record.attachment.clone()
    }

    pub(crate) fn set_client(&mut self, id: SocketId, client: &ClientId, storage: &SqliteStorage) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.client = client.clone();
        entry.keep(id, storage);
    }

    pub(crate) fn set_attachment(&mut self, id: SocketId, attachment: Bytes, storage: &SqliteStorage) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.record.attachment = Some(attachment);
        entry.keep(id, storage);
    }

    pub(crate) fn set_topics(&mut self, id: SocketId, topics: Vec<Topic>, storage: &SqliteStorage) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.record.topics = topics;
        entry.keep(id, storage);
    }

    pub(crate) fn set_presence(&mut self, id: SocketId, presence: (ConnectionId, Bytes), storage: &SqliteStorage) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.record.presence = Some(presence);
        entry.keep(id, storage);
    }

    pub(crate) fn set_format(&mut self, id: SocketId, format: Format, storage: &SqliteStorage) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.record.format = format;
        entry.keep(id, storage);
    }
}

impl SocketRecord {
    /// `None` if there is nothing in it.
    fn encoded(&self) -> Option<Bytes> {
        let is_empty = self.identity.is_none() && self.attachment.is_none() && self.topics.is_empty();
        if is_empty && self.presence.is_none() && self.format == Format::DEFAULT {
            return None;
        }
        let first = match self.format {
            Format::DEFAULT => vec![DEFAULT_FORMAT],
            format => vec![FORMAT, format.number()],
        };
        // It consists of bytes and names, which can always be serialised.
        wire::append(self, first).ok()
    }

    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        match bytes.split_first() {
            Some((&DEFAULT_FORMAT, record)) => wire::read(record),
            Some((&FORMAT, [format, record @ ..])) => {
                Ok(Self { format: Format::from_stored(*format), ..wire::read(record)? })
            }
            Some((&WITHOUT_PRESENCE, record)) => {
                let EarlierRecord { identity, attachment, topics } = wire::read(record)?;
                Ok(Self { identity, attachment, topics, ..Self::default() })
            }
            _ => Err(Error::new(Kind::Encoding, "it was written by another release")),
        }
    }
}

impl Entry {
    /// Writes the record to where it outlives the object's time in memory.
    fn keep(&mut self, id: SocketId, storage: &SqliteStorage) {
        let record = self.record.encoded();
        let (with_socket, in_storage) = if record.as_ref().is_some_and(|record| record.len() > WITH_SOCKET) {
            (None, record)
        } else {
            (record, None)
        };
        let kept = attach(&self.socket, id, &self.client, with_socket.as_deref());
        let stored = if in_storage.is_some() || self.stored {
            storage.set_socket_record(id, in_storage.as_deref())
        } else {
            Ok(())
        };
        self.stored = in_storage.is_some();
        if let Err(thrown) = kept {
            tracing::error!("what belongs to a socket could not be stored: {}", error_text(&thrown));
        }
        if let Err(error) = stored {
            tracing::error!("what belongs to a socket could not be stored: {error}");
        }
    }
}

fn value(message: &Message) -> JsValue {
    match message.as_text() {
        Some(text) => text.into(),
        None => Uint8Array::from(message.as_bytes()).into(),
    }
}

/// The number for JavaScript.
#[allow(clippy::cast_precision_loss, reason = "sockets are counted, and stay far below 2^53")]
fn number(id: SocketId) -> f64 {
    id.raw() as f64
}

fn attach(socket: &WebSocket, id: SocketId, client: &ClientId, record: Option<&[u8]>) -> Result<(), JsValue> {
    let record = record.map_or(JsValue::NULL, |bytes| Uint8Array::from(bytes).into());
    let attachment = Array::of3(&number(id).into(), &client.as_str().into(), &record);
    socket.serialize_attachment(&attachment)
}

fn attached(socket: &WebSocket) -> Option<(SocketId, ClientId, Option<Bytes>)> {
    let attachment: Array = socket.deserialize_attachment().ok()?.dyn_into().ok()?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "written by `attach`")]
    let id = SocketId::from_raw(attachment.get(0).as_f64()? as u64);
    let client = ClientId::of_any_kind(&attachment.get(1).as_string()?).ok()?;
    let record = attachment.get(2).dyn_into::<Uint8Array>().ok().map(|bytes| bytes.to_vec().into());
    Some((id, client, record))
}
