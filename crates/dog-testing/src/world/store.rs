//! The storage as objects use it: with delays, failures and alarms. An isolated node cannot reach it.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use dog::internal::{Kind, LocalFuture};
use dog::{Epoch, Error, Timestamp};
use dog_engine::address::Object;
use dog_engine::host::{Batch, Space};

use super::bugs::Bug;
use super::clock::Micros;
use super::core::Core;
use super::life::{Life, Party};
use super::lives::Lives;
use super::reply::ReplySender;
use super::storage::{Fate, Settled, Storage, StoredAlarm, StoredBatch};

/// The pause between two attempts of an isolated node to reach the storage.
const RETRY: Duration = Duration::from_micros(RETRY_MICROS);
const RETRY_MICROS: Micros = 100_000;

/// How long an object is not woken after its alarms could not be stored.
const WAKE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A batch that an isolated node has not been able to send.
struct HeldBatch {
    life: Rc<Life>,
    object: Object,
    epoch: Epoch,
    batch: Batch,
    reply: ReplySender<()>,
}

/// The storage of a world.
pub(super) struct Store {
    core: Rc<Core>,
    lives: Rc<Lives>,
    storage: RefCell<Storage>,
    held: RefCell<Vec<HeldBatch>>,
}

fn over() -> Error {
    Error::new(Kind::Closed, "this life of the object is over")
}

fn name(object: Object) -> String {
    Party::Object(object).short_name()
}

impl Store {
    pub(super) fn new(core: &Rc<Core>, lives: &Rc<Lives>) -> Rc<Self> {
        let (core, lives) = (Rc::clone(core), Rc::clone(lives));
        Rc::new(Self { core, lives, storage: RefCell::default(), held: RefCell::default() })
    }

    /// Reads after a delay. The result is the state at the time of the call. On an isolated node it is the state at the
    /// time when the node can reach the storage again.
    pub(super) fn read<T: 'static>(
        self: &Rc<Self>,
        reader: &Life,
        read: impl Fn(&Storage) -> T + 'static,
    ) -> LocalFuture<Result<T, Error>> {
        let node = reader.node();
        if self.core.network().is_isolated(node) {
            let store = Rc::clone(self);
            return Box::pin(async move {
                while store.core.network().is_isolated(node) {
                    store.core.clock().sleep(RETRY).await;
                }
                let value = read(&store.storage.borrow());
                Ok(value)
            });
        }
        let value = read(&self.storage.borrow());
        let delay = self.core.disk().delay.min(2_000);
        if delay == 0 || !self.core.happens(500) {
            return Box::pin(async move { Ok(value) });
        }
        let delay = self.core.random().within(0..=delay);
        let sleep = self.core.clock().sleep(Duration::from_micros(delay));
        Box::pin(async move {
            sleep.await;
            Ok(value)
        })
    }

    /// Whether the bug "forgotten books" hides these entries.
    pub(super) fn hides(&self, space: Space) -> bool {
        self.core.has_bug(Bug::ForgottenBooks) && space == Space::Members
    }

    /// Writes a batch of a life.
    pub(super) fn write(
        self: &Rc<Self>,
        life: &Rc<Life>,
        object: Object,
        epoch: Epoch,
        batch: Batch,
        reply: ReplySender<()>,
    ) {
        if self.lives.by_epoch(object, epoch).is_none() {
            return reply.send(Err(over()));
        }
        if self.core.network().is_isolated(life.node()) {
            let life = Rc::clone(life);
            return self.held.borrow_mut().push(HeldBatch { life, object, epoch, batch, reply });
        }
        self.submit(object, epoch, batch, reply);
    }

    /// Sends the batches of a node that reaches the storage again.
    pub(super) fn reconnect(self: &Rc<Self>, node: usize) {
        let held: Vec<HeldBatch> = {
            let mut held = self.held.borrow_mut();
            held.extract_if(.., |held| held.life.node() == node).collect()
        };
        for held in held.into_iter().filter(|held| held.life.is_alive()) {
            self.submit(held.object, held.epoch, held.batch, held.reply);
        }
    }

    fn submit(self: &Rc<Self>, object: Object, epoch: Epoch, batch: Batch, reply: ReplySender<()>) {
        // The fence rejects batches of an earlier life.
        if self.storage.borrow().is_fenced(object, epoch) && !self.core.has_bug(Bug::UnfencedWrite) {
            self.core.note(|| format!("{}: a batch of life {} is refused", name(object), epoch.as_u64()));
            return reply.send(Err(over()));
        }
        let delay = self.core.random().within(0..=self.core.disk().delay);
        let (fate, done_at) = (self.fate(&batch), self.core.clock().micros() + delay);
        let (key, done_at) = self.storage.borrow_mut().submit(object, epoch, batch, reply, (done_at, fate));
        let store = Rc::clone(self);
        self.core.clock().at(done_at, move || store.complete(object, key));
    }

    fn fate(&self, batch: &Batch) -> Fate {
        let (disk, mut random) = (self.core.disk(), self.core.random());
        let has_log = || batch.alarm.is_none() && batch.spaces.iter().any(|writes| writes.space == Space::Log);
        match random.happens(disk.fails) {
            true => Fate::Fails,
            false if disk.doubts > 0 && has_log() && random.happens(disk.doubts) => Fate::InDoubt,
            false => Fate::Stored,
        }
    }

    fn is_stored(&self, object: Object, stored: impl IntoIterator<Item = StoredBatch>) {
        for StoredBatch { by, log } in stored {
            self.core.observe(|observer| observer.writes(object, by, &log));
        }
    }

    fn complete(self: &Rc<Self>, object: Object, key: u64) {
        let completed = self.storage.borrow_mut().complete(object, key);
        self.is_stored(object, completed.stored);
        self.schedule_alarms(object, completed.alarm);
        // A disk that keeps failing must not keep the object busy.
        let soonest = self.core.clock().now() + WAKE_AGAIN_AFTER;
        self.schedule_alarms(object, completed.kept.map(|kept| StoredAlarm { at: kept.at.max(soonest), ..kept }));
        if let Some((reply, outcome)) = completed.reply {
            let result = if outcome.is_ok() { "stored" } else { "NOT stored" };
            self.core.note(|| format!("{}: a batch is {result}", name(object)));
            reply.send(outcome);
        }
    }

    /// Claims an object for a life that begins. This decides which batches of earlier lives on their way are stored.
    pub(super) fn claim(self: &Rc<Self>, object: Object, epoch: Epoch) {
        self.settle(object);
        self.storage.borrow_mut().claim(object, epoch);
    }

    /// Handles the loss of a life before its handler could clear the alarm: the alarm rings again in the next life.
    pub(super) fn lose_life(self: &Rc<Self>, object: Object) {
        self.settle(object);
        self.ring_once_more(object);
    }

    /// Wakes the object at `at` if an alarm is due then.
    pub(super) fn wake_again(self: &Rc<Self>, object: Object, at: Timestamp) {
        let store = Rc::clone(self);
        self.core.clock().at(self.core.clock().micros_of(at), move || store.ring_once_more(object));
    }

    /// Lets the alarm ring again, even if it has rung.
    pub(super) fn ring_once_more(self: &Rc<Self>, object: Object) {
        let stored = self.storage.borrow_mut().stored_alarm(object).map(|stored| {
            stored.has_rung = false;
            *stored
        });
        self.schedule_alarms(object, stored);
    }

    fn settle(self: &Rc<Self>, object: Object) {
        let on_their_way = self.storage.borrow().on_their_way(object);
        if on_their_way == 0 {
            return;
        }
        let survive = self.core.random().below(on_their_way + 1);
        let Settled { replies, stored, alarms } = self.storage.borrow_mut().settle(object, survive);
        self.core.note(|| format!("{}: {survive} of {on_their_way} batches on their way survive", name(object)));
        self.is_stored(object, stored);
        for reply in replies {
            reply.send(Err(over()));
        }
        // A batch that would have replaced the alarm may be lost.
        let stays = self.storage.borrow_mut().stored_alarm(object).copied().filter(|stored| !stored.has_rung);
        self.schedule_alarms(object, alarms.into_iter().chain(stays));
    }

    fn schedule_alarms(self: &Rc<Self>, object: Object, alarms: impl IntoIterator<Item = StoredAlarm>) {
        for alarm in alarms {
            let store = Rc::clone(self);
            self.core
                .clock()
                .at(self.core.clock().micros_of(alarm.at), move || store.alarm_is_due(object, alarm.number));
        }
    }

    /// Rings an alarm that is due, unless it was replaced. It must not ring while another alarm is being set.
    fn alarm_is_due(self: &Rc<Self>, object: Object, number: u64) {
        let store = Rc::clone(self);
        self.when_reachable(object, move || {
            {
                let mut storage = store.storage.borrow_mut();
                if storage.is_replacing_alarm(object) {
                    return;
                }
                let due = storage.stored_alarm(object).filter(|now| now.number == number && !now.has_rung);
                let Some(due) = due else { return };
                due.has_rung = true;
            }
            store.ring(object);
        });
    }

    /// Returns the alarm of an object.
    pub(super) fn alarm(&self, object: Object) -> Option<Timestamp> {
        self.storage.borrow().alarm(object)
    }

    /// Runs `what` once the node of the object runs, and can reach the storage if it has to claim the object.
    fn when_reachable(self: &Rc<Self>, object: Object, what: impl FnOnce() + 'static) {
        let store = Rc::clone(self);
        self.core.when_running(self.lives.node_of(object), move || {
            let node = store.lives.node_of(object);
            if store.lives.current(object).is_none() && store.core.network().is_isolated(node) {
                let later = Rc::clone(&store);
                return store.core.clock().later(RETRY_MICROS, move || later.when_reachable(object, what));
            }
            what();
        });
    }

    fn ring(&self, object: Object) {
        self.core.note(|| format!("{}: alarms are due", name(object)));
        self.lives.get_or_begin(object).driver.alarms_due();
    }

    /// Returns the number of entries of all objects on disk.
    pub(super) fn entries(&self) -> usize {
        self.storage.borrow().count()
    }

    /// Returns how many entries reads of ranges have returned so far.
    pub(super) fn entries_listed(&self) -> u64 {
        self.storage.borrow().listed()
    }

    /// Returns a value on disk.
    pub(super) fn stored(&self, object: Object, space: Space, key: &[u8]) -> Option<Bytes> {
        self.storage.borrow().read(object, space, key)
    }

    /// Drops all batches on their way.
    pub(super) fn clear(&self) {
        let pending = self.storage.borrow_mut().clear();
        drop((pending, self.held.take()));
    }
}
