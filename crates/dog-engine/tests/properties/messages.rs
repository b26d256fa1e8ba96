//! The messages between the objects: how they are sent, and what happens when they arrive.

use dog::ReplicaId;
use dog_engine::books::MemberState;
use dog_engine::message::Report;

use crate::objects::{Envelope, Truth};
use crate::world::{Checked, World, ensure};

impl World {
    pub(crate) fn report(&mut self, replica: ReplicaId) {
        if let Some(life) = &self.object(replica).life
            && let Some(report) = life.seats.report()
        {
            let report = Envelope::Report(report, life.truth());
            self.bag.push(report);
        }
    }

    pub(crate) fn ask_census(&mut self, replica: ReplicaId) {
        self.bag.push(Envelope::Census(replica, self.epoch, self.books.view().clone()));
    }

    pub(crate) fn ask_uncounted(&mut self) {
        let mut uncounted = self.books.uncounted();
        // Sorted, so that a run can be repeated.
        uncounted.sort_unstable();
        for replica in uncounted {
            self.ask_census(replica);
        }
    }

    pub(crate) fn deliver(&mut self, message: Envelope) -> Checked {
        match message {
            Envelope::Report(report, truth) => self.hear(&report, &truth)?,
            Envelope::Counted(epoch, report, truth) if epoch == self.epoch => self.hear(&report, &truth)?,
            Envelope::Counted(..) => {}
            Envelope::Release(ticket) => {
                self.books.release(ticket.id, self.now);
                self.expected.release(ticket.id);
            }
            Envelope::Farewell(replica, epoch) => {
                self.books.lost(replica, epoch, self.now);
                self.expected.lost(replica, epoch);
            }
            Envelope::Acknowledge(replica, epoch, sequence) => {
                if let Some(life) = &mut self.object(replica).life {
                    life.seats.acknowledge(epoch, sequence);
                }
            }
            Envelope::UpdateView(replica, view) => {
                self.wake(replica);
                self.has_view(replica, &view);
            }
            Envelope::Census(replica, asked_by, view) => {
                if self.object(replica).life.is_none() {
                    // A life that a late call begins knows only what the call contains.
                    self.begin_life(replica);
                    self.object(replica).behind = true;
                }
                self.has_view(replica, &view);
                if let Some(life) = &self.object(replica).life {
                    let counted = Envelope::Counted(asked_by, life.seats.census(), life.truth());
                    self.bag.push(counted);
                }
            }
        }
        self.expected.remember(self.now);
        Ok(())
    }

    fn hear(&mut self, report: &Report, truth: &Truth) -> Checked {
        let replica = report.replica;
        let before = self.books.state(replica);
        let expected = self.expected.report(report, truth, matches!(before, None | Some(MemberState::Parked)));
        let heard = self.books.report(report, self.now);
        ensure!(heard == expected, "acknowledged: {heard}, not {expected}: {report:?}");
        if heard {
            self.bag.push(Envelope::Acknowledge(replica, report.epoch, report.sequence));
        }
        if before != self.books.state(replica) {
            // The member was suspected, so it may have missed views.
            self.bag.push(Envelope::UpdateView(replica, self.books.view().clone()));
        }
        Ok(())
    }
}
