//! Alarms: one an object, at least once, again after a growing delay until the handler succeeds.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use dog::internal::LocalFuture;
use dog::{Epoch, Error, Timestamp};

use crate::address::Object;
use crate::host::{Batch, Host};

/// The first delay after a failure, and the longest.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(300);

/// The alarm of one object, in one life.
pub(super) struct Alarm<H: Host> {
    host: Rc<H>,
    object: Object,
    epoch: Epoch,
    /// The handler runs, after so many failures.
    ringing: Cell<Option<u32>>,
    /// While it ran, another alarm was set, or the alarm was taken back: then this one is not cleared.
    replaced: Cell<bool>,
    /// While it ran, the alarm that was set meanwhile has come: it rings when this one is over.
    missed: Cell<bool>,
}

impl<H: Host> Alarm<H> {
    pub(super) fn new(host: Rc<H>, object: Object, epoch: Epoch) -> Self {
        Self { host, object, epoch, ringing: Cell::new(None), replaced: Cell::new(false), missed: Cell::new(false) }
    }

    pub(super) fn set(&self, at: Option<Timestamp>) -> LocalFuture<Result<(), Error>> {
        self.replaced.set(true);
        self.host.write(self.object, self.epoch, Batch { alarm: Some(at), ..Batch::default() })
    }

    /// The alarm that is to come; not the one that rings now.
    pub(super) fn get(&self) -> LocalFuture<Result<Option<Timestamp>, Error>> {
        if self.ringing.get().is_some() && !self.replaced.get() {
            return Box::pin(async { Ok(None) });
        }
        self.host.alarm(self.object)
    }

    /// Calls the handler, or once more after the call that runs already; clears the alarm if it succeeds, has it ring
    /// again if not.
    pub(super) async fn ring(&self, attempt: u32, handler: impl AsyncFnOnce() -> dog::Result) -> dog::Result {
        if self.ringing.get().is_some() {
            self.missed.set(true);
            return Ok(());
        }
        self.ringing.set(Some(attempt));
        self.replaced.set(false);
        self.missed.set(false);
        let outcome = match handler().await {
            Ok(()) if self.replaced.get() => Ok(()),
            Ok(()) => {
                let cleared = Batch { alarm: Some(None), ..Batch::default() };
                self.host.write(self.object, self.epoch, cleared).await.map_err(Into::into)
            }
            Err(failure) => Err(failure),
        };
        match &outcome {
            Ok(()) => {
                self.ringing.set(None);
                self.ring_missed();
            }
            Err(_) => self.failed(),
        }
        outcome
    }

    /// The alarm that was set while the handler ran, and has come while it ran, is still to ring.
    fn ring_missed(&self) {
        if self.missed.take() && self.replaced.get() {
            self.host.ring_again(self.object, self.host.now(), 0);
        }
    }

    pub(super) fn is_ringing(&self) -> bool {
        self.ringing.get().is_some()
    }

    /// The handler has failed, or the life has ended while it ran. The alarm stays written, and rings again.
    pub(super) fn failed(&self) {
        if let Some(attempt) = self.ringing.take().filter(|_| !self.replaced.get()) {
            let delay = FIRST_DELAY.saturating_mul(1 << attempt.min(16)).min(LONGEST_DELAY);
            self.host.ring_again(self.object, self.host.now() + delay, attempt.saturating_add(1));
        }
        self.ring_missed();
    }
}
