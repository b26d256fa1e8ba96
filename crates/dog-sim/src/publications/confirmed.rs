//! How many sockets a confirmed publication is said to have reached: [`Confirmations`]. Promise 17.

use std::collections::{BTreeMap, BTreeSet};

use dog::{GroupId, SocketId};

/// A confirmed publication that is under way.
#[derive(Debug)]
struct Confirmed {
    of: (GroupId, &'static str),
    /// The sockets that may take it: those that were subscribed at any time since the call.
    may_take: BTreeSet<SocketId>,
    /// Those that were subscribed before the call.
    subscribed: BTreeSet<SocketId>,
    /// Those that have received it. If they have, they have taken it before its Replica has answered.
    has_come: BTreeSet<SocketId>,
}

/// The confirmed publications that are under way. Part of the [`LogRecord`](super::record::LogRecord).
#[derive(Debug, Default)]
pub(crate) struct Confirmations {
    all: BTreeMap<u64, Confirmed>,
    /// Sockets that have resumed, or were told of a loss: what they receive may come later than it was taken by others.
    uneven: BTreeSet<SocketId>,
}

impl Confirmations {
    /// A confirmed publication is called for. These sockets may take it, and those are subscribed.
    pub(crate) fn begins(
        &mut self,
        number: u64,
        of: (GroupId, &'static str),
        (may_take, subscribed): (BTreeSet<SocketId>, BTreeSet<SocketId>),
    ) {
        self.all.insert(number, Confirmed { of, may_take, subscribed, has_come: BTreeSet::new() });
    }

    /// A socket subscribes: from now on it may take what is published.
    pub(crate) fn subscribes(&mut self, socket: SocketId, of: (GroupId, &str)) {
        let all = self.all.values_mut().filter(|confirmed| confirmed.of == of);
        all.for_each(|confirmed| _ = confirmed.may_take.insert(socket));
    }

    /// What this socket receives from now on may come late.
    pub(crate) fn is_uneven(&mut self, socket: SocketId) {
        self.uneven.insert(socket);
    }

    /// Whether what this socket receives may come late.
    pub(crate) fn may_be_late(&self, socket: SocketId) -> bool {
        self.uneven.contains(&socket)
    }

    /// Whether this is one that is under way.
    pub(crate) fn awaits(&self, number: u64) -> bool {
        self.all.contains_key(&number)
    }

    /// A socket has received a publication. Its client has always read.
    pub(crate) fn hears(&mut self, number: u64, socket: SocketId) {
        if let Some(confirmed) = self.all.get_mut(&number) {
            confirmed.has_come.insert(socket);
        }
    }

    /// The publication is said to have reached this many sockets. `is_counted`: whether the Replica of a socket has said so. Returns
    /// those that may have taken it.
    ///
    /// # Errors
    /// They are too many, or too few.
    pub(crate) fn ends(
        &mut self,
        number: u64,
        sockets: usize,
        is_counted: impl Fn(SocketId) -> bool,
    ) -> Result<BTreeSet<SocketId>, String> {
        let Some(Confirmed { may_take, subscribed, has_come, .. }) = self.all.remove(&number) else {
            return Ok(BTreeSet::new());
        };
        // Who has subscribed later may get it with what its Replica has missed.
        let taken = has_come
            .intersection(&subscribed)
            .filter(|socket| !self.uneven.contains(socket) && is_counted(**socket))
            .count();
        if sockets > may_take.len() {
            return Err(format!(
                "publication {number} has reached {sockets} sockets, and only {may_take:?} may take it"
            ));
        }
        if sockets < taken {
            return Err(format!("publication {number} has reached {sockets} sockets, and {has_come:?} have it"));
        }
        Ok(may_take)
    }

    /// It has failed.
    pub(crate) fn fails(&mut self, number: u64) {
        self.all.remove(&number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKETS: [SocketId; 3] = [SocketId::from_raw(1), SocketId::from_raw(2), SocketId::from_raw(3)];

    fn confirmations() -> Confirmations {
        let (mut all, group) = (Confirmations::default(), GroupId::from_name("hall", "g"));
        all.begins(7, (group, "a"), ([SOCKETS[0]].into(), [SOCKETS[0]].into()));
        all.subscribes(SOCKETS[1], (group, "a"));
        all.subscribes(SOCKETS[2], (group, "b"));
        all.hears(7, SOCKETS[0]);
        all.hears(7, SOCKETS[1]);
        all.hears(8, SOCKETS[2]);
        all
    }

    #[test]
    fn the_count_lies_between_those_that_have_it_and_those_that_may() {
        for (sockets, is_right) in [(0, false), (1, true), (2, true), (3, false)] {
            assert_eq!(confirmations().ends(7, sockets, |_| true).is_ok(), is_right, "{sockets}");
        }
        confirmations().ends(7, 0, |_| false).unwrap();
        let mut late = confirmations();
        late.is_uneven(SOCKETS[0]);
        assert_eq!(late.ends(7, 0, |_| true), Ok([SOCKETS[0], SOCKETS[1]].into()));
        let mut failed = confirmations();
        failed.fails(7);
        failed.ends(7, 9, |_| true).unwrap();
    }
}
