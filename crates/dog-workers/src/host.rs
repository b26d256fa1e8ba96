//! One place where the engine runs: an object, or the answering of one request. It holds what the engine's primitives
//! need; they themselves stand in `primitives`.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use dog::internal::Kind;
use dog::{AutoResponse, Env, Epoch, Error, SocketId};
use dog_engine::Class;
use dog_engine::address::{ClassIndex, Object};
use dog_engine::host::{End, GroupObject, ReplicaObject};
use futures_channel::oneshot;
use js_sys::Reflect;
use wasm_bindgen::{JsCast, JsValue};

use crate::letters;
use crate::platform::{AutoResponsePair, ExecutionContext, State, Stub, words};
use crate::post::Post;
use crate::sockets::Sockets;
use crate::storage::Storage;
use crate::stubs::Stubs;

/// A variable of the Worker. If it is there, objects let their values go after every event: to find what would break.
const HIBERNATE: &str = "DOG_HIBERNATE_AFTER_EVERY_EVENT";

/// What `export!` says of a Worker.
pub struct Worker {
    /// The App's classes, in the order of `App::Groups`.
    pub classes: fn() -> Vec<Class<Host>>,
    /// What objects find in their `Env`.
    pub env: fn(&worker::Env) -> Env,
    /// Their exported classes, by [`Group::NAME`](dog::Group::NAME).
    pub exports: &'static [Exports],
}

/// The exported classes of one Group; their bindings have the same names.
pub struct Exports {
    /// [`Group::NAME`](dog::Group::NAME)
    pub name: &'static str,
    /// The class of its Group objects.
    pub group: &'static str,
    /// The class of its Replicas.
    pub replica: &'static str,
}

/// Where the engine runs.
pub struct Host {
    pub(crate) env: Env,
    pub(crate) classes: Vec<Class<Host>>,
    worker: &'static Worker,
    /// For tests: whether every object hibernates after every event.
    pub(crate) hibernate_after: Option<Duration>,
    pub(crate) stubs: Stubs,
    /// What is to leave for other objects.
    pub(crate) post: Post,
    /// Where a request is answered: the runtime waits there for what nobody waits for.
    pub(crate) context: Option<ExecutionContext>,
    /// Where an object lives.
    pub(crate) here: OnceCell<Here>,
    pub(crate) this: Weak<Host>,
    /// Handlers that have to wait for something, and who waits for their ends.
    busy: Cell<usize>,
    idle: RefCell<Vec<oneshot::Sender<()>>>,
}

/// The object that lives here.
pub(crate) struct Here {
    pub(crate) object: Object,
    pub(crate) storage: Storage,
    pub(crate) sockets: RefCell<Sockets>,
    life: RefCell<Option<Life>>,
    /// Sockets that have ended, whose Replica is to be told in a turn of its own.
    ended: RefCell<Vec<(SocketId, End)>>,
}

/// One life of the object.
#[derive(Clone)]
pub(crate) enum Life {
    Group(Rc<dyn GroupObject>),
    Replica(Rc<dyn ReplicaObject>),
}

impl Life {
    pub(crate) fn epoch(&self) -> Epoch {
        match self {
            Self::Group(group) => group.epoch(),
            Self::Replica(replica) => replica.epoch(),
        }
    }
}

impl Host {
    pub(crate) fn new(worker: &'static Worker, bindings: JsValue, context: Option<ExecutionContext>) -> Rc<Self> {
        crate::log::begin();
        let env = (worker.env)(bindings.unchecked_ref());
        let hibernates = Reflect::get(&bindings, &HIBERNATE.into()).is_ok_and(|hibernates| hibernates.is_string());
        Rc::new_cyclic(|this| Self {
            env,
            classes: (worker.classes)(),
            worker,
            hibernate_after: hibernates.then_some(Duration::ZERO),
            stubs: Stubs::new(bindings),
            post: Post::new(),
            context,
            here: OnceCell::new(),
            this: Weak::clone(this),
            busy: Cell::new(0),
            idle: RefCell::default(),
        })
    }

    /// The host of an object of the class `class`.
    pub(crate) fn of_object(
        worker: &'static Worker,
        class: &str,
        state: State,
        bindings: JsValue,
    ) -> Result<Rc<Self>, Error> {
        let host = Self::new(worker, bindings, None);
        let class = host.class_index(class)?;
        let storage = Storage::open(state.storage())?;
        let name = match (storage.name()?, state.id().name()) {
            (Some(name), _) => name,
            (None, Some(name)) => {
                // Not every event says it.
                storage.set_name(&name)?;
                name
            }
            (None, None) => return Err(Error::new(Kind::InvalidId, "the object was not reached by a name")),
        };
        let object = letters::address(class, &name)?;
        if let (Object::Replica(_), Some(auto)) = (object, host.class_at(class)?.auto_response) {
            answer_by_itself(&state, auto);
        }
        let sockets = RefCell::new(Sockets::restore(state, &storage));
        let here = Here { object, storage, sockets, life: RefCell::default(), ended: RefCell::default() };
        // It is empty until now.
        let _ = host.here.set(here);
        Ok(host)
    }

    pub(crate) fn class_index(&self, name: &str) -> Result<ClassIndex, Error> {
        let at = self.classes.iter().position(|class| class.name == name).map(u16::try_from);
        match at {
            Some(Ok(at)) => Ok(ClassIndex(at)),
            _ => Err(Error::new(Kind::UnknownGroup, format!("the Group \"{name}\" is missing in App::Groups"))),
        }
    }

    pub(crate) fn here(&self) -> Result<&Here, Error> {
        self.here.get().ok_or_else(|| Error::new(Kind::Unreachable, "no object lives here"))
    }

    /// The object's present life, begun if it is over.
    pub(crate) fn life(&self) -> Result<Life, Error> {
        let here = self.here()?;
        if let Some(life) = &*here.life.borrow() {
            return Ok(life.clone());
        }
        let host = self.this.upgrade().ok_or_else(|| Error::new(Kind::Unreachable, "the object has gone"))?;
        let epoch = here.storage.next_epoch()?;
        let class = self.class_at(here.object.group().class)?;
        let life = match here.object {
            Object::Group(address) => Life::Group((class.group)(host, address, epoch)),
            Object::Replica(address) => Life::Replica((class.replica)(host, address, epoch)),
        };
        here.life.replace(Some(life.clone()));
        Ok(life)
    }

    /// The present life, if there is one.
    pub(crate) fn present(&self) -> Option<Life> {
        self.here.get()?.life.borrow().clone()
    }

    pub(crate) fn life_ended(&self, epoch: Epoch) {
        if let Some(here) = self.here.get() {
            here.life.borrow_mut().take_if(|life| life.epoch() == epoch);
        }
    }

    fn class_at(&self, class: ClassIndex) -> Result<&Class<Self>, Error> {
        let class = self.classes.get(usize::from(class.0));
        class.ok_or_else(|| Error::new(Kind::UnknownGroup, "this Worker has no such Group"))
    }

    /// The way to an object.
    pub(crate) fn stub(&self, object: Object) -> Result<Stub, Error> {
        let name = self.class_at(object.group().class)?.name;
        let exports = self.worker.exports.iter().find(|exports| exports.name == name);
        let missing = || format!("the Group \"{name}\" of App::Groups is missing in export!");
        let exports = exports.ok_or_else(|| Error::new(Kind::UnknownGroup, missing()))?;
        self.stubs.get(object, exports)
    }

    /// A handler has to wait.
    pub(crate) fn is_busier(&self) {
        self.busy.set(self.busy.get() + 1);
    }

    pub(crate) fn is_less_busy(&self) {
        self.busy.set(self.busy.get().saturating_sub(1));
        if self.busy.get() == 0 {
            // Whoever waited may have gone.
            self.idle.take().into_iter().for_each(|waiting| waiting.send(()).unwrap_or_default());
        }
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.busy.get() > 0
    }

    /// Ends when no handler waits any more.
    pub(crate) async fn idle(self: Rc<Self>) {
        while self.is_busy() {
            let (sender, receiver) = oneshot::channel();
            self.idle.borrow_mut().push(sender);
            // It is never dropped unsent but with the host.
            let _ = receiver.await;
        }
    }

    /// A socket has ended otherwise than by its Replica; it is told in a turn of its own.
    pub(crate) fn socket_ended(&self, socket: SocketId, end: End) {
        let (Some(here), Some(this)) = (self.here.get(), self.this.upgrade()) else { return };
        here.ended.borrow_mut().push((socket, end));
        crate::turns::spawn(async move { this.tell_ended() });
    }

    pub(crate) fn tell_ended(&self) {
        let Some(here) = self.here.get() else { return };
        let ended = here.ended.take();
        for (socket, end) in ended {
            if let Ok(Life::Replica(replica)) = self.life() {
                replica.closed(socket, end);
            }
            here.sockets.borrow_mut().forget(socket, &here.storage);
        }
    }
}

/// The runtime answers that text from now on, and wakes nobody for it.
fn answer_by_itself(state: &State, auto: AutoResponse) {
    let pair = AutoResponsePair::new(auto.request(), auto.response());
    if let Err(thrown) = pair.and_then(|pair| state.set_web_socket_auto_response(&pair)) {
        // Then the engine does it, which wakes the object.
        tracing::error!("the runtime takes no automatic response: {}", words(&thrown));
    }
}
