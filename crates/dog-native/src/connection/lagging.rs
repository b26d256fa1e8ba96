//! The sockets that lag: [`Lagging`].
//!
//! A socket lags if much is still queued for it although the kernel was offered all of it, and if that was sent in a
//! short time. Its client gets some time to read it. During this time, sockets whose clients send much to the same
//! Group are not read. A client that reads normally needs a few milliseconds. A client that reads nothing or too little
//! is slow: senders do not wait for it any more. Nor do they wait for a client that falls behind gradually, so that a
//! slow member does not slow down its room.

use std::collections::HashMap;

use dog::SocketId;
use dog_engine::address::GroupAddress;

/// A client is slow after this many checks in a row (1 s) in which it took nothing.
const IDLE_CHECKS: u8 = 20;

/// A client is slow after this many checks (5 s) even if it takes something.
const MAX_CHECKS: u8 = 100;

/// The sockets of one worker that lag, and their Groups.
#[derive(Default)]
pub(super) struct Lagging {
    sockets: HashMap<SocketId, Lag>,
    /// How many sockets lag in each Group.
    groups: HashMap<GroupAddress, usize>,
    /// Groups in which the first socket has begun to lag (`true`) or the last has stopped (`false`), since this was
    /// last taken.
    news: Vec<(GroupAddress, bool)>,
}

struct Lag {
    group: GroupAddress,
    /// Whether the kernel has taken some bytes since the last check.
    progressed: bool,
    /// The number of checks in a row in which the kernel took nothing.
    idle_checks: u8,
    checks: u8,
}

impl Lagging {
    pub(super) fn begin(&mut self, socket: SocketId, group: GroupAddress) {
        self.sockets.insert(socket, Lag { group, progressed: false, idle_checks: 0, checks: 0 });
        let count = self.groups.entry(group).or_default();
        *count += 1;
        if *count == 1 {
            self.news.push((group, true));
        }
    }

    pub(super) fn end(&mut self, socket: SocketId) {
        let Some(Lag { group, .. }) = self.sockets.remove(&socket) else { return };
        let Some(count) = self.groups.get_mut(&group) else { return };
        *count -= 1;
        if *count == 0 {
            self.groups.remove(&group);
            self.news.push((group, false));
        }
    }

    /// Notes that the kernel has taken some of what is queued for the socket.
    pub(super) fn progressed(&mut self, socket: SocketId) {
        if let Some(lag) = self.sockets.get_mut(&socket) {
            lag.progressed = true;
        }
    }

    /// Checks a socket. Returns whether its client is slow. It counts checks instead of measuring time, so that no
    /// client becomes slow while this process is stopped.
    pub(super) fn check(&mut self, socket: SocketId) -> bool {
        let Some(lag) = self.sockets.get_mut(&socket) else { return false };
        lag.checks += 1;
        lag.idle_checks = if std::mem::take(&mut lag.progressed) { 0 } else { lag.idle_checks + 1 };
        lag.idle_checks >= IDLE_CHECKS || lag.checks >= MAX_CHECKS
    }

    pub(super) fn sockets(&self) -> Vec<SocketId> {
        self.sockets.keys().copied().collect()
    }

    #[inline]
    pub(super) fn any(&self) -> bool {
        !self.sockets.is_empty()
    }

    pub(super) fn any_of(&self, group: GroupAddress) -> bool {
        self.groups.contains_key(&group)
    }

    #[inline]
    pub(super) fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    pub(super) fn take_news(&mut self) -> Vec<(GroupAddress, bool)> {
        std::mem::take(&mut self.news)
    }
}
