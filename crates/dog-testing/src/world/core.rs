//! What the services of a world share: the clock, random numbers, the network, the nodes and the observer.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;

use dog::Epoch;

use super::bugs::Bug;
use super::clock::{Clock, Micros};
use super::config::{DiskConfig, WorldConfig};
use super::life::Life;
use super::network::{Network, Weather};
use super::nodes::Nodes;
use super::observer::Observer;
use super::random::Random;
use super::tasks::Tasks;
use super::trace::Trace;

/// What the services of a world share.
pub(super) struct Core {
    config: WorldConfig,
    clock: Rc<Clock>,
    tasks: Tasks,
    trace: Trace,
    random: RefCell<Random>,
    network: RefCell<Network>,
    nodes: RefCell<Nodes>,
    disk: Cell<DiskConfig>,
    observer: RefCell<Option<Rc<dyn Observer>>>,
    /// The life whose code the thread runs.
    running_life: Cell<Option<Epoch>>,
    failures: RefCell<Vec<String>>,
}

impl Core {
    pub(super) fn new(config: WorldConfig) -> Rc<Self> {
        Rc::new(Self {
            config,
            clock: Rc::default(),
            tasks: Tasks::default(),
            trace: Trace::default(),
            random: RefCell::new(Random::new(config.seed)),
            network: RefCell::new(Network::new(config.weather)),
            nodes: RefCell::new(Nodes::new(config.nodes)),
            disk: Cell::new(config.disk),
            observer: RefCell::default(),
            running_life: Cell::new(None),
            failures: RefCell::default(),
        })
    }

    pub(super) fn config(&self) -> &WorldConfig {
        &self.config
    }

    pub(super) fn has_bug(&self, bug: Bug) -> bool {
        self.config.bug == Some(bug)
    }

    pub(super) fn clock(&self) -> &Rc<Clock> {
        &self.clock
    }

    pub(super) fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    pub(super) fn trace(&self) -> &Trace {
        &self.trace
    }

    pub(super) fn random(&self) -> RefMut<'_, Random> {
        self.random.borrow_mut()
    }

    pub(super) fn network(&self) -> RefMut<'_, Network> {
        self.network.borrow_mut()
    }

    pub(super) fn nodes(&self) -> RefMut<'_, Nodes> {
        self.nodes.borrow_mut()
    }

    pub(super) fn disk(&self) -> DiskConfig {
        self.disk.get()
    }

    pub(super) fn set_disk(&self, disk: DiskConfig) {
        self.disk.set(disk);
    }

    pub(super) fn weather(&self) -> Weather {
        self.network().weather()
    }

    pub(super) fn happens(&self, per_mille: u32) -> bool {
        self.random().happens(per_mille)
    }

    /// Returns a random delay of the network.
    pub(super) fn delay(&self) -> Micros {
        let (least, most) = self.weather().delay;
        self.random().within(least..=most)
    }

    /// Adds a line to the trace.
    pub(super) fn note(&self, line: impl FnOnce() -> String) {
        self.trace.note(self.clock.micros(), line);
    }

    /// Runs `what` now, or when the node is no longer paused.
    pub(super) fn when_running(self: &Rc<Self>, node: usize, what: impl FnOnce() + 'static) {
        let paused_until = self.nodes().paused_until(node);
        match paused_until {
            None => what(),
            Some(until) => {
                let core = Rc::clone(self);
                self.clock.at(until, move || core.when_running(node, what));
            }
        }
    }

    pub(super) fn set_observer(&self, observer: Option<Rc<dyn Observer>>) {
        self.observer.replace(observer);
    }

    /// Calls the observer, if there is one.
    pub(super) fn observe(&self, tell: impl FnOnce(&dyn Observer)) {
        let observer = self.observer.borrow().clone();
        if let Some(observer) = observer {
            tell(&*observer);
        }
    }

    /// Sets the life whose code the thread runs from now on. Returns the previous value.
    pub(super) fn runs(&self, life: Option<Epoch>) -> Option<Epoch> {
        self.observe(|observer| observer.runs(life));
        self.running_life.replace(life)
    }

    /// Records that a function of the user has failed.
    pub(super) fn fail(&self, life: &Life, what: &str) {
        self.note(|| format!("{life:?}: {what}"));
        self.failures.borrow_mut().push(format!("{}: {what}", life.party().full_name()));
    }

    /// Returns the failures of the user's functions.
    pub(super) fn failures(&self) -> RefMut<'_, Vec<String>> {
        self.failures.borrow_mut()
    }
}
