//! The virtual clock, and what is to happen when. Time stands still until the next thing on the agenda is done.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use dog::Timestamp;

use super::World;

/// Microseconds since the run began.
pub type Micros = u64;

/// When the run begins: midnight before 2026-01-01, so that times in a trace are easy to read.
const BEGINNING: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// What is done later.
type Deed = Box<dyn FnOnce(&Rc<World>)>;

/// Something that happens later.
pub enum Event {
    /// A sleep ends.
    Wake(Waker),
    /// This is done.
    Do(Deed),
}

/// When, and in which order among those at the same time.
type Key = (Micros, u64);

#[derive(Default)]
pub struct Agenda {
    now: Cell<Micros>,
    next: Cell<u64>,
    events: RefCell<BTreeMap<Key, Event>>,
}

impl Agenda {
    /// Microseconds since the run began.
    pub fn micros(&self) -> Micros {
        self.now.get()
    }

    /// The time as objects are told it.
    pub fn now(&self) -> Timestamp {
        BEGINNING + Duration::from_micros(self.now.get())
    }

    /// When an object's time has come.
    pub fn micros_of(&self, at: Timestamp) -> Micros {
        at.as_millis().saturating_sub(BEGINNING.as_millis()).saturating_mul(1000).max(self.now.get())
    }

    pub fn put(&self, at: Micros, event: Event) -> Key {
        let key = (at.max(self.now.get()), self.next.replace(self.next.get() + 1));
        self.events.borrow_mut().insert(key, event);
        key
    }

    /// The next thing until `until`; the clock goes on to it.
    pub fn take(&self, until: Micros) -> Option<Event> {
        let mut events = self.events.borrow_mut();
        let first = events.first_entry().filter(|first| first.key().0 <= until)?;
        self.now.set(first.key().0);
        Some(first.remove())
    }

    /// Nothing was left until then: the clock goes on all the same.
    pub fn go_on_to(&self, until: Micros) {
        self.now.set(until.max(self.now.get()));
    }

    pub fn clear(&self) {
        let events = std::mem::take(&mut *self.events.borrow_mut());
        drop(events);
    }
}

/// Ends at a time of the virtual clock.
pub(super) struct Sleep {
    world: Weak<World>,
    until: Micros,
    key: Option<Key>,
}

impl Sleep {
    pub(super) fn new(world: &Rc<World>, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self { world: Rc::downgrade(world), until: world.agenda.micros().saturating_add(micros), key: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(world) = self.world.upgrade() else { return Poll::Pending };
        if world.agenda.micros() >= self.until {
            return Poll::Ready(());
        }
        let event = Event::Wake(context.waker().clone());
        match self.key {
            // Polled from elsewhere: it is that one who is to be woken.
            Some(key) => drop(world.agenda.events.borrow_mut().insert(key, event)),
            None => self.key = Some(world.agenda.put(self.until, event)),
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    /// Nobody waits any more: an answer came before its deadline.
    fn drop(&mut self) {
        if let Some((world, key)) = self.world.upgrade().zip(self.key)
            && let Ok(mut events) = world.agenda.events.try_borrow_mut()
        {
            events.remove(&key);
        }
    }
}
