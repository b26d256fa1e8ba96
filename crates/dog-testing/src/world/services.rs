//! The services of a world, and the operations that involve several of them.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use dog::{Env, Epoch, SocketId};
use dog_engine::address::{ClassIndex, Object, ReplicaAddress, SeatId};
use dog_engine::host::SeatGuard;

use super::config::WorldConfig;
use super::connections::Connections;
use super::core::Core;
use super::life::{Driver, Life};
use super::lives::Lives;
use super::mail::Mail;
use super::store::Store;

/// A seat or a socket whose guard was dropped.
#[derive(Clone, Copy, Debug)]
enum Released {
    Seat { replica: ReplicaAddress, epoch: Epoch, seat: SeatId },
    Socket(SocketId),
}

type ReleasedList = Arc<Mutex<Vec<Released>>>;

struct Guard {
    what: Mutex<Option<Released>>,
    released: ReleasedList,
}

impl SeatGuard for Guard {
    fn disarm(&self) {
        self.what.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let what = self.what.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        self.released.lock().unwrap_or_else(PoisonError::into_inner).extend(what);
    }
}

/// The services of a world.
pub(super) struct Services {
    core: Rc<Core>,
    lives: Rc<Lives>,
    store: Rc<Store>,
    connections: Rc<Connections>,
    mail: Rc<Mail>,
    env: Env,
    classes: Vec<&'static str>,
    released: ReleasedList,
    stopping: Cell<bool>,
}

impl Services {
    pub(super) fn new(config: WorldConfig, env: Env, classes: Vec<&'static str>) -> Rc<Self> {
        let core = Core::new(config);
        let lives = Lives::new(&core);
        let (store, connections) = (Store::new(&core, &lives), Connections::new(&core, &lives));
        let mail = Mail::new(&core, &lives);
        let (released, stopping) = (ReleasedList::default(), Cell::new(false));
        Rc::new(Self { core, lives, store, connections, mail, env, classes, released, stopping })
    }

    pub(super) fn core(&self) -> &Rc<Core> {
        &self.core
    }

    pub(super) fn lives(&self) -> &Rc<Lives> {
        &self.lives
    }

    pub(super) fn store(&self) -> &Rc<Store> {
        &self.store
    }

    pub(super) fn connections(&self) -> &Rc<Connections> {
        &self.connections
    }

    pub(super) fn mail(&self) -> &Rc<Mail> {
        &self.mail
    }

    pub(super) fn env(&self) -> &Env {
        &self.env
    }

    /// Returns the class of a Group, by its name.
    pub(super) fn class(&self, name: &str) -> Option<ClassIndex> {
        let at = self.classes.iter().position(|class| *class == name)?;
        u16::try_from(at).ok().map(ClassIndex)
    }

    /// Whether the hosts have begun to shut down.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Lets the hosts begin to shut down.
    pub(super) fn stop(&self) {
        self.stopping.set(true);
        self.lives.all_current().iter().for_each(|(_, running)| running.driver.stop());
    }

    /// Removes a life that the engine has ended. The engine has closed its sockets.
    pub(super) fn life_ended(&self, object: Object, epoch: Epoch) {
        if let Some(ended) = self.lives.remove(object, epoch) {
            self.core.note(|| format!("{:?} ends life {}", ended.life, epoch.as_u64()));
            self.connections.end_life(&ended.life);
        }
    }

    /// Crashes the current life of an object with its tasks, its sockets and its unfinished writes. No one is told.
    /// Returns `false` if there is none.
    pub(super) fn crash(&self, object: Object) -> bool {
        let Some(epoch) = self.lives.current(object).map(|running| running.life.epoch()) else { return false };
        let Some(crashed) = self.lives.remove(object, epoch) else { return false };
        self.core.note(|| format!("{:?} crashes in life {}", crashed.life, epoch.as_u64()));
        self.lose_process(&crashed.life);
        self.store.lose_life(object);
        true
    }

    /// Ends the process of a life. The last messages that it sent are lost.
    pub(super) fn lose_process(&self, life: &Life) {
        let unsent = self.core.delay();
        life.crash(self.core.clock().micros().saturating_sub(unsent));
        self.core.observe(|observer| observer.crashes(life));
        self.core.tasks().end(life.id());
        self.connections.end_life(life);
    }

    /// Returns a guard that releases a seat.
    pub(super) fn seat_guard(&self, replica: ReplicaAddress, epoch: Epoch, seat: SeatId) -> Arc<dyn SeatGuard> {
        self.guard(Released::Seat { replica, epoch, seat })
    }

    /// Returns a guard that ends a socket.
    pub(super) fn socket_guard(&self, socket: SocketId) -> Arc<dyn SeatGuard> {
        self.guard(Released::Socket(socket))
    }

    fn guard(&self, what: Released) -> Arc<dyn SeatGuard> {
        Arc::new(Guard { what: Mutex::new(Some(what)), released: Arc::clone(&self.released) })
    }

    /// Processes the guards that were dropped since the last call.
    pub(super) fn collect_released(self: &Rc<Self>) {
        let released = std::mem::take(&mut *self.released.lock().unwrap_or_else(PoisonError::into_inner));
        for released in released {
            let (this, delay) = (Rc::clone(self), self.core.delay());
            self.core.clock().later(delay, move || this.release(released));
        }
    }

    fn release(self: &Rc<Self>, released: Released) {
        match released {
            Released::Socket(socket) => self.connections.lose(socket),
            Released::Seat { replica, epoch, seat } => {
                let Some(running) = self.lives.by_epoch(Object::Replica(replica), epoch) else { return };
                let this = Rc::clone(self);
                self.core.when_running(running.life.node(), move || this.release_seat(replica, epoch, seat));
            }
        }
    }

    fn release_seat(&self, replica: ReplicaAddress, epoch: Epoch, seat: SeatId) {
        let running = self.lives.by_epoch(Object::Replica(replica), epoch);
        if let Some(Driver::Replica(replica)) = running.map(|running| running.driver) {
            replica.released(seat);
        }
    }

    /// Breaks the reference cycles between services, objects and messages on their way, so that all are dropped.
    pub(super) fn clear(&self) {
        self.core.set_observer(None);
        self.core.clock().clear();
        self.core.tasks().clear();
        let lives = self.lives.clear();
        drop(lives);
        self.store.clear();
        self.connections.clear();
        self.mail.clear();
    }

    /// Drops what the end of the objects has left behind.
    pub(super) fn clear_rest(&self) {
        self.core.clock().clear();
        self.core.tasks().clear();
    }
}
