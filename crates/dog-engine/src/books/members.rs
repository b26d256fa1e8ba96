//! Who belongs to the cluster: entering, joining, parking, losing; and the view that Replicas have of it.

use std::collections::HashMap;
use std::sync::Arc;

use dog::{Epoch, ReplicaId, Timestamp};

use super::{Books, Member};
use crate::address::{NodeId, View, ViewVersion};
use crate::message::Report;

/// How a Replica stands with its Group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its siblings are being told of it. It is given tickets, which are answered once it has joined.
    Joining,
    /// It serves.
    Active,
    /// It did not answer when it should have. It stays a member, and is given no clients until it is heard again.
    Suspected,
    /// The Group has woken and does not know its seats yet. It is given no clients.
    Uncounted,
    /// It was empty for long: out of fan-out, first to be used again.
    Parked,
}

impl Standing {
    pub(super) fn takes_clients(self) -> bool {
        matches!(self, Self::Active | Self::Joining)
    }
}

/// What a Group keeps of a member from one life to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberRecord {
    /// Who.
    pub replica: ReplicaId,
    /// Whether it is parked.
    pub parked: bool,
}

impl Books {
    /// What has to be kept of all members.
    pub fn records(&self) -> impl Iterator<Item = MemberRecord> + '_ {
        let mut members: Vec<_> = self.members.iter().map(|(replica, member)| (member.order, *replica)).collect();
        // The order decides between equals: restored, it should be the same.
        members.sort_unstable();
        members.into_iter().filter_map(|(_, replica)| self.record(replica))
    }

    /// What has to be kept of one.
    pub fn record(&self, replica: ReplicaId) -> Option<MemberRecord> {
        let standing = self.standing(replica)?;
        Some(MemberRecord { replica, parked: standing == Standing::Parked })
    }

    /// Members that live at that node, but parked ones.
    pub fn seated_at(&self, node: NodeId) -> Vec<ReplicaId> {
        let there = self.members.iter().filter(|(_, member)| {
            member.node == node && !matches!(member.standing, Standing::Joining | Standing::Parked)
        });
        let mut there: Vec<_> = there.map(|(replica, member)| (member.order, *replica)).collect();
        there.sort_unstable();
        there.into_iter().map(|(_, replica)| replica).collect()
    }

    pub(super) fn enter(&mut self, replica: ReplicaId, standing: Standing) {
        let order = self.next_order;
        self.next_order += 1;
        let member = Member {
            standing,
            node: NodeId::default(),
            epoch: Epoch::default(),
            sequence: 0,
            occupied: 0,
            promised: 0,
            counted: false,
            clients: HashMap::new(),
            order,
            emptiness: None,
            heard: Timestamp::default(),
            missed: None,
            ask_at: None,
            served: false,
            examined: false,
        };
        self.members.insert(replica, member);
        match standing {
            Standing::Parked => self.parked.push_back(replica),
            _ => drop(self.unparked.insert(order, replica)),
        }
        self.uncounted += usize::from(standing == Standing::Uncounted);
        // Puts it into the order of placement.
        self.change(replica, |_| ());
    }

    /// Takes a Replica into the cluster, new or parked: it has to be told [`view`](Books::view), and its siblings too,
    /// before [`joined`](Books::joined). `false` of one that is a member already.
    ///
    /// It is to live at the default node: [`admit_at`](Books::admit_at) names another.
    pub fn admit(&mut self, replica: ReplicaId, now: Timestamp) -> bool {
        self.admit_at(replica, NodeId::default(), now)
    }

    /// [`admit`](Books::admit), with the node where it is best begun. Where it lives in the end it says itself.
    pub fn admit_at(&mut self, replica: ReplicaId, node: NodeId, now: Timestamp) -> bool {
        match self.standing(replica) {
            None => self.enter(replica, Standing::Joining),
            Some(Standing::Parked) => {
                self.parked.retain(|other| *other != replica);
                self.stand(replica, Standing::Joining);
            }
            Some(_) => return false,
        }
        self.change(replica, |member| {
            member.node = node;
            member.examined = false;
        });
        self.note_emptiness(replica, now);
        self.renew_view();
        true
    }

    /// A Replica has joined: it and its siblings know each other, or those that do not have missed the deadline. It
    /// answers with a census: it may be in another life than when it was parked, or not have been empty after all.
    pub fn joined(&mut self, census: &Report, now: Timestamp) {
        let replica = census.replica;
        if self.standing(replica) == Some(Standing::Joining) {
            self.report(census, now);
            self.stand(replica, Standing::Active);
            self.note_emptiness(replica, now);
        }
    }

    /// A Replica is a member again, or still, by its own word: it has woken in the census's life, and these are all its
    /// seats. One that is parked and empty stays so, whatever woke it: else whoever asks it something that crossed its
    /// parking would bring it back.
    pub fn enrolled(&mut self, census: &Report, now: Timestamp) {
        let (replica, epoch) = (census.replica, census.epoch);
        if self.standing(replica) == Some(Standing::Parked) && census.occupied == 0 {
            self.begin_life(replica, epoch, now);
            // It has told its whole truth all the same: what this life reports next is a change to that.
            self.change(replica, |member| member.counted |= member.epoch == epoch);
            return;
        }
        self.admit_at(replica, census.node, now);
        self.begin_life(replica, epoch, now);
        if self.members.get(&replica).is_none_or(|member| member.epoch > epoch) {
            return;
        }
        self.report(census, now);
        // The answer tells it the view.
        self.change(replica, |member| {
            member.counted = true;
            member.missed = None;
            member.heard = now;
        });
        if self.standing(replica) != Some(Standing::Joining) {
            self.stand(replica, Standing::Active);
        }
        self.note_emptiness(replica, now);
    }

    /// A Replica could not be begun: it is taken out, and its tickets with it.
    pub fn remove(&mut self, replica: ReplicaId, now: Timestamp) {
        self.clear_seats(replica, now);
        let tickets: Vec<_> =
            self.tickets.iter().filter(|(_, promise)| promise.replica == replica).map(|(id, _)| *id).collect();
        for ticket in tickets {
            self.drop_ticket(ticket, now);
        }
        if let Some(member) = self.members.remove(&replica) {
            self.by_use.remove(&member.place(replica));
            self.stands(replica, member.order, member.standing, None);
            self.parked.retain(|other| *other != replica);
            self.asks.retain(|(_, other)| *other != replica);
            self.renew_view();
        }
    }

    /// A member did not answer when it should have.
    pub fn suspect(&mut self, replica: ReplicaId) {
        if matches!(self.standing(replica), Some(Standing::Active | Standing::Uncounted)) {
            self.stand(replica, Standing::Suspected);
        }
    }

    /// A Replica has answered in this life of it. If that is a later one than was known, the seats of the earlier are gone
    /// with it, and what the later one has must be asked: then it is among the [`uncounted`](Books::uncounted).
    pub fn known(&mut self, replica: ReplicaId, epoch: Epoch, now: Timestamp) {
        if self.members.get(&replica).is_some_and(|member| member.epoch < epoch) {
            self.begin_life(replica, epoch, now);
            self.change(replica, |member| member.counted = false);
        }
    }

    /// A life of a Replica is over, and its sockets with it. It stays a member: its next life begins when it is needed.
    pub fn lost(&mut self, replica: ReplicaId, epoch: Epoch, now: Timestamp) {
        if self.members.get(&replica).is_some_and(|member| member.epoch <= epoch) {
            self.begin_life(replica, Epoch::from_raw(epoch.as_u64() + 1), now);
        }
    }

    /// Whatever an earlier life said does not count any more.
    pub(super) fn begin_life(&mut self, replica: ReplicaId, epoch: Epoch, now: Timestamp) {
        if self.members.get(&replica).is_none_or(|member| member.epoch >= epoch) {
            return;
        }
        self.clear_seats(replica, now);
        self.change(replica, |member| {
            member.epoch = epoch;
            member.sequence = 0;
        });
        self.note_emptiness(replica, now);
    }

    fn clear_seats(&mut self, replica: ReplicaId, now: Timestamp) {
        let left = self.change(replica, |member| {
            member.occupied = 0;
            std::mem::take(&mut member.clients)
        });
        for client in left.into_iter().flat_map(HashMap::into_keys) {
            self.clients.seated(&client, replica, false, now);
        }
    }

    /// Parks members that have been empty for long; these have changed, and so has the view if there are any.
    pub(super) fn park(&mut self, now: Timestamp) -> Vec<ReplicaId> {
        let mut parked = Vec::new();
        while let Some((since, emptiness, replica)) = self.empty.front().copied() {
            if since + self.policy.park_after > now {
                break;
            }
            self.empty.pop_front();
            let Some(member) = self.members.get_mut(&replica) else { continue };
            if member.emptiness != Some(emptiness) {
                continue;
            }
            // The entry is gone: if it is not parked now, its emptiness is noted anew when it stands as active again.
            member.emptiness = None;
            if member.standing == Standing::Active {
                self.stand(replica, Standing::Parked);
                self.parked.push_back(replica);
                parked.push(replica);
            }
        }
        if !parked.is_empty() {
            self.renew_view();
        }
        parked
    }

    /// Those that are parked, the longest parked first.
    pub fn parked(&self) -> impl Iterator<Item = ReplicaId> {
        self.parked.iter().copied()
    }

    pub(super) fn stand(&mut self, replica: ReplicaId, standing: Standing) {
        self.change(replica, |member| member.standing = standing);
    }

    pub(super) fn renew_view(&mut self) {
        let change = if self.view.version.epoch == self.epoch { self.view.version.change + 1 } else { 1 };
        self.view = View {
            version: ViewVersion { epoch: self.epoch, change },
            members: self.unparked.values().copied().collect::<Arc<[_]>>(),
        };
    }
}
