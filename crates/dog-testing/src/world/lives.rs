//! The lives of objects, and the nodes on which they run.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use dog::Epoch;
use dog_engine::address::Object;

use super::core::Core;
use super::life::RunningLife;
use super::tasks::OwnerId;

/// A function that begins a life of an object on a node, with this number.
type BeginLife = Box<dyn Fn(Object, usize, Epoch) -> RunningLife>;

/// The lives of all objects.
pub(super) struct Lives {
    core: Rc<Core>,
    begin: OnceCell<BeginLife>,
    current: RefCell<BTreeMap<Object, RunningLife>>,
    /// The lives on nodes that were struck off and have not noticed. The object may also have a current life.
    superseded: RefCell<BTreeMap<(Object, Epoch), RunningLife>>,
    known: RefCell<BTreeSet<Object>>,
    /// The nodes of objects that have moved from their home node.
    moved: RefCell<BTreeMap<Object, usize>>,
    next_owner: Cell<OwnerId>,
    next_epoch: Cell<u64>,
}

impl Lives {
    pub(super) fn new(core: &Rc<Core>) -> Rc<Self> {
        Rc::new(Self {
            core: Rc::clone(core),
            begin: OnceCell::new(),
            current: RefCell::default(),
            superseded: RefCell::default(),
            known: RefCell::default(),
            moved: RefCell::default(),
            next_owner: Cell::new(0),
            next_epoch: Cell::new(0),
        })
    }

    /// Sets how lives begin. Called once.
    pub(super) fn begin_with(&self, begin: impl Fn(Object, usize, Epoch) -> RunningLife + 'static) {
        drop(self.begin.set(Box::new(begin)));
    }

    pub(super) fn new_owner(&self) -> OwnerId {
        self.next_owner.set(self.next_owner.get() + 1);
        self.next_owner.get()
    }

    /// Returns the node on which an object lives, or would begin.
    pub(super) fn node_of(&self, object: Object) -> usize {
        if let Some(current) = self.current.borrow().get(&object) {
            return current.life.node();
        }
        let nodes = self.core.nodes();
        let home = usize::from(object.id()[0]) % nodes.count();
        let node = self.moved.borrow().get(&object).copied().unwrap_or(home);
        let members = nodes.members();
        drop(nodes);
        if members.is_empty() || members.contains(&node) {
            return node;
        }
        let node = *self.core.random().pick(&members);
        self.moved.borrow_mut().insert(object, node);
        node
    }

    /// Returns the current life of an object.
    pub(super) fn current(&self, object: Object) -> Option<RunningLife> {
        self.current.borrow().get(&object).cloned()
    }

    /// Returns the life of an object on that node: the current one, or a superseded one that still runs there.
    pub(super) fn on_node(&self, object: Object, node: usize) -> Option<RunningLife> {
        let current = self.current(object).filter(|running| running.life.node() == node);
        current.or_else(|| {
            let superseded = self.superseded.borrow();
            let mut lives =
                superseded.range((object, Epoch::default())..).take_while(|((other, _), _)| *other == object);
            lives.find(|(_, running)| running.life.node() == node).map(|(_, running)| running.clone())
        })
    }

    /// Returns the life of an object with that number, current or superseded.
    pub(super) fn by_epoch(&self, object: Object, epoch: Epoch) -> Option<RunningLife> {
        let current = self.current(object).filter(|running| running.life.epoch() == epoch);
        current.or_else(|| self.superseded.borrow().get(&(object, epoch)).cloned())
    }

    /// Returns the current life of an object. Begins one if there is none.
    pub(super) fn get_or_begin(&self, object: Object) -> RunningLife {
        if let Some(current) = self.current(object) {
            return current;
        }
        let Some(begin) = self.begin.get() else { unreachable!("a world says how lives begin before one does") };
        let node = self.node_of(object);
        self.next_epoch.set(self.next_epoch.get() + 1);
        let running = begin(object, node, Epoch::from_raw(self.next_epoch.get()));
        self.known.borrow_mut().insert(object);
        self.current.borrow_mut().insert(object, running.clone());
        running
    }

    /// Removes a life that is over.
    pub(super) fn remove(&self, object: Object, epoch: Epoch) -> Option<RunningLife> {
        let is_current = self.current(object).is_some_and(|running| running.life.epoch() == epoch);
        if is_current {
            return self.current.borrow_mut().remove(&object);
        }
        self.superseded.borrow_mut().remove(&(object, epoch))
    }

    /// Marks the current lives on a node as superseded. They still run there, but the objects can begin other lives
    /// elsewhere.
    pub(super) fn supersede(&self, node: usize) -> Vec<RunningLife> {
        let lives = self.all_current_on(node);
        for running in &lives {
            if let Some(object) = running.life.object() {
                self.current.borrow_mut().remove(&object);
                self.superseded.borrow_mut().insert((object, running.life.epoch()), running.clone());
            }
        }
        lives
    }

    fn all_current_on(&self, node: usize) -> Vec<RunningLife> {
        self.current.borrow().values().filter(|running| running.life.node() == node).cloned().collect()
    }

    /// Returns all lives on a node.
    pub(super) fn all_on(&self, node: usize) -> Vec<RunningLife> {
        let superseded = self.superseded.borrow();
        let superseded = superseded.values().filter(|running| running.life.node() == node).cloned();
        self.all_current_on(node).into_iter().chain(superseded).collect()
    }

    /// Returns all current lives.
    pub(super) fn all_current(&self) -> Vec<(Object, RunningLife)> {
        self.current.borrow().iter().map(|(object, running)| (*object, running.clone())).collect()
    }

    /// Returns the lives on nodes that were struck off that still run.
    pub(super) fn all_superseded(&self) -> Vec<(Object, Epoch)> {
        self.superseded.borrow().keys().copied().collect()
    }

    /// Returns all objects that have ever lived.
    pub(super) fn known(&self) -> Vec<Object> {
        self.known.borrow().iter().copied().collect()
    }

    /// Takes all lives.
    pub(super) fn clear(&self) -> impl Sized + use<> {
        (self.current.take(), self.superseded.take())
    }
}
