//! The simulated world: one thread, one clock, some nodes with objects on them, a network between, clients outside.
//!
//! - `agenda`: the clock and what is to happen when; `tasks`: the executor; `trace`: what has happened
//! - `place`: the engine's [`Host`](dog_engine::host::Host), one for each life of an object, so that a life that is
//!   over can do nothing; `promise`: an answer on its way
//! - `objects`: which lives there are, how they begin and crash; `mail`: what they say to each other; `traffic`: how much
//!   that is
//! - `network`: delays, cuts, losses; `storage`: what is kept; `writing`: how it gets there; alarms
//! - `sockets`: connections, as the host has them; `clients`: who is at their other end

mod agenda;
mod bugs;
mod clients;
mod mail;
mod network;
mod objects;
mod place;
mod promise;
mod random;
mod sockets;
mod storage;
mod tasks;
mod trace;
mod traffic;
mod writing;

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dog::internal::LocalFuture;
use dog::{App, Env, Message, ReplicaId, Request, Response, SocketId};
use dog_engine::address::{Targets, TicketId};
use dog_engine::{Class, Front, classes};

pub use agenda::Micros;
pub use clients::{ClientKey, ClientState};
pub use network::{Network, Party, Weather};
pub use objects::Driver;
pub use place::{Dropped, Place};
pub use sockets::Sockets;
pub use traffic::{Amount, Traffic};

use agenda::{Agenda, Event};
use objects::Objects;
use storage::Storage;
use tasks::Tasks;
use trace::Trace;

pub use bugs::Bug;
pub use random::Random;

/// The user's App on one node, its type forgotten.
type Answering = Rc<dyn Fn(Request) -> LocalFuture<Response>>;

/// Is told what happens, to judge it.
pub trait Observer {
    /// A life hands a message over to its own sockets.
    fn hands_over(&self, world: &World, from: &Place, message: &Message);
    /// A life sends a message to other Replicas, in a way that loses none unless it is cut.
    fn addresses(&self, to: &Targets, message: &Message);
    /// A life asks another Replica to deliver a message, and to say so.
    fn asks(&self, to: ReplicaId, message: &Message);
    /// A client has got a message.
    fn receives(&self, world: &World, client: ClientKey, message: &Message);
    /// An object begins a life.
    fn begins(&self, place: &Place);
    /// A life has a new socket.
    fn opens(&self, world: &World, place: &Place, socket: SocketId);
    /// A life has crashed, and with it what it had just said.
    fn crashes(&self, place: &Place);
    /// A socket has ended, as far as the host is concerned.
    fn ends(&self, socket: SocketId);
    /// A Replica has let somebody in; whether the ticket had expired when it came.
    fn lets_in(&self, place: &Place, ticket: TicketId, expired: bool);
    /// Code of an object has panicked.
    fn panics(&self, place: &Place);
}

/// How the disk is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk {
    /// Microseconds a write takes at most.
    pub delay: Micros,
    /// How many of a thousand writes fail.
    pub fails: u32,
}

/// How a world is made.
#[derive(Clone, Copy, Debug)]
pub struct Making {
    pub seed: u64,
    pub nodes: usize,
    pub weather: Weather,
    pub disk: Disk,
    /// How many bytes may wait for one client.
    pub outbox: usize,
    /// How long an object may be idle before it leaves memory.
    pub hibernate_after: Option<Duration>,
    /// Whether objects look after each other while nothing happens.
    pub keeps_watch: bool,
    pub bug: Option<Bug>,
}

pub struct World {
    this: Weak<World>,
    env: Env,
    classes: Vec<Class<Place>>,
    fronts: RefCell<Vec<Answering>>,
    /// The places from which the App speaks, one a node.
    apps: RefCell<Vec<Rc<Place>>>,
    pub agenda: Agenda,
    tasks: Tasks,
    pub trace: Trace,
    pub random: RefCell<Random>,
    pub network: RefCell<Network>,
    pub disk: Cell<Disk>,
    storage: RefCell<Storage>,
    objects: RefCell<Objects>,
    pub sockets: RefCell<Sockets>,
    /// Seats and sockets whose guards were dropped, on whatever thread.
    dropped: Arc<Mutex<Vec<Dropped>>>,
    observer: RefCell<Option<Rc<dyn Observer>>>,
    /// What was said, if it is counted.
    traffic: RefCell<Option<Traffic>>,
    /// What users' functions have failed with, and where.
    pub failures: RefCell<Vec<String>>,
    /// Whether the server has begun to shut down.
    stopping: Cell<bool>,
    outbox: usize,
    hibernate_after: Option<Duration>,
    keeps_watch: bool,
    pub bug: Option<Bug>,
    /// Tasks are picked by chance, or the oldest first.
    picks: bool,
}

impl World {
    pub fn new<A: App>(app: A, env: Env, making: Making) -> Rc<Self> {
        let world = Rc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            env,
            classes: classes::<A, Place>(),
            fronts: RefCell::default(),
            apps: RefCell::default(),
            agenda: Agenda::default(),
            tasks: Tasks::default(),
            trace: Trace::default(),
            random: RefCell::new(Random::new(making.seed)),
            network: RefCell::new(Network::new(making.weather)),
            disk: Cell::new(making.disk),
            storage: RefCell::default(),
            objects: RefCell::new(Objects::new(making.nodes)),
            sockets: RefCell::default(),
            dropped: Arc::default(),
            observer: RefCell::default(),
            traffic: RefCell::default(),
            failures: RefCell::default(),
            stopping: Cell::new(false),
            outbox: making.outbox,
            hibernate_after: making.hibernate_after,
            keeps_watch: making.keeps_watch,
            bug: making.bug,
            picks: making.weather.delay.1 > 0,
        });
        let app = Arc::new(app);
        for node in 0..making.nodes {
            let place = Place::of_app(&world, node);
            let front = Rc::new(Front::new(Arc::clone(&app), Rc::clone(&place)));
            let answering: Answering = Rc::new(move |request| {
                let front = Rc::clone(&front);
                Box::pin(async move { front.fetch(request).await })
            });
            world.fronts.borrow_mut().push(answering);
            world.apps.borrow_mut().push(place);
        }
        world
    }

    pub fn observed_by(&self, observer: Rc<dyn Observer>) {
        self.observer.replace(Some(observer));
    }

    fn observe(&self, tell: impl FnOnce(&dyn Observer)) {
        let observer = self.observer.borrow().clone();
        if let Some(observer) = observer {
            tell(&*observer);
        }
    }

    /// Held by whoever calls a method of it.
    fn this(&self) -> Rc<Self> {
        self.this.upgrade().unwrap_or_else(|| unreachable!("a world that is used is held"))
    }

    pub fn note(&self, line: impl FnOnce() -> String) {
        self.trace.note(self.agenda.micros(), line);
    }

    pub fn nodes(&self) -> usize {
        self.apps.borrow().len()
    }

    /// One of the user's functions has failed.
    fn failed(&self, place: &Place, what: &str) {
        self.note(|| format!("{place:?}: {what}"));
        self.failures.borrow_mut().push(format!("{}: {what}", objects::full_name(place.party)));
    }

    /// Whose task ran last.
    pub fn last_to_run(&self) -> String {
        let last = self.tasks.last();
        let living = self.lives().into_iter().find(|(_, life)| life.place.key == last);
        living.map_or_else(|| "the App".into(), |(object, _)| objects::full_name(Party::Object(object)))
    }

    /// Does `what` after `delay` microseconds.
    pub fn later(&self, delay: Micros, what: impl FnOnce(&Rc<World>) + 'static) {
        self.at(self.agenda.micros().saturating_add(delay), what);
    }

    pub fn at(&self, at: Micros, what: impl FnOnce(&Rc<World>) + 'static) {
        self.agenda.put(at, Event::Do(Box::new(what)));
    }

    /// A delay such as the weather has.
    fn delay(&self) -> Micros {
        let (least, most) = self.network.borrow().weather.delay;
        self.random.borrow_mut().within(least..=most)
    }

    /// One step: a task goes on, or the next thing until `until` happens. `false` when there is neither.
    pub fn step(self: &Rc<Self>, until: Micros) -> bool {
        self.collect_dropped();
        let choose = |ready| if self.picks { self.random.borrow_mut().below(ready) } else { 0 };
        if self.tasks.run_one(choose) {
            return true;
        }
        match self.agenda.take(until) {
            Some(Event::Wake(waker)) => waker.wake(),
            Some(Event::Do(what)) => what(self),
            None => return false,
        }
        true
    }

    /// What the clock says when `duration` has passed.
    pub fn after(&self, duration: Duration) -> Micros {
        self.agenda.micros() + Self::span(duration)
    }

    /// As long as `duration`.
    pub fn span(duration: Duration) -> Micros {
        u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / 2)
    }

    fn collect_dropped(self: &Rc<Self>) {
        let dropped = std::mem::take(&mut *self.dropped.lock().unwrap_or_else(PoisonError::into_inner));
        for dropped in dropped {
            let delay = self.delay();
            self.later(delay, move |world| world.given_back(dropped));
        }
    }

    /// Objects, their host and what is on its way hold each other: cut when the world ends.
    pub fn end(&self) {
        self.observer.take();
        self.agenda.clear();
        self.tasks.clear();
        let objects = self.objects.borrow_mut().clear();
        drop(objects);
        let pending = self.storage.borrow_mut().clear();
        drop(pending);
        let connections = self.sockets.borrow_mut().clear();
        drop(connections);
        let (fronts, apps) = (self.fronts.take(), self.apps.take());
        drop((fronts, apps));
        self.agenda.clear();
        self.tasks.clear();
    }
}
