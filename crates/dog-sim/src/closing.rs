//! Checks, when all faults are healed, what happens when a Replica takes no more newcomers: promises 3 and 8.

use std::collections::BTreeMap;

use dog::{ReplicaId, SocketId};
use dog_testing::world::{ClientKey, Micros};

use crate::run::{PLACED, Run};
use crate::seat_record::Door;

/// The time in which a client gets a ticket if no new Replica is needed, and in which its Group learns that a Replica has closed.
const HEARD: Micros = 200_000;

/// A Replica that has just closed.
struct Closed {
    replica: ReplicaId,
    /// The client that has closed it.
    keeper: ClientKey,
    /// The sockets that are open there, with their clients.
    sockets: BTreeMap<SocketId, String>,
}

/// Checks the closing of Replicas.
pub(crate) struct ClosingCheck<'run> {
    run: &'run mut Run,
}

impl<'run> ClosingCheck<'run> {
    pub(crate) fn new(run: &'run mut Run) -> Self {
        Self { run }
    }

    /// In each Group, a Replica closes while a newcomer has a ticket for it. The newcomer gets a seat elsewhere, and its ticket is
    /// given back. Those who are there stay, and another newcomer is placed elsewhere at once. Then the Replica opens. Returns
    /// `false` if a promise was broken.
    pub(crate) fn check(&mut self) -> bool {
        self.run.world().note(|| "— a Replica closes to newcomers —".into());
        (0..self.run.plan().groups).all(|group| self.check_group(&format!("g{group}")))
    }

    fn check_group(&mut self, group: &str) -> bool {
        let name = self.run.newcomer();
        let late = self.run.connect(0, &format!("/gate?u={name}&g={group}"));
        if !self.run.pass(HEARD) {
            return false;
        }
        let closed = self.close_home_of(&name);
        let has_closed = self.run.pass(HEARD);
        self.run.witness().gate().open();
        let Some(closed) = closed.filter(|closed| has_closed && self.is_closed(closed.replica)) else {
            return has_closed && self.run.pass(PLACED);
        };
        self.run.pass(PLACED)
            && self.check_elsewhere(late, &name, &closed)
            && self.check_books(group, &closed)
            && self.check_newcomer(group, &closed)
            && self.open(group, &closed)
    }

    /// Closes the Replica for which a client has a ticket, if there is a socket to tell it.
    fn close_home_of(&mut self, name: &str) -> Option<Closed> {
        let replica = self.run.witness().record().seats().last_reserved(name)?;
        let is_there = |client: &ClientKey| self.run.replica_of(*client) == Some(replica);
        let keeper = self.run.open_clients().into_iter().find(is_there)?;
        let sockets = self.sockets_at(replica);
        self.run.command(keeper, "close-to-newcomers", "");
        Some(Closed { replica, keeper, sockets })
    }

    fn sockets_at(&self, replica: ReplicaId) -> BTreeMap<SocketId, String> {
        let record = self.run.witness().record();
        let there = record.sockets.iter().filter(|(_, socket)| socket.is_open && socket.replica == Some(replica));
        there.map(|(id, socket)| (*id, socket.client.clone())).collect()
    }

    fn is_closed(&self, replica: ReplicaId) -> bool {
        let mut record = self.run.witness().record();
        let life = record.current_life(*replica.as_bytes());
        record.seats().door((replica, life)) == Door::Closed
    }

    fn check_elsewhere(&self, client: ClientKey, name: &str, closed: &Closed) -> bool {
        let replica = self.run.replica_of(client);
        let wrong = || format!("{:?} is closed, and the newcomer {name} is on {replica:?}", closed.replica);
        let is_elsewhere = replica.is_some_and(|replica| replica != closed.replica);
        self.expect(3, if is_elsewhere { Ok(()) } else { Err(wrong()) })
    }

    /// The Group knows that it is closed, all sockets are there still, and the ticket is gone.
    fn check_books(&self, group: &str, closed: &Closed) -> bool {
        let sockets = self.sockets_at(closed.replica);
        let has_kept = || format!("{:?} has closed, and its sockets are {sockets:?}", closed.replica);
        let is_kept = if sockets == closed.sockets { Ok(()) } else { Err(has_kept()) };
        let Some(books) = self.run.books(group) else { return self.expect(3, is_kept) };
        let member = books.iter().find(|member| member.replica == closed.replica);
        let is_known = member.is_some_and(|member| member.is_closed);
        let is_free = member.is_none_or(|member| member.reserved == 0);
        let wrong = |what| format!("{what}: the books say {member:?}");
        self.expect(3, is_kept)
            && self.expect(3, if is_known { Ok(()) } else { Err(wrong("a Replica is closed")) })
            && self.expect(8, if is_free { Ok(()) } else { Err(wrong("a ticket that was refused is reserved")) })
    }

    /// Another newcomer is placed elsewhere.
    fn check_newcomer(&mut self, group: &str, closed: &Closed) -> bool {
        let name = self.run.newcomer();
        let Some((newcomer, _)) = self.run.place(group, &name) else { return false };
        self.check_elsewhere(newcomer, &name, closed)
    }

    fn open(&mut self, group: &str, closed: &Closed) -> bool {
        self.run.command(closed.keeper, "open-to-newcomers", "");
        if !self.run.pass(HEARD) {
            return false;
        }
        let books = self.run.books(group);
        let mut members = books.iter().flatten();
        let is_open = !members.any(|member| member.replica == closed.replica && member.is_closed);
        let wrong = || format!("{:?} has opened, and the books say {books:?}", closed.replica);
        self.expect(3, if is_open { Ok(()) } else { Err(wrong()) })
    }

    fn expect(&self, promise: u8, outcome: Result<(), String>) -> bool {
        let is_kept = outcome.is_ok();
        self.run.witness().record().check(promise, outcome);
        is_kept
    }
}
