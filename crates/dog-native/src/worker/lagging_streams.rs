//! Event streams for which senders are held back: [`LaggingStreams`].

use std::collections::HashMap;

use dog::SocketId;
use dog_engine::StreamBacklog;

/// Numbers that no socket has: see [`Connections::insert`](crate::connection::Connections::insert).
const STREAM: u64 = 1 << 63;

/// The event streams of one worker whose clients have to catch up.
#[derive(Default)]
pub(super) struct LaggingStreams {
    next: u64,
    streams: HashMap<SocketId, Lagging>,
}

struct Lagging {
    backlog: StreamBacklog,
    taken: u64,
}

/// What was found out about an event stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Its client has caught up.
    CaughtUp,
    /// Its client has taken something.
    Progress,
    /// Its client has taken nothing.
    Nothing,
}

impl LaggingStreams {
    /// Adds an event stream. Returns a number for it, which no socket has.
    pub(super) fn insert(&mut self, backlog: StreamBacklog) -> SocketId {
        self.next += 1;
        let number = SocketId::from_raw(STREAM | self.next);
        self.streams.insert(number, Lagging { taken: backlog.taken(), backlog });
        number
    }

    /// Removes those whose clients have caught up.
    pub(super) fn take_caught_up(&mut self) -> Vec<SocketId> {
        self.streams.extract_if(|_, stream| stream.backlog.has_caught_up()).map(|(number, _)| number).collect()
    }

    /// Looks at all of them.
    pub(super) fn look(&mut self) -> Vec<(SocketId, Found)> {
        let look = |(number, stream): (&SocketId, &mut Lagging)| {
            let taken = stream.backlog.taken();
            let found = match std::mem::replace(&mut stream.taken, taken) {
                _ if stream.backlog.has_caught_up() => Found::CaughtUp,
                before if before != taken => Found::Progress,
                _ => Found::Nothing,
            };
            (*number, found)
        };
        self.streams.iter_mut().map(look).collect()
    }

    /// Nobody is held back for it any more.
    pub(super) fn remove(&mut self, number: SocketId) -> Option<StreamBacklog> {
        self.streams.remove(&number).map(|stream| stream.backlog)
    }
}
