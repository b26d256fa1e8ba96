//! Sockets whose clients are not known yet, and until when each has to be assigned: [`Assigning`].

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;

use dog::{ClientId, CloseCode, SocketId, Timestamp};

use crate::message::AssignRule;
use crate::socket_map::SocketMap;

/// The sockets of one Replica that have to be assigned.
#[derive(Debug, Default)]
pub(super) struct Assigning {
    rule: Cell<AssignRule>,
    /// When each has to be assigned, in that order. Sockets that were assigned or have ended stay until then.
    due: RefCell<VecDeque<(Timestamp, SocketId)>>,
    /// Whether a task waits for the first of them.
    watches: Cell<bool>,
    /// Of the life before, until the rule is known.
    restored: RefCell<Vec<SocketId>>,
    /// Clients that were assigned, until the last handlers of their sockets have ended.
    assigned: RefCell<SocketMap<ClientId>>,
}

impl Assigning {
    /// A socket of the life before is still open.
    pub(super) fn restore(&self, socket: SocketId, client: &ClientId) {
        if client.awaits_assignment() {
            self.restored.borrow_mut().push(socket);
        }
    }

    /// The Group tells its policy. Returns the sockets of the life before that have to be assigned: their time begins again.
    pub(super) fn set_rule(&self, rule: AssignRule) -> Vec<SocketId> {
        self.rule.set(rule);
        self.restored.take()
    }

    /// The client of a socket has become known.
    pub(super) fn assigned(&self, socket: SocketId, client: &ClientId) {
        self.assigned.borrow_mut().insert(socket, client.clone());
    }

    /// The client that was assigned to a socket.
    pub(super) fn client(&self, socket: SocketId) -> Option<ClientId> {
        self.assigned.borrow().get(&socket).cloned()
    }

    /// The last handler of a socket has ended.
    pub(super) fn forget(&self, socket: SocketId) {
        self.assigned.borrow_mut().remove(&socket);
    }

    pub(super) fn code(&self) -> CloseCode {
        CloseCode::from_raw(self.rule.get().code)
    }

    /// A socket has to be assigned. Returns whether a task has to be started that waits for that.
    pub(super) fn watch(&self, socket: SocketId, now: Timestamp) -> bool {
        let mut due = self.due.borrow_mut();
        // The rule may have become stricter. The order stays.
        let at = (now + self.rule.get().within).max(due.back().map_or(now, |(at, _)| *at));
        due.push_back((at, socket));
        !self.watches.replace(true)
    }

    /// How long until the next socket is due. `None` if there is none: then the task ends.
    pub(super) fn next(&self, now: Timestamp) -> Option<Duration> {
        let next = self.due.borrow().front().map(|(at, _)| at.since(now));
        self.watches.set(next.is_some());
        next
    }

    /// The sockets that are due.
    pub(super) fn take_due(&self, now: Timestamp) -> Vec<SocketId> {
        let mut due = self.due.borrow_mut();
        let count = due.iter().take_while(|(at, _)| *at <= now).count();
        due.drain(..count).map(|(_, socket)| socket).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    const fn socket(number: u64) -> SocketId {
        SocketId::from_raw(number)
    }

    #[test]
    fn each_socket_is_due_in_its_time_and_one_task_waits_for_all() {
        let assigning = Assigning::default();
        assert!(assigning.watch(socket(1), at(0)));
        assert!(!assigning.watch(socket(2), at(3)));
        assert_eq!(assigning.next(at(4)), Some(Duration::from_secs(6)));
        assert_eq!(assigning.take_due(at(9)), []);
        assert_eq!(assigning.take_due(at(10)), [socket(1)]);
        assert_eq!(assigning.next(at(10)), Some(Duration::from_secs(3)));
        assert_eq!(assigning.take_due(at(20)), [socket(2)]);
        assert_eq!(assigning.next(at(20)), None);
        assert!(assigning.watch(socket(3), at(20)), "the task has ended");
    }

    #[test]
    fn a_stricter_rule_does_not_change_the_order() {
        let assigning = Assigning::default();
        assigning.watch(socket(1), at(0));
        assigning.set_rule(AssignRule { within: Duration::from_secs(1), code: 4001 });
        assigning.watch(socket(2), at(1));
        assert_eq!(assigning.take_due(at(10)), [socket(1), socket(2)]);
        assert_eq!(assigning.code().as_u16(), 4001);
    }
}
