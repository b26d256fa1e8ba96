//! What a Group and a Replica have in common: [`ObjectCore`].

use std::rc::Rc;

use dog::internal::{LocalFuture, StoragePort};
use dog::{Alarm, Epoch, Error};

use super::idle::IdleState;
use super::life::Life;
use super::storage::{Outbox, Store, StorePort};
use super::streams::Streams;
use super::tasks::Tasks;
use crate::address::Object;
use crate::driver::failures::UserFunction;
use crate::host::Host;

/// One life of an object, and what belongs to every life: storage with alarms, tasks, streamed responses, hibernation.
pub(in crate::driver) struct ObjectCore<V, H: Host> {
    host: Rc<H>,
    object: Object,
    life: Life<V>,
    idle: IdleState,
    streams: Streams,
    tasks: Tasks,
    store: Rc<Store<H>>,
}

impl<V: 'static, H: Host> ObjectCore<V, H> {
    pub(in crate::driver) fn new(host: Rc<H>, object: Object, epoch: Epoch) -> Self {
        Self {
            store: Store::new(Rc::clone(&host), object, epoch),
            host,
            object,
            life: Life::new(epoch),
            idle: IdleState::default(),
            streams: Streams::default(),
            tasks: Tasks::default(),
        }
    }

    pub(in crate::driver) fn host(&self) -> &Rc<H> {
        &self.host
    }

    pub(in crate::driver) fn object(&self) -> Object {
        self.object
    }

    pub(in crate::driver) fn epoch(&self) -> Epoch {
        self.life.epoch()
    }

    pub(in crate::driver) fn life(&self) -> &Life<V> {
        &self.life
    }

    pub(super) fn idle(&self) -> &IdleState {
        &self.idle
    }

    pub(in crate::driver) fn streams(&self) -> &Streams {
        &self.streams
    }

    pub(super) fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    pub(in crate::driver) fn store(&self) -> &Rc<Store<H>> {
        &self.store
    }

    /// The storage as the user's code sees it in the current activation.
    pub(in crate::driver) fn storage_port(&self, outbox: Option<Rc<dyn Outbox>>) -> Rc<dyn StoragePort> {
        StorePort::new_port(&self.store, self.life.activation(), outbox)
    }

    /// Ends the life, by a fault of the user's code: nothing is written any more, and alarms whose handlers run are tried again
    /// by the next life. Returns `false` if the life had ended before.
    pub(in crate::driver) fn end(&self) -> bool {
        let first = self.life.end();
        if first {
            self.store.end_alarms();
            self.store.end();
        }
        first
    }

    /// Ends the life because another may have begun. Returns `false` if the life had ended before.
    pub(in crate::driver) fn cease(&self) -> bool {
        let first = self.life.end();
        if first {
            self.store.cease_alarms();
            self.store.end();
        }
        first
    }

    /// Ends the life of an object that hibernates and has nothing to keep in memory.
    pub(in crate::driver) fn leave_memory(&self) -> bool {
        let first = self.life.end();
        if first {
            self.store.end();
        }
        first
    }
}

/// An object that tasks run in.
pub(in crate::driver) trait Living: 'static {
    /// What is in memory while the object is awake.
    type Value: 'static;
    /// Its host.
    type Host: Host;
    /// The user's function that handles alarms.
    const ON_ALARM: UserFunction;

    /// The part that all objects have.
    fn core(&self) -> &ObjectCore<Self::Value, Self::Host>;
    /// Waits until the user's value is in memory.
    fn awaken(self: &Rc<Self>) -> LocalFuture<Result<(), Error>>;
    /// Calls the user's handler of an alarm.
    fn on_alarm(self: &Rc<Self>, alarm: Alarm) -> LocalFuture<dog::Result>;
    /// Ends the life, because the user's code has panicked or could not be activated.
    fn end(&self);
    /// Drops the user's value if nothing needs it, and ends the life if nothing at all has to stay in memory. Returns
    /// `false` if this has to be tried again later.
    fn hibernate(self: &Rc<Self>) -> bool;
}
