//! The host that the engine runs on: [`WorkersHost`]. There is one for each object in memory, and one for each request from
//! outside while the App answers it. `host_port` implements the engine's traits for it.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use dog::internal::{Kind, Logs};
use dog::{AutoResponse, Env, Epoch, Error, SocketId};
use dog_engine::Class;
use dog_engine::address::{ClassIndex, Object};
use dog_engine::host::{End, GroupObject, ReplicaObject};
use dog_engine::wire::{self, ToGroup};
use futures_channel::oneshot;
use js_sys::Reflect;
use wasm_bindgen::{JsCast, JsValue};

use crate::names;
use crate::outbox::{ObjectOutbox, TakeAcknowledgement};
use crate::platform::{AutoResponsePair, ExecutionContext, ObjectState, error_text};
use crate::sockets::ObjectSockets;
use crate::storage::SqliteStorage;
use crate::stubs::{GroupExports, Stubs};

/// A variable of the Worker, for tests. If it is set, every object hibernates after every event.
const HIBERNATE: &str = "DOG_HIBERNATE_AFTER_EVERY_EVENT";

/// The Worker that `export!` defines.
pub struct WorkerDefinition {
    /// The classes of the App, in the order of `App::Groups`.
    pub classes: fn() -> Vec<Class<WorkersHost>>,
    /// Makes the `Env` of objects from the bindings.
    pub env: fn(&worker::Env) -> Env,
    /// The exported classes of each Group.
    pub exports: &'static [GroupExports],
}

/// The host of one object, or of one request from outside.
pub struct WorkersHost {
    pub(crate) env: Env,
    pub(crate) classes: Vec<Class<WorkersHost>>,
    /// For tests: whether every object hibernates after every event.
    pub(crate) hibernate_after: Option<Duration>,
    pub(crate) stubs: Rc<Stubs>,
    pub(crate) outbox: Rc<ObjectOutbox>,
    /// The object that lives here, if one does.
    pub(crate) here: OnceCell<LocalObject>,
    pub(crate) this: Weak<WorkersHost>,
    /// Number of handlers that wait for something, and those who wait until there are none.
    busy: Cell<usize>,
    idle: RefCell<Vec<oneshot::Sender<()>>>,
}

/// The object that lives here.
pub(crate) struct LocalObject {
    pub(crate) object: Object,
    pub(crate) storage: SqliteStorage,
    pub(crate) sockets: RefCell<ObjectSockets>,
    /// The name of an object that has never lived. Its first life stores it: until then the object leaves no row.
    new_name: RefCell<Option<String>>,
    life: RefCell<Option<LiveObject>>,
    /// ObjectSockets that have ended, whose Replica is to be told in a turn of its own.
    ended: RefCell<Vec<(SocketId, End)>>,
}

/// One activation of the object.
#[derive(Clone)]
pub(crate) enum LiveObject {
    Group(Rc<dyn GroupObject>),
    Replica(Rc<dyn ReplicaObject>),
}

impl LiveObject {
    pub(crate) fn epoch(&self) -> Epoch {
        match self {
            Self::Group(group) => group.epoch(),
            Self::Replica(replica) => replica.epoch(),
        }
    }
}

impl WorkersHost {
    pub(crate) fn new(
        worker: &'static WorkerDefinition,
        bindings: JsValue,
        context: Option<ExecutionContext>,
    ) -> Rc<Self> {
        crate::log::begin();
        let env = (worker.env)(bindings.unchecked_ref());
        let hibernates = Reflect::get(&bindings, &HIBERNATE.into()).is_ok_and(|hibernates| hibernates.is_string());
        let classes = (worker.classes)();
        let stubs = Rc::new(Stubs::new(bindings, classes.iter().map(|class| class.name), worker.exports));
        Rc::new_cyclic(|this: &Weak<Self>| {
            let weak = Weak::clone(this);
            let acknowledged = Logs::get().map(|_| -> TakeAcknowledgement {
                Box::new(move |answer| {
                    if let Some(host) = weak.upgrade() {
                        host.acknowledged(answer);
                    }
                })
            });
            Self {
                env,
                classes,
                hibernate_after: hibernates.then_some(Duration::ZERO),
                outbox: ObjectOutbox::new(Rc::clone(&stubs), context, acknowledged),
                stubs,
                here: OnceCell::new(),
                this: Weak::clone(this),
                busy: Cell::new(0),
                idle: RefCell::default(),
            }
        })
    }

    /// The host of an object of the class `class`.
    pub(crate) fn of_object(
        worker: &'static WorkerDefinition,
        class: &str,
        state: ObjectState,
        bindings: JsValue,
    ) -> Result<Rc<Self>, Error> {
        let host = Self::new(worker, bindings, None);
        let class = host.class_index(class)?;
        let storage = SqliteStorage::open(state.storage())?;
        let stored = storage.name()?;
        let is_new = stored.is_none();
        let Some(name) = stored.or_else(|| state.id().name()) else {
            let text = "the object has no name: it must be reached through idFromName";
            return Err(Error::new(Kind::InvalidId, text));
        };
        let object = names::address(class, &name)?;
        if let (Object::Replica(_), Some(auto)) = (object, host.class_at(class)?.auto_response) {
            answer_by_itself(&state, auto);
        }
        let sockets = RefCell::new(ObjectSockets::restore(state, &storage));
        let new_name = RefCell::new(is_new.then_some(name));
        let (life, ended) = (RefCell::default(), RefCell::default());
        let here = LocalObject { object, storage, sockets, new_name, life, ended };
        // The cell is empty until now.
        let _ = host.here.set(here);
        Ok(host)
    }

    pub(crate) fn class_index(&self, name: &str) -> Result<ClassIndex, Error> {
        let at = self.classes.iter().position(|class| class.name == name).map(u16::try_from);
        match at {
            Some(Ok(at)) => Ok(ClassIndex(at)),
            _ => Err(Error::new(Kind::UnknownGroup, format!("the Group \"{name}\" is not in App::Groups"))),
        }
    }

    pub(crate) fn here(&self) -> Result<&LocalObject, Error> {
        self.here.get().ok_or_else(|| Error::new(Kind::Unreachable, "no object lives here"))
    }

    /// The current activation of the object. Activates it if there is none.
    pub(crate) fn life(&self) -> Result<LiveObject, Error> {
        let here = self.here()?;
        if let Some(life) = &*here.life.borrow() {
            return Ok(life.clone());
        }
        let host = self.this.upgrade().ok_or_else(|| Error::new(Kind::Unreachable, "the object has left memory"))?;
        if let Some(name) = &*here.new_name.borrow() {
            // Not every event carries the name.
            here.storage.set_name(name)?;
        }
        drop(here.new_name.take());
        let epoch = here.storage.next_epoch()?;
        let class = self.class_at(here.object.group().class)?;
        let life = match here.object {
            Object::Group(address) => LiveObject::Group((class.group)(host, address, epoch)),
            Object::Replica(address) => LiveObject::Replica((class.replica)(host, address, epoch)),
        };
        here.life.replace(Some(life.clone()));
        Ok(life)
    }

    /// Whether the object that is here has never lived.
    pub(crate) fn has_never_lived(&self) -> bool {
        self.here.get().is_some_and(|here| here.new_name.borrow().is_some())
    }

    /// The current activation, if there is one.
    pub(crate) fn present(&self) -> Option<LiveObject> {
        self.here.get()?.life.borrow().clone()
    }

    pub(crate) fn life_ended(&self, epoch: Epoch) {
        if let Some(here) = self.here.get() {
            here.life.borrow_mut().take_if(|life| life.epoch() == epoch);
        }
    }

    fn class_at(&self, class: ClassIndex) -> Result<&Class<Self>, Error> {
        let class = self.classes.get(usize::from(class.0));
        class.ok_or_else(|| {
            Error::new(
                Kind::UnknownGroup,
                "this Worker has no such Group: its objects come from different versions of the App",
            )
        })
    }

    /// A handler waits for something.
    pub(crate) fn is_busier(&self) {
        self.busy.set(self.busy.get() + 1);
    }

    pub(crate) fn is_less_busy(&self) {
        self.busy.set(self.busy.get().saturating_sub(1));
        if self.busy.get() == 0 {
            // A receiver may have gone.
            self.idle.take().into_iter().for_each(|waiting| waiting.send(()).unwrap_or_default());
        }
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.busy.get() > 0
    }

    /// Completes when no handler waits any more.
    pub(crate) async fn idle(self: Rc<Self>) {
        while self.is_busy() {
            let (sender, receiver) = oneshot::channel();
            self.idle.borrow_mut().push(sender);
            // The sender is dropped unsent only together with the host.
            let _ = receiver.await;
        }
    }

    /// A Replica has answered to publications of the Group that is here.
    pub(crate) fn acknowledged(&self, answer: &[u8]) {
        let Some(LiveObject::Group(group)) = self.present() else { return };
        match wire::decode(answer) {
            Ok(ToGroup::Cast(cast)) => group.cast(cast),
            Ok(ToGroup::Call(_)) => {}
            Err(error) => tracing::error!("what a Replica acknowledges cannot be read: {error}"),
        }
    }

    /// A socket has ended, and not because its Replica closed it. The Replica is told in a task of its own.
    pub(crate) fn socket_ended(&self, socket: SocketId, end: End) {
        let (Some(here), Some(this)) = (self.here.get(), self.this.upgrade()) else { return };
        here.ended.borrow_mut().push((socket, end));
        crate::spawn::spawn(async move { this.tell_ended() });
    }

    pub(crate) fn tell_ended(&self) {
        let Some(here) = self.here.get() else { return };
        let ended = here.ended.take();
        for (socket, end) in ended {
            if let Ok(LiveObject::Replica(replica)) = self.life() {
                replica.closed(socket, end);
            }
            here.sockets.borrow_mut().forget(socket, &here.storage);
        }
    }
}

/// Makes the runtime answer that text from now on, without activating the object.
fn answer_by_itself(state: &ObjectState, auto: AutoResponse) {
    let pair = AutoResponsePair::new(auto.request(), auto.response());
    if let Err(thrown) = pair.and_then(|pair| state.set_web_socket_auto_response(&pair)) {
        // The engine answers instead, which activates the object.
        tracing::error!("the runtime refused an automatic response: {}", error_text(&thrown));
    }
}
