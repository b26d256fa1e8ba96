//! Checks of the logs when all faults are healed: promise 17.

use std::collections::BTreeSet;

use dog::{Group, GroupId, SocketId};
use dog_testing::world::ClientState;

use super::entry_of;
use super::logs_of_run::PUBLISHED;
use crate::objects::Hall;
use crate::run::Run;

/// Checks the logs of all Groups.
pub(crate) struct LogCheck<'run> {
    run: &'run mut Run,
}

impl<'run> LogCheck<'run> {
    pub(crate) fn new(run: &'run mut Run) -> Self {
        Self { run }
    }

    /// Publishes to each topic, so that each loss shows.
    pub(crate) fn publish(&mut self) {
        if self.run.plan().publications == 0 {
            return;
        }
        for group in 0..self.run.plan().groups {
            for topic in PUBLISHED {
                self.run.request(self.run.any_node(), &format!("/publish?do=publish-to-all&topic={topic}&g=g{group}"));
            }
        }
    }

    /// Sockets whose clients read have all that their logs have, as long as the life of their Group goes on.
    pub(crate) fn check(&mut self) {
        self.check_transactions();
        let reading = self.reading();
        let mut record = self.run.witness().record();
        for group in 0..self.run.plan().groups {
            let group = GroupId::from_name(Hall::NAME, &format!("g{group}"));
            let (_, life) = record.now_of(group);
            for topic in PUBLISHED {
                if record.logs().is_of_life((group, topic), life) {
                    let outcome = record.logs().check_complete((group, topic), |socket| reading.contains(&socket));
                    record.check(17, outcome);
                }
            }
        }
    }

    /// What transactions have published is in the logs if their entries are on disk, and only then.
    fn check_transactions(&self) {
        let world = self.run.world();
        let objects = world.known_objects();
        let has_entry = |group: GroupId, number| {
            let object = objects.iter().find(|object| object.id() == group.as_bytes());
            object.is_some_and(|object| world.stored(*object, &entry_of(number)).is_some())
        };
        self.run.witness().record().check_transactions(has_entry);
    }

    fn reading(&self) -> BTreeSet<SocketId> {
        let (world, streams) = (self.run.world(), self.run.streams());
        let is_open = |client| world.client_state(client) == ClientState::Open;
        let open = world.open_sockets().into_iter();
        let reads = open.filter(|open| streams.is_read(open.socket).unwrap_or(open.client.is_some_and(is_open)));
        reads.map(|open| open.socket).collect()
    }
}
