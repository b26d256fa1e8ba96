//! Checks what the confirmed verbs of Groups report, also while faults happen: [`Reports`]. Promise 6.
//!
//! When such a verb begins, the books of its Group name members with open sockets. If the same life of the Group still runs
//! when the verb ends, and a socket was open throughout in the life of its Replica that the books mean, and that is still
//! the current one, then the Replica has passed the message to its sockets (or closed the socket, if the verb disconnects
//! its client), or the report names the Replica as one that was not heard. No loss and no delay is an excuse: that the books
//! are right is another promise.

use std::collections::BTreeMap;

use dog::{Epoch, Group, GroupId, ReplicaId, SocketId};
use dog_engine::address::{GroupAddress, Object, ReplicaAddress};
use dog_engine::books::{MemberSeats, MemberState};
use dog_testing::world::{Driver, World};

use crate::objects::Hall;
use crate::record::{RunRecord, SocketRecord};
use crate::verb_record::{GroupVerb, Reach};
use crate::witness::Witness;

fn address(world: &World, group: GroupId) -> Option<GroupAddress> {
    Some(GroupAddress { class: world.class(Hall::NAME)?, group })
}

/// Returns the books of a Group, if it is awake.
pub(crate) fn books(world: &World, group: GroupId) -> Option<Vec<MemberSeats>> {
    match world.driver(Object::Group(address(world, group)?))? {
        Driver::Group(driver) => driver.members(),
        Driver::Replica(_) => None,
    }
}

/// The current life of an object.
fn life(world: &World, object: Object) -> Option<Epoch> {
    world.current(object).map(|running| running.life.epoch())
}

/// A socket that a verb must reach, and the life of its Replica.
#[derive(Clone, Copy, Debug)]
struct Meant {
    socket: SocketId,
    replica: ReplicaId,
    life: Epoch,
}

/// What a verb must reach.
#[derive(Debug)]
struct Expected {
    verb: GroupVerb,
    group: GroupAddress,
    life: Epoch,
    sockets: Vec<Meant>,
}

/// The verbs that have begun and have not ended.
#[derive(Debug, Default)]
pub(crate) struct Reports(BTreeMap<u64, Expected>);

impl Reports {
    /// Looks at the verbs that have begun and ended in the last step.
    pub(crate) fn check(&mut self, world: &World, witness: &Witness) {
        let mut record = witness.record();
        let (begun, ended) = record.verbs().take_news();
        for (number, verb) in begun {
            let expected = expected(world, &mut record, verb);
            expected.into_iter().for_each(|expected| drop(self.0.insert(number, expected)));
        }
        for number in ended {
            let Some(expected) = self.0.remove(&number) else { continue };
            let outcome = expected.check(world, &mut record, number);
            record.check(6, outcome);
        }
    }
}

fn expected(world: &World, record: &mut RunRecord, verb: GroupVerb) -> Option<Expected> {
    let group = address(world, verb.group)?;
    // A life whose node was struck off may have got the verb: its own node asks it first.
    if world.superseded_lives().iter().any(|(object, _)| *object == Object::Group(group)) {
        return None;
    }
    let mut members = books(world, verb.group)?;
    members.retain(|member| member.state != MemberState::Parked && member.occupied > 0);
    let is_meant = |member: &MemberSeats, socket: &SocketRecord| {
        let counts =
            |client: &str| member.clients.iter().any(|(known, count)| known.as_str() == client && count.sockets > 0);
        let is_its = verb.client.as_ref().is_none_or(|client| *client == socket.client && counts(client));
        socket.replica == Some(member.replica) && socket.is_of_life(member.epoch.as_u64()) && is_its
    };
    let mut sockets = Vec::new();
    for (socket, open) in record.open_sockets_of(verb.group) {
        let member = members.iter().find(|member| is_meant(member, open));
        let meant = member.map(|member| Meant { socket, replica: member.replica, life: member.epoch });
        sockets.extend(meant);
    }
    if verb.client.is_some() {
        sockets.retain(|meant| record.late().is_known(meant.socket));
    }
    Some(Expected { verb, group, life: life(world, Object::Group(group))?, sockets })
}

impl Expected {
    fn check(&self, world: &World, record: &mut RunRecord, number: u64) -> Result<(), String> {
        if life(world, Object::Group(self.group)) != Some(self.life) {
            return Ok(());
        }
        let Some(missing) = record.verbs().missing(number) else { return Ok(()) };
        for meant in self.sockets.iter().filter(|meant| !missing.contains(&meant.replica)) {
            let replica = ReplicaAddress { group: self.group, replica: meant.replica };
            let is_open = record.sockets.get(&meant.socket).is_some_and(|socket| socket.is_open);
            let is_same_life = life(world, Object::Replica(replica)) == Some(meant.life);
            let is_missed = match self.verb.reach {
                Reach::Sends => !record.verbs().was_handed(number, meant.life),
                Reach::Closes => true,
            };
            if is_open && is_same_life && is_missed {
                return Err(format!("verb {number} {:?} names {missing:?}, and did not reach {meant:?}", self.verb));
            }
        }
        Ok(())
    }
}
