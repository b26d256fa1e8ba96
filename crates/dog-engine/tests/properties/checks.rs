//! The checks after each step and of each placement.

use std::collections::BTreeSet;

use dog::internal::Door;
use dog::{ClientId, Placement, ReplicaId};
use dog_engine::books::{Decision, MemberState};

use crate::world::{Checked, World, client, ensure};

impl World {
    /// Checks what must hold at any moment.
    pub(crate) fn check(&mut self) -> Checked {
        self.check_limit()?;
        self.check_counts()?;
        self.check_clients()?;
        self.check_views()
    }

    fn seats(&self, replica: ReplicaId) -> usize {
        usize::try_from(self.books.seats(replica)).expect("small")
    }

    fn limit(&self) -> usize {
        usize::try_from(self.limit.get()).expect("small")
    }

    /// Promise 1. A Replica never has more seats taken than the limit. In the books, seats and tickets together may
    /// exceed the limit, but only by the seats whose tickets the books did not count when they were reported as used.
    /// These are tickets of an earlier life of the Group, tickets that were reported too late, released tickets that
    /// were still used, and tickets that were used again in the Replica's next life.
    fn check_limit(&self) -> Checked {
        for (replica, object) in &self.objects {
            let Some(life) = &object.life else { continue };
            let occupied = usize::try_from(life.seats.occupied()).expect("small");
            ensure!(occupied == life.occupied(), "{replica:?} counts {occupied} seats, not {}", life.occupied());
            ensure!(occupied <= self.limit(), "{replica:?} has {occupied} seats taken");
        }
        for (replica, member) in &self.expected.members {
            let (seats, allowed) = (self.seats(*replica), self.limit() + member.unforeseen());
            ensure!(seats <= allowed, "{replica:?} has {seats} seats in the books, and only {allowed} are allowed");
        }
        Ok(())
    }

    /// Promise 8: the books contain exactly what was reported.
    fn check_counts(&self) -> Checked {
        let totals = self.books.totals();
        let records: BTreeSet<ReplicaId> = self.books.records().map(|record| record.replica).collect();
        let members: BTreeSet<ReplicaId> = self.expected.members.keys().copied().collect();
        ensure!(records == members, "the members kept are {records:?}, not {members:?}");
        ensure!(totals.members + totals.parked == members.len(), "{totals:?} of {} members", members.len());
        ensure!(totals.tickets == self.expected.tickets.len(), "{totals:?} for {:?}", self.expected.tickets);
        for (replica, member) in &self.expected.members {
            let seats = member.occupied() + self.expected.reserved(*replica);
            let counted = self.seats(*replica);
            ensure!(counted == seats, "{replica:?} has {counted} seats in the books, not {seats}");
            let state = self.books.state(*replica);
            let empty = state != Some(MemberState::Parked) || seats == 0;
            ensure!(empty, "{replica:?} is parked with {seats} seats");
        }
        let occupied = self.expected.members.values().map(super::expected::Believed::occupied).sum::<usize>();
        ensure!(usize::try_from(totals.occupied) == Ok(occupied), "{totals:?}, not {occupied} seats taken");
        Ok(())
    }

    /// Promises 2 and 8: each client is located where the reports say, and is remembered for the right time.
    fn check_clients(&self) -> Checked {
        for number in 0..6 {
            let client = client(number);
            let located = self.books.locate(&client);
            let places: BTreeSet<ReplicaId> = located.iter().copied().collect();
            ensure!(places.len() == located.len(), "{client:?} is twice on one of {located:?}");
            let expected = self.expected.places(&client);
            ensure!(places == expected, "{client:?} is on {places:?}, not on {expected:?}");
            let last = self.books.last(&client);
            let expected = self.expected.clients.get(&client).map(|remembered| remembered.last);
            ensure!(last == expected, "{client:?} was last on {last:?}, not on {expected:?}");
        }
        let totals = self.books.totals();
        ensure!(totals.clients == self.expected.clients.len(), "{totals:?}, not {:?}", self.expected.clients);
        self.check_sockets()
    }

    /// Promise 8: the books count the sockets of each client on all Replicas together, in order, and for pages of it.
    fn check_sockets(&self) -> Checked {
        let expected = self.expected.sockets();
        let (counted, _) = self.books.clients_after(None, usize::MAX);
        ensure!(counted.iter().cloned().eq(expected.clone()), "the sockets are {counted:?}, not {expected:?}");
        let (totals, sum) = (self.books.totals(), expected.values().sum::<u32>());
        ensure!((totals.connected, totals.sockets) == (expected.len(), sum as usize), "{totals:?} for {expected:?}");
        if let Some((first, _)) = counted.first() {
            let (next, more) = self.books.clients_after(Some(first), 1);
            ensure!(counted[1..].starts_with(&next) && more == (counted.len() > 2), "{next:?} comes after {first:?}");
            ensure!(next.is_empty() == (counted.len() == 1), "{next:?} comes after {first:?}");
        }
        Ok(())
    }

    /// Promise 4: the version of the view grows with every change, and the view names all members that are not parked.
    fn check_views(&mut self) -> Checked {
        let view = self.books.view().clone();
        let unparked: BTreeSet<ReplicaId> =
            self.books.records().map(|record| record.replica).filter(|replica| !self.is_parked(*replica)).collect();
        let shown: BTreeSet<ReplicaId> = view.members.iter().copied().collect();
        ensure!(shown == unparked && shown.len() == view.members.len(), "{view:?} of {unparked:?}");
        let (before, members) = std::mem::replace(&mut self.seen, (view.version, shown.clone()));
        let grown = view.version > before || (view.version == before && members == shown);
        ensure!(grown, "after version {before:?} of {members:?} comes {view:?}");
        Ok(())
    }

    fn is_parked(&self, replica: ReplicaId) -> bool {
        self.books.state(replica) == Some(MemberState::Parked)
    }

    /// Promise 4: each member that could send knows the Replica. Members that have missed a view are exempt until they
    /// have the latest one.
    pub(crate) fn check_siblings_know(&self, replica: ReplicaId) -> Checked {
        for (sibling, object) in &self.objects {
            let Some(life) = object.life.as_ref().filter(|_| !object.behind && *sibling != replica) else { continue };
            let state = self.books.state(*sibling);
            let matters = !matches!(state, None | Some(MemberState::Parked | MemberState::Suspected));
            let knows = life.view.members.contains(&replica);
            ensure!(knows || !matters, "{replica:?} serves before {sibling:?} ({state:?}) knows it: {:?}", life.view);
        }
        Ok(())
    }

    /// Promises 2 and 3, and the part of 1 that concerns placement. It is called after the books have answered and
    /// before the expected books are updated. So the seat that the answer has reserved is subtracted.
    pub(crate) fn check_placement(
        &self,
        client: &ClientId,
        refused: Option<ReplicaId>,
        placement: &Decision,
    ) -> Checked {
        let placed = match placement {
            Decision::Placed { ticket, .. } => Some(ticket.replica),
            _ => None,
        };
        let seats = |replica: ReplicaId| self.seats(replica) - usize::from(placed == Some(replica));
        let members = || self.expected.members.keys().copied().filter(|replica| Some(*replica) != refused);
        let state = |replica: ReplicaId| self.books.state(replica);
        let takes = |replica: &ReplicaId| matches!(state(*replica), Some(MemberState::Active | MemberState::Joining));
        let is_open = |replica: &ReplicaId| takes(replica) && self.expected.members[replica].truth.door == Door::Open;
        let all_full = || members().filter(is_open).all(|replica| seats(replica) >= self.limit());
        let uncounted = || self.expected.members.keys().any(|replica| state(*replica) == Some(MemberState::Uncounted));
        if *placement == Decision::Wait {
            ensure!(uncounted(), "it waits, although all are counted");
            return Ok(());
        }

        let last = self.expected.clients.get(client).map(|known| known.last).filter(|last| Some(*last) != refused);
        if let Some(last) = last {
            let fits = takes(&last) && seats(last) < self.limit();
            ensure!(!fits || placed == Some(last), "{client:?} was at {last:?}, which has room: {placement:?}");
            let asleep = state(last) == Some(MemberState::Parked);
            ensure!(!asleep || *placement == Decision::Unpark(last), "{client:?} was at {last:?}: {placement:?}");
        }
        match placement {
            Decision::Placed { ticket, joined } => {
                let (replica, taken) = (ticket.replica, seats(ticket.replica));
                ensure!(Some(replica) != refused, "{client:?} is sent where it was refused");
                ensure!(ticket.client == *client, "{client:?} is given {ticket:?}");
                ensure!(ticket.expires == self.now + self.policy.ticket_lifetime, "at {:?}: {ticket:?}", self.now);
                ensure!(!self.expected.tickets.contains_key(&ticket.id), "{ticket:?} was given before");
                ensure!(takes(&replica) && taken < self.limit(), "{replica:?} has no room: {taken}");
                ensure!(!joined || state(replica) == Some(MemberState::Active), "{replica:?} has not joined");
                ensure!(
                    ticket.newcomer == (last != Some(replica)),
                    "{client:?} was at {last:?} and is given {ticket:?}"
                );
                ensure!(!ticket.newcomer || is_open(&replica), "{client:?} is new and {replica:?} is closed");
                let others = members().filter(is_open).map(seats).filter(|seats| *seats < self.limit());
                let first = match self.policy.placement {
                    Placement::LeastUsed => others.min(),
                    Placement::FillFirst => others.max(),
                };
                ensure!(
                    last == Some(replica) || first == Some(taken),
                    "{client:?} is placed at {replica:?} with {taken} seats, and elsewhere are {first:?}"
                );
            }
            Decision::Unpark(parked) => {
                ensure!(state(*parked) == Some(MemberState::Parked), "{parked:?} is not parked");
                ensure!(Some(*parked) != refused, "{parked:?} is used for a client that it has refused");
                let needed = last == Some(*parked) || (all_full() && !uncounted());
                ensure!(needed, "{parked:?} is used, although there is room elsewhere");
            }
            Decision::Grow => {
                ensure!(all_full() && !uncounted(), "it grows, although there is room");
                ensure!(!members().any(|replica| self.is_parked(replica)), "it grows, although a Replica is parked");
            }
            Decision::Wait => {}
            Decision::Refuse => return Err("no client is limited here".into()),
        }
        Ok(())
    }
}
