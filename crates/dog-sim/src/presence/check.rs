//! Checks of presence when all faults are healed: promise 19.

use std::collections::BTreeSet;

use dog::{Group, GroupId, ReplicaId};
use dog_testing::world::Micros;

use super::model::People;
use super::place::Place;
use crate::objects::Hall;
use crate::record::RunRecord;
use crate::run::Run;

/// How long it may take to ask all Groups who is there, or until all have been told.
const ANSWERED: Micros = 5_000_000;

/// Whether clients may be in their grace time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grace {
    Over,
    MayRun,
}

/// Checks the presence of all Groups.
pub(crate) struct PresenceCheck<'run> {
    run: &'run mut Run,
}

impl<'run> PresenceCheck<'run> {
    pub(crate) fn new(run: &'run mut Run) -> Self {
        Self { run }
    }

    /// The Group, and the code of each Replica with sockets, know exactly the sockets that are open, their clients and their
    /// values. Returns `false` if a promise was broken.
    pub(crate) fn check(&mut self, grace: Grace) -> bool {
        if self.run.plan().presence == 0 {
            return true;
        }
        let groups = (0..self.run.plan().groups).map(|group| format!("g{group}"));
        let places: Vec<_> = groups.flat_map(|group| Place::ALL.map(|place| (group.clone(), place))).collect();
        let asked: Vec<_> = places.into_iter().map(|of| (of, self.run.next_page())).collect();
        for ((group, place), number) in &asked {
            let topic = place.topic().unwrap_or_default();
            self.run.request(self.run.any_node(), &format!("/presence?number={number}&g={group}&topic={topic}"));
        }
        if !self.run.pass(ANSWERED) {
            return false;
        }
        for ((group, place), number) in asked {
            let mut record = self.run.witness().record();
            let of = (GroupId::from_name(Hall::NAME, &group), place);
            let outcome = is_page_right(&mut record, of, number, grace);
            record.check(19, outcome.map_err(|wrong| format!("the App asks {group} who is in {place:?}: {wrong}")));
            check_replicas(&mut record, of, grace);
        }
        self.run.is_well()
    }
}

/// Checks what the code of the Replicas knows.
fn check_replicas(record: &mut RunRecord, (group, place): (GroupId, Place), grace: Grace) {
    let Ok((people, replicas)) = open(record, group, place) else { return };
    for replica in replicas {
        let life = (replica, record.current_life(*replica.as_bytes()));
        let known = record.presence().followed(life, place).cloned();
        let known = known.ok_or_else(|| "it was told nothing".to_owned());
        let outcome = known.and_then(|known| is_right(&people, &known, grace));
        record.check(19, outcome.map_err(|wrong| format!("the code of {life:?} knows who is in {place:?}: {wrong}")));
    }
}

/// Who has open sockets in a place of a Group, and the Replicas that have sockets in the room.
fn open(record: &mut RunRecord, group: GroupId, place: Place) -> Result<(People, BTreeSet<ReplicaId>), String> {
    let (mut people, mut replicas) = (People::default(), BTreeSet::new());
    let open = record.open_sockets_of(group).map(|(socket, open)| (socket, open.client.clone(), open.replica));
    let open: Vec<_> = open.collect();
    let subscribed = place.topic().map(|topic| record.topics().subscribers(topic));
    for (socket, client, replica) in open {
        replicas.extend(replica);
        if subscribed.as_ref().is_some_and(|subscribed| !subscribed.contains(&socket)) {
            continue;
        }
        let named = record.presence().named(socket);
        let named = named.ok_or_else(|| format!("socket {} has no connection", socket.raw()))?;
        people.has(&client, named.connection(), named.value());
    }
    Ok((people, replicas))
}

/// What the App has read under this number.
fn is_page_right(
    record: &mut RunRecord,
    (group, place): (GroupId, Place),
    number: u64,
    grace: Grace,
) -> Result<(), String> {
    let (open, known, now) = (open(record, group, place)?.0, record.presence().page_of(number)?, record.now);
    is_right(&open, &known, grace)?;
    let stays = known.in_grace().find(|client| record.presence().was_disconnected(group, client, now));
    stays.map_or(Ok(()), |client| Err(format!("{client} was disconnected, and is there: {known:?}")))
}

fn is_right(open: &People, known: &People, grace: Grace) -> Result<(), String> {
    let is_right = match grace {
        Grace::Over => known == open,
        Grace::MayRun => known.connected() == *open,
    };
    if is_right { Ok(()) } else { Err(format!("open is {open:?}, and known is {known:?}")) }
}
