//! Publications in the form in which the sockets of a Replica get them: the user's `render`, once for all sockets of one format.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use dog::internal::{LogEpoch, LogTopic, Logs};
use dog::{Format, MAX_FORMATS, Message, Replica, SocketId};

use crate::socket_map::SocketMap;

/// How many bytes of rendered publications a Replica keeps for sockets that come back.
const MOST_KEPT: usize = 1024 * 1024;

/// What a rendered publication counts in addition to its bytes.
const KEEPING: usize = 128;

/// The formats of sockets, and what was rendered for them. A socket of the default format costs nothing here.
#[derive(Default)]
pub(super) struct Rendering {
    formats: RefCell<SocketMap<Format>>,
    kept: RefCell<BTreeMap<LogTopic, OfLog>>,
    bytes: Cell<usize>,
}

/// What was rendered of one log.
struct OfLog {
    epoch: LogEpoch,
    messages: BTreeMap<(u64, Format), Message>,
}

impl Rendering {
    pub(super) fn set_format(&self, socket: SocketId, format: Format) {
        if format != Format::DEFAULT {
            self.formats.borrow_mut().insert(socket, format);
        }
    }

    pub(super) fn format(&self, socket: SocketId) -> Format {
        self.formats.borrow().get(&socket).copied().unwrap_or_default()
    }

    /// Whether all sockets have the default format.
    pub(super) fn has_one_format(&self) -> bool {
        self.formats.borrow().is_empty()
    }

    /// The sockets of each format that some of them have.
    pub(super) fn by_format(&self, sockets: &[SocketId]) -> Vec<(Format, Vec<SocketId>)> {
        let mut all: [Vec<SocketId>; MAX_FORMATS as usize] = Default::default();
        let formats = self.formats.borrow();
        for socket in sockets {
            let format = formats.get(socket).copied().unwrap_or_default();
            all[usize::from(format.number())].push(*socket);
        }
        let all = (0..MAX_FORMATS).map(Format::new).zip(all);
        all.filter(|(_, sockets)| !sockets.is_empty()).collect()
    }

    /// The socket has ended.
    pub(super) fn forget(&self, socket: SocketId) {
        self.formats.borrow_mut().remove(&socket);
    }

    /// The Replica is idle, or its life has ended.
    pub(super) fn shrink(&self) {
        self.kept.borrow_mut().clear();
        self.bytes.set(0);
    }

    pub(super) fn find(&self, topic: &LogTopic, epoch: &LogEpoch, offset: u64, format: Format) -> Option<Message> {
        let kept = self.kept.borrow();
        let of_log = kept.get(topic).filter(|of_log| of_log.epoch == *epoch)?;
        of_log.messages.get(&(offset, format)).cloned()
    }

    pub(super) fn keep(&self, topic: &LogTopic, epoch: &LogEpoch, offset: u64, (format, message): (Format, &Message)) {
        let bytes = message.len() + KEEPING;
        if self.bytes.get() + bytes > MOST_KEPT {
            self.shrink();
        }
        self.bytes.update(|all| all + bytes);
        let mut kept = self.kept.borrow_mut();
        let new = || OfLog { epoch: epoch.clone(), messages: BTreeMap::new() };
        let of_log = kept.entry(topic.clone()).or_insert_with(new);
        if of_log.epoch != *epoch {
            *of_log = new();
        }
        of_log.messages.insert((offset, format), message.clone());
    }
}

/// Whether the publications of this kind of Replica are rendered.
pub(super) const fn renders<R: Replica>() -> bool {
    R::RENDERS && Logs::ON
}
