//! One worker thread: its objects, its connections, and the loop that drives them.
//!
//! - `abroad`: where objects of a cluster live; `letters`: what leaves for other nodes; `forgetting`: what need not be known;
//!   `fencing`: the end of the lease
//! - `mail`, `post`: what crosses threads, and how; `objects`: which objects live here, and what is passed to them
//! - `host`: the engine's primitives; `settling`: writes under way when a life ends; `alarms`: when to wake whom;
//!   `asking`: how much users' handlers may ask at once;
//!   `reading`: bytes that come in; `pressure`: whose bytes have to wait; `turn`: the loop; `spans`: requests in the log; `drain`: its end in good order;
//!   `count`: what it says of itself

mod abroad;
mod alarms;
mod asking;
mod count;
mod drain;
mod fencing;
mod forgetting;
mod host;
mod letters;
mod mail;
mod objects;
mod post;
mod pressure;
mod reading;
mod settling;
mod spans;
mod turn;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dog::internal::LocalFuture;
use dog::{Epoch, Error, Request, Response, SocketId, Timestamp};
use dog_engine::Class;
use dog_engine::address::{GroupAddress, ReplicaAddress};
use dog_engine::host::{GroupObject, ReplicaObject};
use mio::Registry;
use tokio::sync::{Notify, oneshot, watch};

use crate::clock::Clock;
use crate::cluster::Joined;
use crate::config::Config;
use crate::connection::Connections;
use crate::metrics::{Counters, Times};
use crate::storage::Storage;
use crate::streams::until_the_end;
use crate::watch::Watched;
use crate::websocket::Inflater;

pub(crate) use drain::longest as longest_drain;
pub(crate) use mail::{Answer, Attach, Mail, ReturnAddress};
pub(crate) use post::{Mailbox, Post};
pub(crate) use turn::run;

use abroad::Abroad;
use alarms::Alarms;
use asking::Asking;
use drain::{Drain, restarting};
use pressure::Pressure;
use settling::Settling;

/// What all workers share. Nothing in it is written to while messages flow.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) post: Post,
    pub(crate) storage: Arc<dyn Storage>,
    /// Where it is a node of one.
    pub(crate) cluster: Option<Arc<Joined>>,
    pub(crate) class_names: Vec<&'static str>,
    /// Whether the server has begun to end.
    pub(crate) draining: AtomicBool,
    /// What each worker tells whoever watches.
    pub(crate) watched: Vec<Watched>,
    next_epoch: AtomicU64,
    /// Workers that have not done yet all that must be done before the server may end.
    undrained: AtomicUsize,
    clock: Clock,
}

impl Shared {
    pub(crate) fn new(
        config: Config,
        post: Post,
        storage: Arc<dyn Storage>,
        cluster: Option<Arc<Joined>>,
        class_names: Vec<&'static str>,
    ) -> Self {
        let clock = cluster.as_ref().map_or_else(Clock::start, |cluster| cluster.state.clock);
        let undrained = AtomicUsize::new(post.workers());
        Self {
            undrained,
            class_names,
            draining: AtomicBool::new(false),
            watched: (0..post.workers()).map(|_| Watched::default()).collect(),
            config,
            post,
            storage,
            cluster,
            next_epoch: AtomicU64::new(1),
            clock,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// How long the server has been there.
    pub(crate) fn life(&self) -> Duration {
        self.clock.life()
    }

    /// How long it had been there at that moment.
    pub(crate) fn life_at(&self, moment: Instant) -> Duration {
        self.clock.life_at(moment)
    }

    fn new_epoch(&self) -> Epoch {
        Epoch::from_raw(self.next_epoch.fetch_add(1, Ordering::Relaxed))
    }
}

/// Answers a request from outside: the user's App, with its type forgotten.
pub(crate) type Answering = Rc<dyn Fn(Request) -> LocalFuture<Response>>;

/// One worker. Everything in it is touched by its own thread alone.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
    this: Weak<Self>,
    /// The rest of the cluster, on a node of one.
    pub(crate) abroad: Option<Abroad>,
    classes: Vec<Class<Worker>>,
    answering: RefCell<Option<Answering>>,
    groups: RefCell<HashMap<GroupAddress, Rc<dyn GroupObject>>>,
    replicas: RefCell<HashMap<ReplicaAddress, Rc<dyn ReplicaObject>>>,
    alarms: RefCell<Alarms>,
    asking: Asking,
    settling: Rc<Settling>,
    connections: RefCell<Connections>,
    /// Inflates what clients send compressed.
    inflater: RefCell<Inflater>,
    pub(crate) counters: Rc<Counters>,
    handler_waits: RefCell<Times>,
    /// What objects here have sent to each other in this turn.
    local: RefCell<VecDeque<Mail>>,
    /// What they have sent to other workers.
    outgoing: RefCell<Vec<Vec<Mail>>>,
    questions: RefCell<HashMap<u64, oneshot::Sender<Result<Answer, Error>>>>,
    next_question: Cell<u64>,
    next_request: Cell<u64>,
    /// Sockets whose handler has ended.
    resumed: RefCell<VecDeque<SocketId>>,
    /// Sockets that something has come on, in this order.
    fresh: RefCell<VecDeque<SocketId>>,
    /// Sockets that had their share of a turn, and have more to read. They come after those.
    again: RefCell<VecDeque<SocketId>>,
    /// When the present turn began.
    turn_began: Cell<Instant>,
    next_moment: Cell<Instant>,
    pressure: Pressure,
    /// Read into by all connections, one after the other.
    scratch: RefCell<Vec<u8>>,
    /// Whether the loop is at work anyway and will see what is queued.
    in_turn: Cell<bool>,
    wake: Notify,
    /// What is under way that must end before the worker may: requests from outside, and tasks that wait.
    busy: Cell<usize>,
    /// From how many listeners it takes connections.
    pub(crate) listens: Cell<usize>,
    /// How far its end has come, once that has begun.
    drain: RefCell<Option<Drain>>,
    /// Tells of that beginning.
    stopping: watch::Sender<bool>,
    /// Tells that sockets are being sent away, once nobody new comes in.
    sends_away: watch::Sender<bool>,
    /// Sockets whose Replicas live at other nodes, and responses that are being streamed.
    passages: Arc<AtomicUsize>,
    /// New Replicas go to the workers in turn.
    next_place: Cell<usize>,
}

impl Worker {
    pub(crate) fn new(index: usize, shared: Arc<Shared>, classes: Vec<Class<Worker>>, registry: Registry) -> Rc<Self> {
        let counters = Rc::<Counters>::default();
        let workers = shared.post.workers();
        let abroad = shared.cluster.clone().map(Abroad::new);
        let pressure = Pressure::new(workers);
        Rc::new_cyclic(|this| Self {
            index,
            this: Weak::clone(this),
            abroad,
            classes,
            answering: RefCell::default(),
            groups: RefCell::default(),
            replicas: RefCell::default(),
            alarms: RefCell::default(),
            asking: Asking::default(),
            settling: Rc::default(),
            connections: RefCell::new(Connections::new(
                registry,
                &shared.config,
                Rc::clone(&counters),
                Self::write_gate(this, &pressure, shared.cluster.is_some()),
            )),
            inflater: RefCell::default(),
            counters,
            handler_waits: RefCell::default(),
            local: RefCell::default(),
            outgoing: RefCell::new((0..workers).map(|_| Vec::new()).collect()),
            questions: RefCell::default(),
            next_question: Cell::new(0),
            next_request: Cell::new(index as u64),
            resumed: RefCell::default(),
            fresh: RefCell::default(),
            again: RefCell::default(),
            turn_began: Cell::new(Instant::now()),
            next_moment: Cell::new(Instant::now()),
            pressure,
            scratch: RefCell::new(vec![0; 64 * 1024]),
            in_turn: Cell::new(false),
            wake: Notify::new(),
            busy: Cell::new(0),
            listens: Cell::new(0),
            stopping: watch::Sender::new(false),
            sends_away: watch::Sender::new(false),
            passages: Arc::default(),
            drain: RefCell::default(),
            next_place: Cell::new(index + 1),
            shared,
        })
    }

    /// The App that answers here.
    pub(crate) fn set_answering(&self, answering: Answering) {
        self.answering.replace(Some(answering));
    }

    /// Has the App answer a request from outside.
    pub(crate) async fn answer(&self, request: Request) -> Response {
        let answering = self.answering.borrow().clone().filter(|_| !self.is_stopping());
        let response = match answering {
            Some(answering) => answering(request).await,
            None => restarting(),
        };
        self.counters.requests.one();
        self.counters.requests_failed.add(usize::from(response.status().is_server_error()));
        until_the_end(response, self.leaving())
    }

    /// Something was queued: the loop must come round once more.
    pub(crate) fn queued(&self) {
        if !self.in_turn.get() {
            self.wake.notify_one();
        }
    }

    /// Sends to whichever worker it is, this one included, after all that was sent before. What a worker cannot take any
    /// more of, because it does not keep up by far, is turned down.
    pub(crate) fn send(&self, worker: usize, mail: Mail) {
        let Some(mail) = self.admit(worker, mail) else { return };
        if worker == self.index {
            self.local.borrow_mut().push_back(mail);
        } else {
            self.outgoing.borrow_mut()[worker].push(mail);
        }
        self.queued();
    }
}
