//! What a Replica tells its Group unasked: its seats until that is acknowledged, and that it is there when the Group has
//! fallen silent.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use dog::{Replica, Timestamp};

use super::life::Living;
use super::replica::ReplicaDriver;
use crate::host::Host;
use crate::message::GroupCast;

/// How long a report waits for its acknowledgement before it is said again, and for company where it may.
const REPORT_AGAIN: Duration = Duration::from_secs(1);

/// How long a Replica with seats hears nothing from its Group before it speaks up. A Group that lives asks more often: one
/// that does not has crashed, and nobody may have had a reason to wake it. But it may owe something to its members, such
/// as the news of a sibling whom they do not know.
const SILENCE: Duration = Duration::from_secs(40);

/// How long after that it speaks up again, unless it has heard something.
const SPEAK_UP_AGAIN: Duration = Duration::from_secs(3);

/// Where a Replica stands with what it has to tell.
#[derive(Debug, Default)]
pub(super) struct Telling {
    /// Whether a task waits for an acknowledgement.
    reports: Cell<bool>,
    /// Whether the last report has not been acknowledged.
    told: Cell<bool>,
    /// Whether a task waits for silence.
    listens: Cell<bool>,
    /// When the Group said something last.
    heard: Cell<Timestamp>,
}

impl Telling {
    pub(super) fn heard(&self, now: Timestamp) {
        self.heard.set(now);
    }
}

impl<R: Replica, H: Host> ReplicaDriver<R, H> {
    /// Tells the Group what it has not acknowledged, now and until it has. While a report is on its way, what changes waits
    /// for its acknowledgement: a report repeats all before it, so that a crowd that came within one would be told in as many
    /// reports as it has clients, each longer than the last.
    pub(super) fn report(&self) {
        if self.telling.told.get() {
            return;
        }
        let Some(report) = self.seats.borrow().report() else { return };
        self.telling.told.set(true);
        self.host.cast_group(self.address.group, GroupCast::Report(report));
        self.listen();
        self.report_again();
    }

    /// The Group has heard of something: what has changed since goes next.
    pub(super) fn acknowledged(&self) {
        if self.telling.told.replace(false) {
            self.report();
        }
    }

    /// Tells the Group that a ticket was used. It counts that as a seat, and the client as being here, until the ticket
    /// has expired: so where it is paid for, this goes with what else is to be told within a second.
    pub(super) fn report_in_time(&self) {
        if self.host.profile().liveness.are_timed() { self.report() } else { self.report_again() }
    }

    /// Sees to it that whatever is not acknowledged then is told, until everything is.
    fn report_again(&self) {
        if self.telling.reports.replace(true) {
            return;
        }
        let (host, this) = (Rc::clone(&self.host), self.this.clone());
        self.host.spawn(Box::pin(async move {
            loop {
                host.sleep(REPORT_AGAIN).await;
                let Some(this) = this.upgrade().filter(|this| !this.life().has_ended()) else { return };
                let Some(report) = this.seats.borrow().report() else {
                    this.telling.reports.set(false);
                    this.telling.told.set(false);
                    return;
                };
                host.cast_group(this.address.group, GroupCast::Report(report));
            }
        }));
    }

    /// As long as anyone is seated here, sees to it that the Group lives: its census, once it is woken, puts right
    /// whatever it may have left undone.
    fn listen(&self) {
        if !self.host.profile().liveness.are_timed()
            || self.seats.borrow().occupied() == 0
            || self.telling.listens.replace(true)
        {
            return;
        }
        let (host, this) = (Rc::clone(&self.host), self.this.clone());
        self.host.spawn(Box::pin(async move {
            let mut nap = SILENCE;
            loop {
                host.sleep(nap).await;
                let Some(this) = this.upgrade().filter(|this| !this.life().has_ended()) else { return };
                if this.seats.borrow().occupied() == 0 {
                    return this.telling.listens.set(false);
                }
                nap = SILENCE.saturating_sub(host.now().since(this.telling.heard.get()));
                if nap.is_zero() {
                    let census = this.seats.borrow().census();
                    host.cast_group(this.address.group, GroupCast::Report(census));
                    nap = SPEAK_UP_AGAIN;
                }
            }
        }));
    }
}
