//! To whom messages are owed, and what has become of them.

use dog::{Epoch, GroupId, ReplicaId, SocketId};

use super::{RunRecord, SocketRecord};
use crate::moment::MessageName;
use crate::owed::Owed;

impl RunRecord {
    /// Records that a whisper begins. If it succeeds, the open sockets of `client` must receive it.
    pub(crate) fn whisper_begins(&mut self, name: MessageName, group: GroupId, client: &str) {
        let owed = Owed {
            sender: Epoch::default(),
            is_to_relay: false,
            since: self.now,
            addressed: false,
            asked: false,
            sure: false,
            cuts_so_far: None,
            harmed: self.harmed,
            whispered: true,
            topic: None,
        };
        let is_meant = |record: &SocketRecord| record.is_open && record.group == Some(group) && record.client == client;
        let open = self.sockets.iter().filter(|(socket, record)| is_meant(record) && self.late.is_known(**socket));
        self.owed.extend(open.map(|(socket, _)| ((name, *socket), owed.clone())));
    }

    /// Returns what is owed for a message, with the Replica of each socket to which it is owed.
    fn owed_by(&mut self, name: MessageName) -> impl Iterator<Item = (Option<ReplicaId>, &mut Owed)> {
        let (sockets, all) = (&self.sockets, (name, SocketId::from_raw(0))..=(name, SocketId::from_raw(u64::MAX)));
        let replica = |socket| sockets.get(socket).and_then(|record: &SocketRecord| record.replica);
        self.owed.range_mut(all).map(move |((_, socket), owed)| (replica(socket), owed))
    }

    /// Records that a life has sent a message to some Replicas, over routes that lose nothing.
    pub(crate) fn addressed(&mut self, name: MessageName, sender: Epoch, is_meant: impl Fn(ReplicaId) -> bool) {
        for (_, owed) in self.owed_by(name).filter(|(replica, _)| replica.is_some_and(&is_meant)) {
            owed.addressed = true;
            if std::mem::take(&mut owed.is_to_relay) {
                owed.sender = sender;
            }
        }
    }

    /// Records that a life has ended without warning: what it had to send may be lost.
    pub(crate) fn life_is_lost(&mut self, life: Option<Epoch>) {
        self.owed.retain(|_, owed| Some(owed.sender) != life && !owed.is_to_relay);
    }

    /// Records that a Replica is asked to confirm a message.
    pub(crate) fn asked(&mut self, name: MessageName, whom: ReplicaId) {
        for (_, owed) in self.owed_by(name).filter(|(replica, _)| *replica == Some(whom)) {
            owed.asked = true;
        }
    }

    /// Records that a broadcast was confirmed. It owes nothing to the Replicas that it reports as missing, and must
    /// have reached the others.
    pub(crate) fn confirmed(&mut self, name: MessageName, missing: &[ReplicaId]) {
        let sockets = &self.sockets;
        let replica = |socket: &SocketId| sockets.get(socket).and_then(|record: &SocketRecord| record.replica);
        self.owed.retain(|(owed, socket), _| {
            *owed != name || !replica(socket).is_some_and(|replica| missing.contains(&replica))
        });
        self.owed_by(name).for_each(|(_, owed)| owed.addressed |= owed.asked);
    }

    /// Records that a whisper has ended. A whisper that failed owes nothing.
    pub(crate) fn whisper_ends(&mut self, name: MessageName, succeeded: bool) {
        self.whispers.insert(name, self.sent.get(&name.0).copied().unwrap_or_default());
        if !succeeded {
            self.owed.retain(|(owed, _), _| *owed != name);
        }
        let (healed, harmed) = (self.harmed_when_healed, self.harmed);
        self.owed_by(name).for_each(|(_, owed)| owed.sure = owed.harmed == healed && harmed == healed);
    }
}
