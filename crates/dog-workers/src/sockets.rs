//! The open sockets of one Replica: [`ObjectSockets`]. The runtime holds them while the object is out of memory. The number, the
//! client and the user's attachment of each socket are in the attachment that the runtime keeps with it.

use std::collections::HashMap;

use bytes::Bytes;
use dog::{ClientId, CloseCode, Message, SocketId};
use js_sys::{Array, Map, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};

use crate::platform::{self, OPEN, ObjectState, WebSocket, WebSocketPair, error_text};
use crate::storage::SqliteStorage;

/// Attachments of users up to this size, in bytes, stay with the socket; larger ones go into the storage. The runtime keeps
/// 16 KiB per socket, which must also hold the number and the client.
const WITH_SOCKET: usize = 12 * 1024;

/// Longest reason in a close frame, in bytes.
const LONGEST_REASON: usize = 123;

/// One socket.
struct Entry {
    socket: WebSocket,
    client: ClientId,
    attachment: Option<Bytes>,
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
        let Some((id, client, attachment)) = attached(&socket).filter(|_| socket.ready_state() == OPEN) else { return };
        let attachment = attachment.or_else(|| storage.attachment(id).ok().flatten());
        self.next = self.next.max(id.raw() + 1);
        self.insert(id, Entry { socket, client, attachment, other_end: None, closed: false });
    }

    fn insert(&mut self, id: SocketId, entry: Entry) {
        let number = number(id).into();
        self.numbers.set(&entry.socket, &number);
        self.open.set(&number, &entry.socket);
        self.entries.insert(id, entry);
    }

    /// The open sockets, in the order of their numbers.
    pub(crate) fn open(&self) -> Vec<(SocketId, ClientId)> {
        let open = self.entries.iter().filter(|(_, entry)| !entry.closed);
        let mut open: Vec<_> = open.map(|(id, entry)| (*id, entry.client.clone())).collect();
        open.sort_unstable_by_key(|(id, _)| id.raw());
        open
    }

    /// Adds a socket. If the runtime accepts no more, the socket is not open.
    pub(crate) fn add(&mut self, client: &ClientId) -> (SocketId, Result<(), JsValue>) {
        let id = SocketId::from_raw(self.next);
        self.next += 1;
        (id, self.try_add(id, client))
    }

    fn try_add(&mut self, id: SocketId, client: &ClientId) -> Result<(), JsValue> {
        let pair = WebSocketPair::new()?;
        let (theirs, ours) = (pair.get(0), pair.get(1));
        // The runtime allows tags of 256 characters, and can list the sockets with a tag.
        let tags = Array::of1(&JsValue::from_str(client.as_str()));
        self.state.accept_web_socket(&ours, &tags)?;
        let client = client.clone();
        attach(&ours, id, &client, None)?;
        self.insert(id, Entry { socket: ours, client, attachment: None, other_end: Some(theirs), closed: false });
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
        if entry.attachment.is_some_and(|attachment| attachment.len() > WITH_SOCKET) {
            drop(storage.set_attachment(id, None));
        }
    }

    /// Forgets the sockets that were closed from here.
    pub(crate) fn forget_closed(&mut self, storage: &SqliteStorage) {
        let closed = std::mem::take(&mut self.closed);
        closed.into_iter().for_each(|id| self.forget(id, storage));
    }

    pub(crate) fn attachment(&self, id: SocketId) -> Option<Bytes> {
        self.entries.get(&id)?.attachment.clone()
    }

    pub(crate) fn set_attachment(&mut self, id: SocketId, attachment: Bytes, storage: &SqliteStorage) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let (inside, outside) =
            if attachment.len() > WITH_SOCKET { (None, Some(&attachment)) } else { (Some(&attachment), None) };
        let kept = attach(&entry.socket, id, &entry.client, inside.map(|bytes| &bytes[..]));
        let was_outside = entry.attachment.as_ref().is_some_and(|bytes| bytes.len() > WITH_SOCKET);
        let stored = if outside.is_some() || was_outside {
            storage.set_attachment(id, outside.map(|bytes| &bytes[..]))
        } else {
            Ok(())
        };
        if let Err(thrown) = kept {
            tracing::error!("an attachment could not be stored: {}", error_text(&thrown));
        }
        if let Err(error) = stored {
            tracing::error!("an attachment could not be stored: {error}");
        }
        entry.attachment = Some(attachment);
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

fn attach(socket: &WebSocket, id: SocketId, client: &ClientId, attachment: Option<&[u8]>) -> Result<(), JsValue> {
    let bytes = attachment.map_or(JsValue::NULL, |bytes| Uint8Array::from(bytes).into());
    let record = Array::of3(&number(id).into(), &client.as_str().into(), &bytes);
    socket.serialize_attachment(&record)
}

fn attached(socket: &WebSocket) -> Option<(SocketId, ClientId, Option<Bytes>)> {
    let record: Array = socket.deserialize_attachment().ok()?.dyn_into().ok()?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "written by `attach`")]
    let id = SocketId::from_raw(record.get(0).as_f64()? as u64);
    let client = ClientId::new(record.get(1).as_string()?).ok()?;
    let attachment = record.get(2).dyn_into::<Uint8Array>().ok().map(|bytes| bytes.to_vec().into());
    Some((id, client, attachment))
}
