//! The end of each run (promise 8): when messages arrive again and all tickets have expired, the books are right. When
//! all clients have left, the books are empty.

use std::collections::BTreeSet;
use std::time::Duration;

use dog::internal::Door;
use dog::{Epoch, ReplicaId};
use dog_engine::books::MemberState;

use crate::expected::TICKET_MARGIN;
use crate::objects::Envelope;
use crate::world::{Checked, World, client, ensure};

impl World {
    /// Delivers all messages and lets all Replicas join that can, until nothing is left to do.
    pub(crate) fn settle(&mut self) -> Checked {
        for _ in 0..30 {
            let messages = std::mem::take(&mut self.bag);
            let mut idle = messages.is_empty();
            for message in messages {
                self.deliver(message)?;
            }
            self.tell_siblings();
            let joining = self.in_state(&[MemberState::Joining]);
            for replica in &joining {
                idle &= !self.bag.is_empty();
                self.join(*replica)?;
            }
            if self.bag.is_empty() && self.in_state(&[MemberState::Joining]) == joining {
                // Two joining Replicas may wait for each other until the deadline if the views to both were lost.
                joining.first().map_or(Ok(()), |first| self.join_at_deadline(*first))?;
            }
            self.answer_waiting()?;
            if idle && self.bag.is_empty() {
                return Ok(());
            }
        }
        Err(format!("the messages do not end: {:?}", self.bag))
    }

    /// Delivers all messages, repeats reports until they are acknowledged, and lets all tickets expire. Then the books
    /// must agree with the Replicas.
    pub(crate) fn become_quiet(&mut self) -> Checked {
        self.report_all()?;
        self.pass(self.now + self.policy.ticket_lifetime + TICKET_MARGIN)?;
        self.settle()?;
        self.check()?;
        let totals = self.books.totals();
        ensure!(totals.tickets == 0, "tickets are left: {totals:?}");
        for (replica, object) in &self.objects {
            let truth = object.life.as_ref().map_or(0, |life| life.seats.occupied());
            let counted = self.books.seats(*replica);
            ensure!(counted == truth, "{replica:?} has {truth} seats taken, and {counted} in the books");
            let door = object.life.as_ref().map(|life| life.door);
            let known = self.books.takes_newcomers(*replica);
            let is_active = self.books.state(*replica) == Some(MemberState::Active);
            let agrees = !is_active || door.is_none_or(|door| known == (door == Door::Open));
            ensure!(agrees, "the door of {replica:?} is {door:?}, and the books say that it takes newcomers: {known}");
        }
        for number in 0..6 {
            let client = client(number);
            let is_seated = |replica: &ReplicaId| {
                let life = self.objects[replica].life.as_ref();
                life.is_some_and(|life| life.truth().clients.contains_key(&client))
            };
            let truth: BTreeSet<ReplicaId> = self.objects.keys().copied().filter(is_seated).collect();
            let located: BTreeSet<ReplicaId> = self.books.locate(&client).into_iter().collect();
            ensure!(located == truth, "{client:?} has seats on {truth:?}, and the books say {located:?}");
        }
        Ok(())
    }

    /// Lets Replicas repeat their reports until everything is acknowledged. Lets hosts report lives that are over, and
    /// counts uncounted members.
    fn report_all(&mut self) -> Checked {
        for _ in 0..10 {
            self.settle()?;
            self.ask_uncounted();
            for (replica, object) in &self.objects {
                if let Some(life) = &object.life {
                    let said = life.seats.report().map(|report| Envelope::Report(report, life.truth()));
                    self.bag.extend(said);
                }
                // The farewell may be lost, and the next life may have begun with a call from a Group that crashed
                // before the answer came. Then only the host can report the end of the life.
                let dead = Epoch::from_raw(object.lives - u64::from(object.life.is_some()));
                let believed = self.expected.members.get(replica);
                if believed.is_some_and(|member| member.occupied() > 0 && member.epoch <= dead) {
                    self.bag.push(Envelope::Farewell(*replica, dead));
                }
            }
            if self.bag.is_empty() {
                return Ok(());
            }
        }
        Err(format!("something is never acknowledged: {:?}", self.bag))
    }

    /// Lets all clients leave. In the end no client must be remembered, all members must be parked, and the books must
    /// have no deadline.
    pub(crate) fn empty_out(&mut self) -> Checked {
        for life in self.objects.values_mut().filter_map(|object| object.life.as_mut()) {
            for (seat, _) in life.requests.drain(..) {
                life.seats.release(seat);
            }
            for (socket, _) in life.sockets.drain(..) {
                life.seats.close(socket);
            }
        }
        self.report_all()?;
        for suspected in self.in_state(&[MemberState::Suspected]) {
            self.ask_census(suspected);
        }
        self.settle()?;
        // Members that had seats are checked on until their lease ends.
        let longest = self.policy.sticky_for.max(self.policy.park_after).max(Duration::from_secs(31));
        let end = self.now + longest + Duration::from_secs(1);
        for _ in 0..100 {
            let Some(deadline) = self.books.next_deadline() else { break };
            ensure!(deadline <= end, "a deadline at {deadline:?}, after the last expected one at {end:?}");
            self.pass(deadline)?;
        }
        self.check()?;
        ensure!(self.books.next_deadline().is_none(), "the deadlines do not end");
        let totals = self.books.totals();
        ensure!(totals.members == 0 && totals.clients == 0 && totals.occupied == 0, "{totals:?}");
        Ok(())
    }
}
