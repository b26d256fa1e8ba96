//! How what objects keep gets to the disk, and their alarms.

use std::rc::Rc;

use dog::internal::{Kind, LocalFuture};
use dog::{Epoch, Error, Timestamp};
use dog_engine::address::Object;
use dog_engine::host::{Batch, Space};

use super::World;
use super::agenda::Sleep;
use super::bugs::Bug;
use super::network::Party;
use super::objects::{Driver, name};
use super::promise::Promise;
use super::storage::Kept;

impl World {
    pub(super) fn forgets_books(&self, space: Space) -> bool {
        self.bug == Some(Bug::ForgottenBooks) && space == Space::Members
    }

    /// What was read, after a while: it is what stood there when it was asked for.
    pub(super) fn after_reading<T: 'static>(&self, read: T) -> LocalFuture<Result<T, Error>> {
        let delay = self.disk.get().delay.min(2_000);
        if delay == 0 || !self.random.borrow_mut().happens(500) {
            return Box::pin(async move { Ok(read) });
        }
        let delay = self.random.borrow_mut().within(0..=delay);
        let sleep = Sleep::new(&self.this(), std::time::Duration::from_micros(delay));
        Box::pin(async move {
            sleep.await;
            Ok(read)
        })
    }

    pub(super) fn write(&self, object: Object, epoch: Epoch, batch: Batch, promise: Promise<()>) {
        if self.living(object).is_none_or(|life| life.place.epoch != epoch) {
            return promise.keep(Err(Error::new(Kind::Closed, "this life of the object is over")));
        }
        let disk = self.disk.get();
        let (delay, fails) = {
            let mut random = self.random.borrow_mut();
            (random.within(0..=disk.delay), random.happens(disk.fails))
        };
        let done_at = self.agenda.micros() + delay;
        let (key, done_at) = self.storage.borrow_mut().submit(object, batch, promise, (done_at, fails));
        self.at(done_at, move |world| {
            let done = world.storage.borrow_mut().complete(object, key);
            world.set_alarms(object, done.alarm);
            if let Some((promise, outcome)) = done.promise {
                let result = if outcome.is_ok() { "written" } else { "NOT written" };
                world.note(|| format!("{}: a batch is {result}", name(Party::Object(object))));
                promise.keep(outcome);
            }
        });
    }

    /// A new life begins: what an earlier one left on its way is there or not from now on.
    pub(super) fn settle_writes(&self, object: Object) {
        let on_the_way = self.storage.borrow().on_the_way(object);
        if on_the_way == 0 {
            return;
        }
        let survive = self.random.borrow_mut().below(on_the_way + 1);
        let (promises, alarms) = self.storage.borrow_mut().crash(object, survive);
        self.note(|| {
            format!("{}: {survive} of {on_the_way} batches on their way survive", name(Party::Object(object)))
        });
        for promise in promises {
            promise.keep(Err(Error::new(Kind::Closed, "this life of the object is over")));
        }
        // What was to replace the alarm may not have come to be.
        let stays = self.storage.borrow_mut().kept_alarm(object).copied().filter(|kept| !kept.has_rung);
        self.set_alarms(object, alarms.into_iter().chain(stays));
    }

    /// The life has crashed: its alarm rings in the next one, though it has rung before.
    pub(super) fn crash_writes(&self, object: Object) {
        self.settle_writes(object);
        let kept = self.storage.borrow_mut().kept_alarm(object).map(|kept| {
            kept.has_rung = false;
            *kept
        });
        self.set_alarms(object, kept);
    }

    fn set_alarms(&self, object: Object, set: impl IntoIterator<Item = Kept>) {
        for kept in set {
            self.at(self.agenda.micros_of(kept.at), move |world| {
                let mut storage = world.storage.borrow_mut();
                if storage.replaces_alarm(object) {
                    return;
                }
                let due = storage.kept_alarm(object).filter(|now| now.number == kept.number && !now.has_rung);
                let Some(due) = due else { return };
                due.has_rung = true;
                drop(storage);
                world.ring(object, 0);
            });
        }
    }

    /// When the object's alarm is set for.
    pub fn alarm_of(&self, object: Object) -> Option<Timestamp> {
        self.storage.borrow().alarm(object)
    }

    /// How many entries of all objects are on disk.
    pub fn entries(&self) -> usize {
        self.storage.borrow().len()
    }

    /// One of the user's values, as it stands on the disk.
    pub fn entries_listed(&self) -> u64 {
        self.storage.borrow().listed()
    }

    pub fn stored(&self, object: Object, key: &str) -> Option<bytes::Bytes> {
        self.storage.borrow().read(object, Space::User, key.as_bytes())
    }

    pub(super) fn ring_again(&self, object: Object, at: Timestamp, attempt: u32) {
        let set_for = self.storage.borrow_mut().kept_alarm(object).map(|kept| kept.number);
        self.at(self.agenda.micros_of(at), move |world| {
            // A crash has had it ring anew, or another alarm stands in its place.
            let kept = world.storage.borrow_mut().kept_alarm(object).map(|kept| (kept.number, kept.has_rung));
            if kept.is_some_and(|(number, has_rung)| has_rung && Some(number) == set_for) {
                world.ring(object, attempt);
            }
        });
    }

    fn ring(self: &Rc<Self>, object: Object, attempt: u32) {
        self.note(|| format!("{}: the alarm rings", name(Party::Object(object))));
        match object {
            Object::Group(address) => self.group(address).0.alarm(attempt),
            Object::Replica(address) => self.replica(address).0.alarm(attempt),
        }
    }

    /// The engine's side of a life, if there is one.
    pub fn driver(&self, object: Object) -> Option<Driver> {
        self.living(object).map(|life| life.driver)
    }
}
