//! To which sockets a message that is sent is owed: [`Sent`].

use dog::{Epoch, GroupId, SocketId};

use crate::moment::MessageName;
use crate::owed::Owed;
use crate::record::{RunRecord, SocketRecord};

/// A message that a life of a Replica sends now, at once and to no particular client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent<'a> {
    name: MessageName,
    group: GroupId,
    topic: Option<&'a str>,
    /// If a Group has to pass it on: the life that has asked it to.
    relayed_for: Option<u64>,
}

impl<'a> Sent<'a> {
    pub(crate) fn new(name: MessageName, group: GroupId) -> Self {
        Self { name, group, topic: None, relayed_for: None }
    }

    /// The same for the subscribers of a topic only.
    pub(crate) fn to_topic(self, topic: &'a str) -> Self {
        Self { topic: Some(topic), ..self }
    }

    /// The same for one that the Group passes on, for this life.
    pub(crate) fn over_its_group(self, life: u64) -> Self {
        Self { relayed_for: Some(life), ..self }
    }

    /// The message is owed to those open sockets of the Group that `is_meant` selects. It is told whether a socket belongs to
    /// the life that sends.
    pub(crate) fn is_owed(&self, record: &mut RunRecord, is_meant: impl Fn(SocketId, &SocketRecord, bool) -> bool) {
        let Self { name, group, topic, relayed_for } = *self;
        let is_sound = record.harmed == record.harmed_when_healed;
        let sure = is_sound && (relayed_for.is_none() || record.relays_are_sure());
        let open = record.open_sockets_of(group).filter(|(_, socket)| socket.opened);
        let own = open.map(|(id, socket)| (id, socket, socket.is_of_life(name.0)));
        let meant = own.filter(|(id, socket, own)| is_meant(*id, socket, *own));
        let meant: Vec<_> = meant.map(|(id, _, own)| (id, own)).collect();
        for (socket, own) in meant {
            let owed = Owed {
                sender: Epoch::from_raw(relayed_for.unwrap_or(name.0)),
                is_to_relay: relayed_for.is_some(),
                since: record.now,
                addressed: own,
                asked: false,
                sure: own || sure,
                cuts_so_far: record.cuts(),
                harmed: record.harmed,
                whispered: false,
                topic: topic.map(str::to_owned),
            };
            record.checks.count(owed.promise());
            record.owed.insert((name, socket), owed);
        }
    }
}
