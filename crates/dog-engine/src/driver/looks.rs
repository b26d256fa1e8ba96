//! When a Group looks at its books, and what it does of what it finds: tickets that have expired, Replicas to be parked,
//! members to be asked.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use dog::{Group, Timestamp};
use futures_util::FutureExt;
use futures_util::future::{AbortHandle, abortable};

use super::group::{Awake, GroupDriver};
use super::life::Living;
use crate::host::Host;

/// The shortest time between two looks at what has expired.
const SHORTEST_NAP: Duration = Duration::from_millis(20);

/// The next look.
#[derive(Debug, Default)]
pub(super) struct Looks {
    next: Cell<Option<Timestamp>>,
    /// Ends the wait for it.
    wait: RefCell<Option<AbortHandle>>,
}

impl Looks {
    /// There will be none.
    pub(super) fn end(&self) {
        self.next.set(None);
        if let Some(wait) = self.wait.take() {
            wait.abort();
        }
    }
}

impl<G: Group, H: Host> GroupDriver<G, H> {
    /// Makes sure that the books are looked at when something in them expires; and, where a timer keeps the Group in memory,
    /// that none is left which was for something that has come to nothing.
    pub(super) fn plan_look(&self, awake: &Awake<G>) {
        let (planned, deadline) = (self.looks.next.get(), awake.books.borrow_mut().next_deadline());
        let too_early_does_no_harm = self.host.profile().liveness.are_timed();
        let stands = match (planned, deadline) {
            (Some(look), Some(deadline)) => look == deadline || (look < deadline && too_early_does_no_harm),
            (Some(_), None) => too_early_does_no_harm,
            (None, None) => true,
            (None, Some(_)) => false,
        };
        if stands {
            return;
        }
        self.looks.next.set(deadline);
        if let Some(earlier) = self.looks.wait.take() {
            earlier.abort();
        }
        if let Some(deadline) = deadline {
            self.look_at(deadline);
        }
    }

    fn look_at(&self, deadline: Timestamp) {
        let nap = deadline.since(self.host.now()).max(SHORTEST_NAP);
        let (host, this) = (Rc::clone(&self.host), Weak::clone(&self.this));
        let (look, handle) = abortable(async move {
            host.sleep(nap).await;
            if let Some(this) = this.upgrade() {
                this.looks.wait.take();
                this.looks.next.set(None);
                this.let_time_pass();
            }
        });
        self.looks.wait.replace(Some(handle));
        self.host.spawn(Box::pin(look.map(drop)));
    }

    fn let_time_pass(&self) {
        let Some(awake) = self.life().get() else { return };
        let parked = awake.books.borrow_mut().advance(self.host.now());
        let to_ask = awake.books.borrow_mut().to_ask(self.host.now());
        self.keep_later(&awake, &parked);
        to_ask.into_iter().for_each(|replica| self.count(&awake, replica));
        if !parked.is_empty() {
            if self.host.profile().reads_other_objects {
                // First: whoever learns of the view asks who is parked.
                let never_served = awake.books.borrow_mut().never_served(&parked);
                self.forget_unused(never_served);
            }
            self.spread_view(&awake);
        }
        self.plan_look(&awake);
        drop(awake);
        self.note_idle();
    }
}
