//! What Replicas report, and what time does: tickets that expire, clients that are forgotten, Replicas that are parked.

use std::collections::HashSet;

use dog::{ClientId, ReplicaId, Timestamp};

use super::{Books, Member, Standing, is_empty_since};
use crate::message::Report;

impl Books {
    /// Takes a Replica's word for its seats. Returns whether to acknowledge it: what is new, what was heard before, and
    /// of one out of use that it is empty. Not acknowledged, and so said again, is what an earlier life says, and a
    /// change to seats that this life of the Group has not counted yet.
    ///
    /// One that is parked or a stranger, and has seats, is admitted: then the view has changed, and it has to be joined.
    pub fn report(&mut self, report: &Report, now: Timestamp) -> bool {
        let replica = report.replica;
        self.begin_life(replica, report.epoch, now);
        if self.members.get(&replica).is_some_and(|member| report.epoch < member.epoch) {
            return false;
        }
        self.change(replica, |member| member.node = report.node);
        let out_of_use = matches!(self.standing(replica), None | Some(Standing::Parked));
        if out_of_use && report.occupied > 0 {
            // Its sockets must be in fan-out.
            self.admit_at(replica, report.node, now);
        }
        let Some(member) = self.members.get(&replica) else { return true };
        if !(member.counted || report.census) {
            // One that is parked and empty is asked for a census when it joins.
            return member.standing == Standing::Parked;
        }
        let heard = report.sequence < member.sequence || (report.sequence == member.sequence && !report.census);
        if heard {
            return true;
        }
        if report.census {
            self.forget_missing(report, now);
        }
        for (client, seats) in &report.clients {
            self.seat(replica, client, *seats, now);
        }
        self.change(replica, |member: &mut Member| {
            member.sequence = report.sequence;
            member.occupied = report.occupied;
            member.counted = true;
            member.served |= report.occupied > 0 || !report.taken.is_empty();
        });
        self.was_heard(replica, now);
        // After the seats: a client that took its ticket must not be without both for a moment.
        for ticket in &report.taken {
            self.drop_ticket(*ticket, now);
        }
        self.note_emptiness(replica, now);
        // Whoever speaks is alive; one that was uncounted has just been counted, see above.
        if matches!(self.standing(replica), Some(Standing::Suspected | Standing::Uncounted)) {
            self.stand(replica, Standing::Active);
        }
        true
    }

    /// A census names every client that has a seat: others that were believed there are not.
    fn forget_missing(&mut self, report: &Report, now: Timestamp) {
        let Some(member) = self.members.get(&report.replica) else { return };
        let named: HashSet<_> = report.clients.iter().map(|(client, _)| client).collect();
        let missing: Vec<_> = member.clients.keys().filter(|client| !named.contains(client)).cloned().collect();
        for client in missing {
            self.seat(report.replica, &client, 0, now);
        }
    }

    fn seat(&mut self, replica: ReplicaId, client: &ClientId, seats: u32, now: Timestamp) {
        let Some(member) = self.members.get_mut(&replica) else { return };
        if seats == 0 {
            if member.clients.remove(client).is_some() {
                self.clients.seated(client, replica, false, now);
            }
        } else if member.clients.insert(client.clone(), seats).is_none() {
            self.clients.seated(client, replica, true, now);
        }
    }

    /// Members whose seats are unknown, and that are to be asked for a census: all after a restart, and whoever is not
    /// acknowledged for that reason later.
    pub fn uncounted(&self) -> Vec<ReplicaId> {
        let uncounted = self.members.iter().filter(|(_, member)| member.is_uncounted());
        let mut uncounted: Vec<_> = uncounted.map(|(replica, member)| (member.order, *replica)).collect();
        uncounted.sort_unstable();
        uncounted.into_iter().map(|(_, replica)| replica).collect()
    }

    /// Whether it is one of the [`uncounted`](Books::uncounted).
    pub fn is_uncounted(&self, replica: ReplicaId) -> bool {
        self.members.get(&replica).is_some_and(Member::is_uncounted)
    }

    /// Lets time pass: tickets expire, clients are forgotten, empty Replicas are parked. Returns those parked now; if
    /// there are any, the view has changed.
    pub fn advance(&mut self, now: Timestamp) -> Vec<ReplicaId> {
        while let Some((expires, ticket)) = self.expiries.front().copied() {
            if expires > now {
                break;
            }
            self.expiries.pop_front();
            self.drop_ticket(ticket, now);
        }
        self.clients.forget(now, self.policy.sticky_for);
        self.park(now)
    }

    /// When [`advance`](Books::advance) has something to do next: not before, for where a timer keeps the Group in memory,
    /// one that is for nothing costs.
    pub fn next_deadline(&mut self) -> Option<Timestamp> {
        self.pass_over();
        let expiry = self.expiries.front().map(|(expires, _)| *expires);
        let forgetting = self.clients.next_deadline(self.policy.sticky_for);
        let parking = self.empty.front().map(|(since, ..)| *since + self.policy.park_after);
        let asking = self.asks.first().map(|(at, _)| *at);
        [expiry, forgetting, parking, asking].into_iter().flatten().min()
    }

    /// Drops what has come to nothing meanwhile from the heads of the queues.
    fn pass_over(&mut self) {
        while self.expiries.front().is_some_and(|(_, ticket)| !self.tickets.contains_key(ticket)) {
            self.expiries.pop_front();
        }
        while self
            .empty
            .front()
            .is_some_and(|(_, emptiness, replica)| !is_empty_since(&self.members, *replica, *emptiness))
        {
            self.empty.pop_front();
        }
        self.clients.pass_over();
    }
}
