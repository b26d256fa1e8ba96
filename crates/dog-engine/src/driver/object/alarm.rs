//! The alarm of an object: its handler is called at least once, and again after a growing delay until it succeeds.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use dog::internal::LocalFuture;
use dog::{Epoch, Error, Timestamp};

use crate::address::Object;
use crate::host::{AlarmChange, Batch, Host};

/// The delay after the first failure. It doubles with each further failure.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// The longest delay between two attempts.
const LONGEST_DELAY: Duration = Duration::from_secs(300);

/// The alarm of one object in one life.
pub(in crate::driver) struct Alarm<H: Host> {
    host: Rc<H>,
    object: Object,
    epoch: Epoch,
    /// The number of failed attempts before the handler that runs now.
    ringing: Cell<Option<u32>>,
    /// While the handler ran, the user set another alarm or cleared it: then success must not clear it.
    replaced: Cell<bool>,
    /// The alarm that was set while the handler ran has come due: it rings after this one.
    missed: Cell<bool>,
}

impl<H: Host> Alarm<H> {
    pub(super) fn new(host: Rc<H>, object: Object, epoch: Epoch) -> Self {
        Self { host, object, epoch, ringing: Cell::new(None), replaced: Cell::new(false), missed: Cell::new(false) }
    }

    /// Sets the alarm, or clears it with `None`.
    pub(in crate::driver) fn set(&self, at: Option<Timestamp>) -> LocalFuture<Result<(), Error>> {
        self.replaced.set(true);
        self.host.write(self.object, self.epoch, Batch { alarm: Some(at.into()), ..Batch::default() })
    }

    /// When the alarm is set for. The alarm that rings now does not count.
    pub(in crate::driver) fn get(&self) -> LocalFuture<Result<Option<Timestamp>, Error>> {
        if self.is_ringing() && !self.replaced.get() {
            return Box::pin(async { Ok(None) });
        }
        self.host.alarm(self.object)
    }

    /// Calls the handler, or notes that it has to be called again after the call that runs already. Clears the alarm if the
    /// handler succeeds, and schedules another attempt if it fails.
    pub(in crate::driver) async fn ring(
        &self,
        attempt: u32,
        handler: impl AsyncFnOnce() -> dog::Result,
    ) -> dog::Result {
        if self.is_ringing() {
            self.missed.set(true);
            return Ok(());
        }
        self.ringing.set(Some(attempt));
        self.replaced.set(false);
        self.missed.set(false);
        let outcome = match handler().await {
            Ok(()) if self.replaced.get() => Ok(()),
            Ok(()) => {
                let cleared = Batch { alarm: Some(AlarmChange::Clear), ..Batch::default() };
                self.host.write(self.object, self.epoch, cleared).await.map_err(Into::into)
            }
            Err(failure) => Err(failure),
        };
        match &outcome {
            Ok(()) => {
                self.ringing.set(None);
                self.ring_missed();
            }
            Err(_) => self.retry(),
        }
        outcome
    }

    fn ring_missed(&self) {
        if self.missed.take() && self.replaced.get() {
            self.host.ring_again(self.object, self.host.now(), 0);
        }
    }

    pub(in crate::driver) fn is_ringing(&self) -> bool {
        self.ringing.get().is_some()
    }

    /// The handler has failed, or the life has ended while it ran. The alarm is still stored, and rings again.
    pub(super) fn retry(&self) {
        if let Some(attempt) = self.ringing.take().filter(|_| !self.replaced.get()) {
            let delay = FIRST_DELAY.saturating_mul(1 << attempt.min(16)).min(LONGEST_DELAY);
            self.host.ring_again(self.object, self.host.now() + delay, attempt.saturating_add(1));
        }
        self.ring_missed();
    }
}
