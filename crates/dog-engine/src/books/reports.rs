//! What Replicas say, and what follows if they say nothing (promises 4 and 8).

use std::collections::HashSet;

use dog::internal::Door;
use dog::{ClientId, Epoch, ReplicaId, Timestamp};

use super::Books;
use super::liveness::{ASK_AGAIN, LEASE, SilenceChecks};
use super::member::{Member, MemberState};
use super::topics::TopicAudience;
use crate::address::{NodeId, ViewVersion};
use crate::message::{InterestAnswer, InterestReport, Report, SeatCount};

/// What a report says of the whole member.
fn update(member: &mut Member, report: &Report) {
    member.sequence = report.sequence;
    member.occupied = report.occupied;
    member.door = report.door;
    member.counted = true;
    member.says_seated = report.occupied > 0;
    member.served |= report.occupied > 0 || !report.taken.is_empty();
}

impl Books {
    /// Takes a Replica's report of its seats. Returns whether to acknowledge it. Acknowledged are: what is new, what was
    /// reported before, and that a Replica without a place in the view is empty. Not acknowledged, and so reported again, are
    /// reports of an earlier life, and changes to seats that this life of the Group has not counted yet.
    ///
    /// A Replica that is parked or unknown, and has seats, is admitted: then the view has changed, and it has to be
    /// introduced.
    pub fn report(&mut self, report: &Report, now: Timestamp) -> bool {
        let replica = report.replica;
        self.begin_life(replica, report.epoch, now);
        if self.members.get(replica).is_some_and(|member| report.epoch < member.epoch) {
            return false;
        }
        self.members.change(replica, |member| {
            member.node = report.node;
            member.says_seated |= report.occupied > 0;
        });
        let is_out_of_view = matches!(self.state(replica), None | Some(MemberState::Parked));
        if is_out_of_view && report.occupied > 0 {
            // Its sockets must be reached by broadcasts.
            self.admit_at(replica, report.node, now);
            self.members.note(replica, |member| member.says_seated = true);
        }
        let Some(member) = self.members.get(replica) else { return true };
        if !(member.counted || report.census) {
            // A parked Replica that is empty is asked for a census when it joins.
            return member.state == MemberState::Parked;
        }
        let is_old = report.sequence < member.sequence || (report.sequence == member.sequence && !report.census);
        if is_old {
            return true;
        }
        if report.census {
            self.remove_missing(report, now);
        }
        for (client, count) in &report.clients {
            self.set_seats(replica, client, *count, now);
        }
        self.members.change(replica, |member| update(member, report));
        self.was_heard(replica, now);
        // After the seats: a client that used its ticket must not be without both for a moment.
        for ticket in &report.taken {
            self.release(*ticket, now);
        }
        self.members.note_emptiness(replica, now);
        // It is alive, and it has just been counted if it was not.
        if matches!(self.state(replica), Some(MemberState::Suspected | MemberState::Uncounted)) {
            self.members.set_state(replica, MemberState::Active);
        }
        true
    }

    /// Takes a Replica's report of its topics. A Replica that is parked or unknown, and has subscribers, is admitted: then the
    /// view has changed, and it has to be introduced.
    pub fn interest(&mut self, report: &InterestReport, now: Timestamp) -> InterestAnswer {
        let replica = report.replica;
        self.begin_life(replica, report.epoch, now);
        let taken = InterestAnswer::Taken { refused: Vec::new() };
        if self.members.get(replica).is_some_and(|member| report.epoch < member.epoch) {
            return taken;
        }
        let is_out_of_view = matches!(self.state(replica), None | Some(MemberState::Parked));
        if is_out_of_view {
            if !report.topics.iter().any(|(_, has_subscribers)| *has_subscribers) {
                return taken;
            }
            self.admit_at(replica, report.node, now);
            self.begin_life(replica, report.epoch, now);
            // Its subscribers are open sockets.
            self.members.note(replica, |member| member.says_seated = true);
        }
        self.interests.take(report)
    }

    /// Whether a topic is known to have subscribers.
    pub fn has_subscribers(&self, topic: &str) -> bool {
        self.interests.has_subscribers(topic)
    }

    /// The Replicas that a message of the Group for a topic has to be sent to.
    pub fn topic_audience(&self, topic: &str) -> TopicAudience {
        let interested = self.interests.interested(topic);
        let all_known = self.interests.known() == self.members.unparked_count();
        let unknown = if all_known {
            Vec::new()
        } else {
            let may_have_sockets = self
                .members
                .iter()
                .filter(|(_, member)| member.state != MemberState::Parked && (member.occupied > 0 || !member.counted));
            let mut unknown: Vec<_> = may_have_sockets.map(|(replica, _)| replica).collect();
            unknown.retain(|replica| !self.interests.is_known(*replica));
            unknown.sort_unstable();
            unknown
        };
        TopicAudience { interested, unknown }
    }

    /// A census names every client that has a seat. Clients that it does not name have none.
    fn remove_missing(&mut self, report: &Report, now: Timestamp) {
        let Some(member) = self.members.get(report.replica) else { return };
        let named: HashSet<_> = report.clients.iter().map(|(client, _)| client).collect();
        let missing: Vec<_> = member.clients.keys().filter(|client| !named.contains(client)).cloned().collect();
        for client in missing {
            self.set_seats(report.replica, &client, SeatCount::default(), now);
        }
    }

    fn set_seats(&mut self, replica: ReplicaId, client: &ClientId, count: SeatCount, now: Timestamp) {
        let before = self.members.note(replica, |member| match count.seats {
            0 => member.clients.remove(client),
            _ => member.clients.insert(client.clone(), count),
        });
        let Some(before) = before.map(Option::unwrap_or_default) else { return };
        self.clients.set_seats(client, replica, (before, count), now);
    }

    /// A Replica has joined: it and its siblings know each other, or have missed the deadline. It answers with a census,
    /// because it may be in another life than when it was parked, or may not have been empty.
    pub fn joined(&mut self, census: &Report, now: Timestamp) {
        let replica = census.replica;
        if self.state(replica) == Some(MemberState::Joining) {
            self.report(census, now);
            self.members.set_state(replica, MemberState::Active);
            self.members.note_emptiness(replica, now);
        }
    }

    /// A Replica could not join, or could not be told the view. It is removed with its tickets. If it has said that it has
    /// seats, it stays a member, because its sockets must be reached: it is asked until it answers, and gets no clients until
    /// then. Only its tickets are removed.
    pub fn could_not_join(&mut self, replica: ReplicaId, missed: ViewVersion, now: Timestamp) {
        let is_seated = self.members.get(replica).is_some_and(|member| member.says_seated);
        if !is_seated {
            return self.remove(replica, now);
        }
        self.release_all(replica, now);
        self.members.set_state(replica, MemberState::Suspected);
        self.ask_later(replica, missed, now);
    }

    /// A Replica that has woken is a member, or becomes one, and these are all its seats. A parked one that is empty stays
    /// parked, whatever woke it. Otherwise a call that crossed its parking would bring it back.
    pub fn enrolled(&mut self, census: &Report, now: Timestamp) {
        let (replica, epoch) = (census.replica, census.epoch);
        if self.state(replica) == Some(MemberState::Parked) && census.occupied == 0 {
            self.begin_life(replica, epoch, now);
            // It is counted all the same: later reports of this life are changes to this census.
            self.members.change(replica, |member| member.counted |= member.epoch == epoch);
            return;
        }
        self.admit_at(replica, census.node, now);
        self.begin_life(replica, epoch, now);
        if self.members.get(replica).is_none_or(|member| member.epoch > epoch) {
            return;
        }
        self.report(census, now);
        // The answer tells it the view.
        self.members.change(replica, |member| {
            member.counted = true;
            member.missed = None;
            member.heard = now;
        });
        if self.state(replica) != Some(MemberState::Joining) {
            self.members.set_state(replica, MemberState::Active);
        }
        self.members.note_emptiness(replica, now);
    }

    /// A member has missed a deadline.
    pub fn suspect(&mut self, replica: ReplicaId) {
        if matches!(self.state(replica), Some(MemberState::Active | MemberState::Uncounted)) {
            self.members.set_state(replica, MemberState::Suspected);
        }
    }

    /// A Replica has answered in this life. If it is a later life than the known one, the seats of the earlier life are gone,
    /// and those of the later have to be asked for: then it is among the [`uncounted`](Books::uncounted).
    pub fn answered(&mut self, replica: ReplicaId, epoch: Epoch, now: Timestamp) {
        if self.members.get(replica).is_some_and(|member| member.epoch < epoch) {
            self.begin_life(replica, epoch, now);
            self.members.change(replica, |member| member.counted = false);
        }
    }

    /// A life of a Replica is over, and its sockets with it. It stays a member: its next life begins when it is needed.
    pub fn lost(&mut self, replica: ReplicaId, epoch: Epoch, now: Timestamp) {
        if self.members.get(replica).is_some_and(|member| member.epoch <= epoch) {
            self.begin_life(replica, Epoch::from_raw(epoch.as_u64() + 1), now);
        }
    }

    /// What an earlier life has reported does not count any more.
    fn begin_life(&mut self, replica: ReplicaId, epoch: Epoch, now: Timestamp) {
        if self.members.get(replica).is_none_or(|member| member.epoch >= epoch) {
            return;
        }
        self.clear_seats(replica, now);
        self.interests.forget(replica);
        self.members.change(replica, |member| {
            member.epoch = epoch;
            member.sequence = 0;
            member.says_seated = false;
            member.door = Door::Open;
        });
        self.members.note_emptiness(replica, now);
    }

    pub(super) fn clear_seats(&mut self, replica: ReplicaId, now: Timestamp) {
        let left = self.members.change(replica, |member| {
            member.occupied = 0;
            std::mem::take(&mut member.clients)
        });
        for (client, count) in left.into_iter().flatten() {
            self.clients.set_seats(&client, replica, (count, SeatCount::default()), now);
        }
    }

    /// Members whose seats are unknown, and that have to be asked for a census: after a restart of the Group all of them.
    pub fn uncounted(&self) -> Vec<ReplicaId> {
        self.members.ordered(Member::is_uncounted)
    }

    /// Whether it is one of the [`uncounted`](Books::uncounted).
    pub fn is_uncounted(&self, replica: ReplicaId) -> bool {
        self.members.get(replica).is_some_and(Member::is_uncounted)
    }

    /// Members that live on this node, except for parked ones.
    pub fn seated_at(&self, node: NodeId) -> Vec<ReplicaId> {
        self.members.ordered(|member| {
            member.node == node && !matches!(member.state, MemberState::Joining | MemberState::Parked)
        })
    }

    /// From now on nobody is asked only because time has passed, but in [`check_silent`](Books::check_silent). This is for
    /// hosts where a timer keeps the Group in memory, and a call wakes the member.
    pub fn check_on_demand(&mut self) {
        self.checks = SilenceChecks::OnDemand { last: Timestamp::default() };
    }

    /// The opposite: members are asked when they have been silent for a lease.
    pub fn check_by_timer(&mut self) {
        self.checks = SilenceChecks::Timed;
    }

    /// A client has to be placed or found. What the books say of members that have been silent for long may be wrong by now,
    /// so they are asked next.
    pub fn check_silent(&mut self, now: Timestamp) {
        let SilenceChecks::OnDemand { last } = &mut self.checks else { return };
        if *last + LEASE > now {
            return;
        }
        *last = now;
        let silent = self.members.ordered(|member| member.occupied > 0 && member.heard + LEASE <= now);
        silent.into_iter().for_each(|replica| self.liveness.ask_by(replica, now));
    }

    /// A member did not answer when it was told `view` or asked for its seats: it will be asked again.
    pub fn ask_later(&mut self, replica: ReplicaId, view: ViewVersion, now: Timestamp) {
        let missed = self.members.note(replica, |member| member.missed = member.missed.max(Some(view)));
        if missed.is_some() {
            self.liveness.ask_by(replica, now + ASK_AGAIN);
        }
    }

    /// A member has answered a census, which told it `view`.
    pub fn has_view(&mut self, replica: ReplicaId, view: ViewVersion) {
        self.members.note(replica, |member| member.missed = member.missed.filter(|missed| *missed > view));
    }

    /// The members to be asked for their seats now: those in doubt, and those that have been silent for a lease.
    pub fn to_ask(&mut self, now: Timestamp) -> Vec<ReplicaId> {
        let mut to_ask = Vec::new();
        while let Some(replica) = self.liveness.pop_due(now) {
            let Some(member) = self.members.get(replica) else { continue };
            let lease_ends = member.heard + LEASE;
            match member.state {
                // It is told the view when it is used again, and has no seats until then.
                MemberState::Parked => {}
                _ if member.is_in_doubt() || (member.occupied > 0 && lease_ends <= now) => {
                    to_ask.push(replica);
                    self.liveness.ask_by(replica, now + ASK_AGAIN);
                }
                _ if member.occupied > 0 => self.ask_when_lease_ends(replica, lease_ends),
                _ => {}
            }
        }
        to_ask
    }

    fn was_heard(&mut self, replica: ReplicaId, now: Timestamp) {
        let occupied = self.members.note(replica, |member| {
            member.heard = now;
            member.occupied
        });
        if occupied.is_some_and(|occupied| occupied > 0) && !self.liveness.contains(replica) {
            self.ask_when_lease_ends(replica, now + LEASE);
        }
    }

    fn ask_when_lease_ends(&mut self, replica: ReplicaId, at: Timestamp) {
        if matches!(self.checks, SilenceChecks::Timed) {
            self.liveness.ask_by(replica, at);
        }
    }
}
