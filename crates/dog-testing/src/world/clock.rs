//! The virtual clock and its events. Time moves only when the next event runs.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use dog::Timestamp;

/// Microseconds since the start of the run.
pub type Micros = u64;

/// The start of a run: 2026-01-01 00:00 UTC, so that times are easy to read.
const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// An event in the future.
enum Event {
    Wake(Waker),
    Run(Box<dyn FnOnce()>),
}

/// The time of an event, and its order among the events of that time.
type Key = (Micros, u64);

/// The virtual clock and its events.
#[derive(Default)]
pub(super) struct Clock {
    now: Cell<Micros>,
    next: Cell<u64>,
    events: RefCell<BTreeMap<Key, Event>>,
}

impl Clock {
    /// Microseconds since the start of the run.
    pub(super) fn micros(&self) -> Micros {
        self.now.get()
    }

    /// Returns the time that objects see.
    pub(super) fn now(&self) -> Timestamp {
        START + Duration::from_micros(self.now.get())
    }

    /// Returns the clock's value at a time that objects see. If that time is over, returns the present value.
    pub(super) fn micros_of(&self, at: Timestamp) -> Micros {
        at.as_millis().saturating_sub(START.as_millis()).saturating_mul(1000).max(self.now.get())
    }

    /// Runs `what` at that moment.
    pub(super) fn at(&self, at: Micros, what: impl FnOnce() + 'static) {
        self.put(at, Event::Run(Box::new(what)));
    }

    /// Runs `what` after `delay`.
    pub(super) fn later(&self, delay: Micros, what: impl FnOnce() + 'static) {
        self.at(self.micros().saturating_add(delay), what);
    }

    /// Returns a future that completes after `duration`.
    pub(super) fn sleep(self: &Rc<Self>, duration: Duration) -> Sleep {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Sleep { clock: Rc::downgrade(self), until: self.micros().saturating_add(micros), key: None }
    }

    /// Moves the clock to the next event and runs it, unless it comes after `until`. Returns `false` if there is none.
    pub(super) fn run_next(&self, until: Micros) -> bool {
        let event = {
            let mut events = self.events.borrow_mut();
            let Some(first) = events.first_entry().filter(|first| first.key().0 <= until) else { return false };
            self.now.set(first.key().0);
            first.remove()
        };
        match event {
            Event::Wake(waker) => waker.wake(),
            Event::Run(what) => what(),
        }
        true
    }

    /// Moves the clock to `until`, unless that is in the past. No event may be due before.
    pub(super) fn advance_to(&self, until: Micros) {
        self.now.set(until.max(self.now.get()));
    }

    /// Drops all events.
    pub(super) fn clear(&self) {
        let events = std::mem::take(&mut *self.events.borrow_mut());
        drop(events);
    }

    fn put(&self, at: Micros, event: Event) -> Key {
        let key = (at.max(self.now.get()), self.next.replace(self.next.get() + 1));
        self.events.borrow_mut().insert(key, event);
        key
    }
}

/// A future that completes at a moment of the virtual clock.
pub(super) struct Sleep {
    clock: Weak<Clock>,
    until: Micros,
    key: Option<Key>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(clock) = self.clock.upgrade() else { return Poll::Pending };
        if clock.micros() >= self.until {
            return Poll::Ready(());
        }
        let event = Event::Wake(context.waker().clone());
        match self.key {
            // Only the waker of the last poll is woken.
            Some(key) => drop(clock.events.borrow_mut().insert(key, event)),
            None => self.key = Some(clock.put(self.until, event)),
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some((clock, key)) = self.clock.upgrade().zip(self.key)
            && let Ok(mut events) = clock.events.try_borrow_mut()
        {
            events.remove(&key);
        }
    }
}
