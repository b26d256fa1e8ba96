//! Sockets for which much waits although the kernel was offered all of it. If that was sent in a short while, their clients
//! have some time to take it. Meanwhile the sockets of those who send much to the same Group are not read. A client that
//! reads takes a few milliseconds. One that takes nothing, or too little, is slow: nobody waits for it any more. Neither does
//! anyone for a client that has fallen behind little by little, so that a slow member does not slow down its room.

use std::collections::HashMap;

use dog::internal::SocketErrorKind;
use dog::{CloseCode, SocketId};
use dog_engine::address::GroupAddress;

use super::outbox::Pace;
use super::record::Phase;
use super::table::Connections;
use crate::config::{Config, SlowConsumer};

/// Looks at a client that takes nothing, before it is slow: a second.
const STILL: u8 = 20;

/// Looks at one that takes something and does not get through with it, before it is slow: five seconds.
const LOOKS: u8 = 100;

/// The sockets that lag, and the Groups that they are of.
#[derive(Default)]
pub(super) struct Lagging {
    sockets: HashMap<SocketId, Lag>,
    /// How many lag in each Group.
    groups: HashMap<GroupAddress, usize>,
    /// Groups in which the first began to lag, or the last no longer does, since somebody asked.
    news: Vec<(GroupAddress, bool)>,
}

struct Lag {
    group: GroupAddress,
    /// Whether the kernel has taken something since the last look.
    progressed: bool,
    /// Looks in a row that have found that nothing was taken.
    still: u8,
    looks: u8,
}

impl Lagging {
    fn begin(&mut self, socket: SocketId, group: GroupAddress) {
        self.sockets.insert(socket, Lag { group, progressed: false, still: 0, looks: 0 });
        let count = self.groups.entry(group).or_default();
        *count += 1;
        if *count == 1 {
            self.news.push((group, true));
        }
    }

    fn end(&mut self, socket: SocketId) {
        let Some(Lag { group, .. }) = self.sockets.remove(&socket) else { return };
        let Some(count) = self.groups.get_mut(&group) else { return };
        *count -= 1;
        if *count == 0 {
            self.groups.remove(&group);
            self.news.push((group, false));
        }
    }
}

impl Connections {
    /// Whether any socket lags.
    pub(crate) fn any_lags(&self) -> bool {
        !self.lagging.sockets.is_empty()
    }

    /// Whether one of that Group does.
    pub(crate) fn lags(&self, group: GroupAddress) -> bool {
        self.lagging.groups.contains_key(&group)
    }

    /// Whether there is anything to [take](Self::take_lag_news).
    pub(crate) fn has_lag_news(&self) -> bool {
        !self.lagging.news.is_empty()
    }

    /// Groups in which sockets have begun to lag, or do so no longer, in this order.
    pub(crate) fn take_lag_news(&mut self) -> Vec<(GroupAddress, bool)> {
        std::mem::take(&mut self.lagging.news)
    }

    /// The kernel has taken some of what it refused before.
    pub(super) fn has_progressed(&mut self, place: usize) {
        let Some(socket) = self.at(place) else { return };
        if let Some(lag) = self.lagging.sockets.get_mut(&socket) {
            lag.progressed = true;
        }
    }

    /// The kernel was offered all that waits, and has not taken all of it.
    pub(super) fn judge_pace(&mut self, place: usize) {
        let Some(socket) = self.at(place) else { return };
        let Some(connection) = self.slab.get_mut(place) else { return };
        let waits = connection.outbox.weight();
        match connection.outbox.pace {
            Pace::KeepsUp if self.holds_back && waits > self.max_outbox / 2 && connection.phase == Phase::Open => {
                if !connection.outbox.is_burst(self.moment) {
                    connection.outbox.pace = Pace::Slow;
                    return;
                }
                let Some(replica) = &connection.replica else { return };
                connection.outbox.pace = Pace::Lags;
                self.lagging.begin(socket, replica.address().group);
            }
            Pace::Lags | Pace::Slow if waits <= self.max_outbox / 4 => {
                connection.outbox.pace = Pace::KeepsUp;
                self.lagging.end(socket);
            }
            _ => {}
        }
    }

    /// The socket is not open any more.
    pub(super) fn lags_no_more(&mut self, socket: SocketId) {
        if self.any_lags() {
            self.lagging.end(socket);
        }
        if let Some(connection) = self.get(socket) {
            connection.outbox.pace = Pace::Slow;
        }
    }

    /// Looks once more at those that lag. Looks are counted, not time: while this process stands still, nobody is slow.
    pub(crate) fn check_lagging(&mut self, config: &Config) {
        let sockets: Vec<SocketId> = self.lagging.sockets.keys().copied().collect();
        for socket in sockets {
            let Some(connection) = self.get(socket) else { continue };
            let waits = connection.outbox.weight();
            // Offered once more at the end of the turn, whatever the kernel has said of it.
            connection.outbox.blocked = false;
            self.touch(socket);
            let Some(lag) = self.lagging.sockets.get_mut(&socket) else { continue };
            lag.looks += 1;
            lag.still = if std::mem::take(&mut lag.progressed) { 0 } else { lag.still + 1 };
            if lag.still < STILL && lag.looks < LOOKS {
                continue;
            }
            self.lags_no_more(socket);
            if waits > config.max_outbox && config.slow_consumer == SlowConsumer::Close {
                self.counters.slow_consumers.one();
                self.fail(socket, SocketErrorKind::TooSlow, CloseCode::TRY_AGAIN, "too slow");
            }
        }
    }
}
