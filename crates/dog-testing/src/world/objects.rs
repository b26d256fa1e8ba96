//! Which lives there are: how they begin, end and crash, and on which node they are.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use dog::Epoch;
use dog_engine::address::{ClassIndex, GroupAddress, Object, ReplicaAddress};
use dog_engine::host::{GroupObject, ReplicaObject};

use super::World;
use super::network::Party;
use super::place::{Place, PlaceKey};

/// The engine's side of a life.
#[derive(Clone)]
pub enum Driver {
    Group(Rc<dyn GroupObject>),
    Replica(Rc<dyn ReplicaObject>),
}

/// One life of an object.
#[derive(Clone)]
pub struct Life {
    pub place: Rc<Place>,
    pub driver: Driver,
}

impl Life {
    fn is_told_to_stop(&self) {
        match &self.driver {
            Driver::Group(group) => Rc::clone(group).stopping(),
            Driver::Replica(replica) => Rc::clone(replica).stopping(),
        }
    }
}

pub(super) struct Objects {
    lives: BTreeMap<Object, Life>,
    /// All that ever lived.
    known: BTreeSet<Object>,
    nodes: usize,
    /// Where objects were put, those that never began or never crashed aside.
    moved: BTreeMap<Object, usize>,
    down: BTreeSet<usize>,
    next_place: PlaceKey,
    next_epoch: u64,
}

impl Objects {
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            lives: BTreeMap::new(),
            known: BTreeSet::new(),
            nodes,
            moved: BTreeMap::new(),
            down: BTreeSet::new(),
            next_place: 0,
            next_epoch: 0,
        }
    }

    pub(super) fn new_place(&mut self) -> PlaceKey {
        self.next_place += 1;
        self.next_place
    }

    fn new_epoch(&mut self) -> Epoch {
        self.next_epoch += 1;
        Epoch::from_raw(self.next_epoch)
    }

    pub(super) fn is_down(&self, node: usize) -> bool {
        self.down.contains(&node)
    }

    fn node_of(&self, object: Object) -> usize {
        let home = usize::from(object.id()[0]) % self.nodes;
        self.moved.get(&object).copied().unwrap_or(home)
    }

    pub(super) fn clear(&mut self) -> impl Sized + use<> {
        std::mem::take(&mut self.lives)
    }
}

/// What a party is called in a trace.
pub(super) fn name(party: Party) -> String {
    match party {
        Party::App(node) => format!("App@{node}"),
        Party::Object(Object::Group(address)) => short('G', address.group.as_bytes()),
        Party::Object(Object::Replica(address)) => short('R', address.replica.as_bytes()),
    }
}

/// The same for whoever does not read a trace.
pub(super) fn full_name(party: Party) -> String {
    match party {
        Party::App(_) => "the App".into(),
        Party::Object(Object::Group(address)) => format!("{:?}", address.group),
        Party::Object(Object::Replica(address)) => format!("{:?}", address.replica),
    }
}

fn short(kind: char, id: &[u8; 32]) -> String {
    format!("{kind}-{:02x}{:02x}", id[0], id[1])
}

impl World {
    pub fn class(&self, name: &str) -> Option<ClassIndex> {
        let at = self.classes.iter().position(|class| class.name == name)?;
        u16::try_from(at).ok().map(ClassIndex)
    }

    pub fn node_of(&self, object: Object) -> usize {
        self.objects.borrow().node_of(object)
    }

    pub fn is_down(&self, node: usize) -> bool {
        self.objects.borrow().is_down(node)
    }

    /// The object's present life, if it has one.
    pub fn living(&self, object: Object) -> Option<Life> {
        self.objects.borrow().lives.get(&object).cloned()
    }

    /// All lives.
    pub fn lives(&self) -> Vec<(Object, Life)> {
        self.objects.borrow().lives.iter().map(|(object, life)| (*object, life.clone())).collect()
    }

    /// All that ever lived.
    pub fn known_objects(&self) -> Vec<Object> {
        self.objects.borrow().known.iter().copied().collect()
    }

    /// The object, begun if it is not alive.
    fn life(self: &Rc<Self>, object: Object) -> Life {
        if let Some(life) = self.living(object) {
            return life;
        }
        let (node, epoch) = {
            let mut objects = self.objects.borrow_mut();
            let mut node = objects.node_of(object);
            if objects.is_down(node) {
                let up: Vec<usize> = (0..objects.nodes).filter(|node| !objects.is_down(*node)).collect();
                node = *self.random.borrow_mut().pick(&up);
                objects.moved.insert(object, node);
            }
            (node, objects.new_epoch())
        };
        self.settle_writes(object);
        self.note(|| format!("{} begins life {} on node {node}", name(Party::Object(object)), epoch.as_u64()));
        let place = Place::of_life(self, object, node, epoch);
        self.observe(|observer| observer.begins(&place));
        let class = &self.classes[usize::from(object.group().class.0)];
        let driver = match object {
            Object::Group(address) => Driver::Group((class.group)(Rc::clone(&place), address, epoch)),
            Object::Replica(address) => Driver::Replica((class.replica)(Rc::clone(&place), address, epoch)),
        };
        let life = Life { place, driver };
        if self.stopping.get() {
            life.is_told_to_stop();
        }
        let mut objects = self.objects.borrow_mut();
        objects.known.insert(object);
        objects.lives.insert(object, life.clone());
        life
    }

    /// All lives are told, and those that begin from now on.
    pub fn begin_shutdown(&self) {
        self.stopping.set(true);
        self.lives().iter().for_each(|(_, life)| life.is_told_to_stop());
    }

    pub(super) fn group(self: &Rc<Self>, address: GroupAddress) -> (Rc<dyn GroupObject>, Rc<Place>) {
        match self.life(Object::Group(address)) {
            Life { driver: Driver::Group(group), place } => (group, place),
            Life { driver: Driver::Replica(_), .. } => unreachable!("a Group's address has a Group"),
        }
    }

    pub(super) fn replica(self: &Rc<Self>, address: ReplicaAddress) -> (Rc<dyn ReplicaObject>, Rc<Place>) {
        match self.life(Object::Replica(address)) {
            Life { driver: Driver::Replica(replica), place } => (replica, place),
            Life { driver: Driver::Group(_), .. } => unreachable!("a Replica's address has a Replica"),
        }
    }

    /// The Replica, if it is alive, and if `epoch` is given in that life.
    pub(super) fn living_replica(
        &self,
        address: ReplicaAddress,
        epoch: Option<Epoch>,
    ) -> Option<Rc<dyn ReplicaObject>> {
        match self.living(Object::Replica(address))? {
            Life { driver: Driver::Replica(replica), place } if epoch.is_none_or(|epoch| epoch == place.epoch) => {
                Some(replica)
            }
            _ => None,
        }
    }

    /// The engine says that a life is over. It has closed its sockets itself.
    pub(super) fn life_ended(&self, object: Object, epoch: Epoch) {
        let mut objects = self.objects.borrow_mut();
        let ended = objects.lives.get(&object).is_some_and(|life| life.place.epoch == epoch);
        let ended = if ended { objects.lives.remove(&object) } else { None };
        drop(objects);
        if let Some(ended) = ended {
            self.note(|| format!("{:?} ends life {}", ended.place, epoch.as_u64()));
            self.sockets_of_ended(&ended.place);
        }
    }

    /// The life is gone without a word: its tasks, its sockets, what it has not written.
    pub fn crash(&self, object: Object) -> bool {
        let life = self.objects.borrow_mut().lives.remove(&object);
        let Some(life) = life else { return false };
        self.note(|| format!("{:?} crashes in life {}", life.place, life.place.epoch.as_u64()));
        let unsent = self.delay();
        life.place.kill(self.agenda.micros().saturating_sub(unsent));
        self.observe(|observer| observer.crashes(&life.place));
        self.tasks.end(life.place.key);
        self.sockets_of_ended(&life.place);
        self.crash_writes(object);
        true
    }

    /// All objects on a node crash, and until it is up again they live elsewhere.
    pub fn crash_node(&self, node: usize) {
        let objects: Vec<Object> =
            self.lives().into_iter().filter(|(_, life)| life.place.node == node).map(|(object, _)| object).collect();
        self.note(|| format!("node {node} crashes with {} objects", objects.len()));
        self.objects.borrow_mut().down.insert(node);
        for object in objects {
            self.crash(object);
        }
        // Requests that were being answered there are lost with it.
        let app = self.apps.borrow().get(node).map(|app| app.key);
        app.into_iter().for_each(|app| self.tasks.end(app));
        let mut network = self.network.borrow_mut();
        network.harmed += 1;
        network.cut_ever += 1;
    }

    pub fn all_up(&self) {
        self.objects.borrow_mut().down.clear();
    }
}
