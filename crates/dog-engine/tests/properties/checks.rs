//! What has to hold after every operation, and of every placement.

use std::collections::BTreeSet;

use dog::{ClientId, ReplicaId};
use dog_engine::books::{MemberState, Placement};

use crate::world::{Checked, World, client, ensure};

impl World {
    /// Everything that has to hold whenever anybody looks.
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

    /// Promise 1. On a Replica never more seats are taken than the limit. In the books seats and tickets together pass
    /// it by no more than the seats that were taken on tickets which the books had dropped before they heard of the
    /// taking, or never had: given by an earlier life of the Group, reported too late, given back and used all the
    /// same, or used once more in the Replica's next life.
    fn check_limit(&self) -> Checked {
        for (replica, object) in &self.objects {
            let Some(life) = &object.life else { continue };
            let occupied = usize::try_from(life.seats.occupied()).expect("small");
            ensure!(occupied == life.occupied(), "{replica:?} counts {occupied} seats, not {}", life.occupied());
            ensure!(occupied <= self.limit(), "{replica:?} has {occupied} seats taken");
        }
        for (replica, member) in &self.ledger.members {
            let (seats, allowed) = (self.seats(*replica), self.limit() + member.unforeseen());
            ensure!(seats <= allowed, "{replica:?} has {seats} seats in the books, and {allowed} can be explained");
        }
        Ok(())
    }

    /// Promise 8, at any moment: the books say what they have been told, no more, no less.
    fn check_counts(&self) -> Checked {
        let totals = self.books.totals();
        let records: BTreeSet<ReplicaId> = self.books.records().map(|record| record.replica).collect();
        let members: BTreeSet<ReplicaId> = self.ledger.members.keys().copied().collect();
        ensure!(records == members, "the members kept are {records:?}, not {members:?}");
        ensure!(totals.members + totals.parked == members.len(), "{totals:?} of {} members", members.len());
        ensure!(totals.tickets == self.ledger.tickets.len(), "{totals:?} for {:?}", self.ledger.tickets);
        for (replica, member) in &self.ledger.members {
            let seats = member.occupied() + self.ledger.promised(*replica);
            let counted = self.seats(*replica);
            ensure!(counted == seats, "{replica:?} has {counted} seats in the books, not {seats}");
            let state = self.books.state(*replica);
            let empty = state != Some(MemberState::Parked) || seats == 0;
            ensure!(empty, "{replica:?} is parked with {seats} seats");
        }
        let occupied = self.ledger.members.values().map(super::ledger::Believed::occupied).sum::<usize>();
        ensure!(usize::try_from(totals.occupied) == Ok(occupied), "{totals:?}, not {occupied} seats taken");
        Ok(())
    }

    /// Promises 2 and 8: each client is where the books have been told that it is, and remembered as long as it should.
    fn check_clients(&self) -> Checked {
        for number in 0..6 {
            let client = client(number);
            let located = self.books.locate(&client);
            let places: BTreeSet<ReplicaId> = located.iter().copied().collect();
            ensure!(places.len() == located.len(), "{client:?} is twice at one of {located:?}");
            let expected = self.ledger.places(&client);
            ensure!(places == expected, "{client:?} is at {places:?}, not at {expected:?}");
            let last = self.books.last(&client);
            let expected = self.ledger.clients.get(&client).map(|remembered| remembered.last);
            ensure!(last == expected, "{client:?} was last at {last:?}, not at {expected:?}");
        }
        let totals = self.books.totals();
        ensure!(totals.clients == self.ledger.clients.len(), "{totals:?}, not {:?}", self.ledger.clients);
        Ok(())
    }

    /// Promise 4: views grow whenever they change, and name all members but the parked ones.
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

    /// Promise 4: whoever is a member and could send knows the Replica. Left out are those that the Group went on
    /// without, until it has told them again.
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

    /// Promises 2 and 3 and what of 1 is decided here. Called when the books have answered, and before the ledger is
    /// told: the one seat that the answer may have added is taken off again.
    pub(crate) fn check_placement(
        &self,
        client: &ClientId,
        refused: Option<ReplicaId>,
        placement: &Placement,
    ) -> Checked {
        let placed = match placement {
            Placement::Placed { ticket, .. } => Some(ticket.replica),
            _ => None,
        };
        let seats = |replica: ReplicaId| self.seats(replica) - usize::from(placed == Some(replica));
        let members = || self.ledger.members.keys().copied().filter(|replica| Some(*replica) != refused);
        let state = |replica: ReplicaId| self.books.state(replica);
        let takes = |replica: &ReplicaId| matches!(state(*replica), Some(MemberState::Active | MemberState::Joining));
        let all_full = || members().filter(takes).all(|replica| seats(replica) >= self.limit());
        let uncounted = || self.ledger.members.keys().any(|replica| state(*replica) == Some(MemberState::Uncounted));
        if *placement == Placement::Wait {
            ensure!(uncounted(), "it waits, and all are counted");
            return Ok(());
        }

        let last = self.ledger.clients.get(client).map(|known| known.last).filter(|last| Some(*last) != refused);
        if let Some(last) = last {
            let fits = takes(&last) && seats(last) < self.limit();
            ensure!(!fits || placed == Some(last), "{client:?} was at {last:?}, which has room: {placement:?}");
            let asleep = state(last) == Some(MemberState::Parked);
            ensure!(!asleep || *placement == Placement::Unpark(last), "{client:?} was at {last:?}: {placement:?}");
        }
        match placement {
            Placement::Placed { ticket, joined } => {
                let (replica, taken) = (ticket.replica, seats(ticket.replica));
                ensure!(Some(replica) != refused, "{client:?} is sent where it was refused");
                ensure!(ticket.client == *client, "{client:?} is given {ticket:?}");
                ensure!(ticket.expires == self.now + self.policy.ticket_lifetime, "at {:?}: {ticket:?}", self.now);
                ensure!(!self.ledger.tickets.contains_key(&ticket.id), "{ticket:?} was given before");
                ensure!(takes(&replica) && taken < self.limit(), "{replica:?} has no room: {taken}");
                ensure!(!joined || state(replica) == Some(MemberState::Active), "{replica:?} has not joined");
                let least = members().filter(takes).map(seats).min();
                ensure!(
                    last == Some(replica) || least == Some(taken),
                    "{client:?} is placed at {replica:?} with {taken} seats, and elsewhere are {least:?}"
                );
            }
            Placement::Unpark(parked) => {
                ensure!(state(*parked) == Some(MemberState::Parked), "{parked:?} is not parked");
                ensure!(Some(*parked) != refused, "{parked:?} is woken for a client that it refused");
                let needed = last == Some(*parked) || (all_full() && !uncounted());
                ensure!(needed, "{parked:?} is woken, and there is room elsewhere");
            }
            Placement::Grow => {
                ensure!(all_full() && !uncounted(), "it grows, and there is room");
                ensure!(!members().any(|replica| self.is_parked(replica)), "it grows, and one is parked");
            }
            Placement::Wait => {}
        }
        Ok(())
    }
}
