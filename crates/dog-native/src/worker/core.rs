//! [`Worker`]: the parts of a worker, and what needs several of them.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use dog::internal::Kind;
use dog::{Epoch, Error, Request, Response};
use dog_engine::Class;
use dog_engine::address::{ClassIndex, GroupAddress, Object, ReplicaAddress, Ticket};
use dog_engine::host::{Fetched, GroupObject, ReplicaObject, SeatGuard};
use mio::Registry;

use super::alarms::Alarms;
use super::call_limit::CallLimit;
use super::objects::Objects;
use super::outbound::Outbound;
use super::pending_calls::{PendingCall, PendingCalls};
use super::pending_writes::PendingWrites;
use super::requests::Requests;
use super::router::Router;
use super::shutdown::Shutdown;
use super::sockets::Sockets;
use super::stream_end::end_at_shutdown;
use super::turn_state::TurnState;
use crate::connection::Connections;
use crate::heartbeat::Heartbeat;
use crate::mail::{Answer, Mail, ReturnAddress};
use crate::metrics::counters::{Counters, Gauges, Times};
use crate::metrics::figures::Figures;
use crate::post::MailGuard;
use crate::repeats::seldom;
use crate::shared::Shared;
use crate::storage::port::SetAlarm;

/// One worker. Only its own thread uses it.
pub(crate) struct Worker {
    index: usize,
    shared: Arc<Shared>,
    this: Weak<Self>,
    counters: Rc<Counters>,
    gauges: Gauges,
    /// The App's Groups, in the order of their `ClassIndex`.
    classes: Vec<Class<Worker>>,
    /// Requests from outside, and the App that answers them.
    requests: Requests,
    /// The Groups and Replicas that are in memory.
    pub(super) objects: Objects,
    /// When objects must be woken.
    pub(super) alarms: RefCell<Alarms>,
    /// Writes that are not completed.
    pub(super) writes: Rc<PendingWrites>,
    /// Calls that have no answer yet.
    pub(super) calls: PendingCalls,
    /// The limit of calls that handlers have in flight.
    pub(super) call_limit: CallLimit,
    /// How mail reaches every object and caller.
    pub(super) router: Router,
    /// Mail that is queued for this worker and for others.
    pub(super) outbound: Rc<Outbound>,
    /// Connections, and the queues of those that must be read.
    pub(super) sockets: Sockets,
    /// The progress of the shutdown, and what it waits for.
    pub(super) shutdown: Rc<Shutdown>,
    /// When the current turn began, and how the loop is woken.
    pub(super) turn: Rc<TurnState>,
    /// How long handlers have waited, for the metrics.
    pub(super) handler_waits: RefCell<Times>,
    /// The worker on which the next new Replica lives. All workers get one in turn.
    next_replica_worker: Cell<usize>,
}

pub(super) fn wrong_answer<T>() -> Result<T, Error> {
    Err(Error::new(Kind::Unreachable, "the answer does not belong to the call"))
}

impl Worker {
    pub(crate) fn new(index: usize, shared: Arc<Shared>, classes: Vec<Class<Worker>>, registry: Registry) -> Rc<Self> {
        let counters = Rc::<Counters>::default();
        let workers = shared.post.workers();
        let turn = Rc::new(TurnState::new());
        let outbound = Rc::new(Outbound::new(index, shared.post.clone(), Rc::clone(&counters), Rc::clone(&turn)));
        let shutdown = Shutdown::new(index, Arc::clone(&shared), Rc::clone(&turn));
        let router = Router::new(&shared, &outbound, &shutdown);
        let gate = {
            let router = router.clone();
            Box::new(move || router.may_write())
        };
        let connections = Connections::new(registry, &shared.config, Rc::clone(&counters), gate);
        let sockets = Sockets::new(
            Arc::clone(&shared),
            Rc::clone(&counters),
            Rc::clone(&turn),
            Rc::clone(&outbound),
            connections,
        );
        Rc::new_cyclic(|this| Self {
            index,
            this: Weak::clone(this),
            classes,
            requests: Requests::new(index, workers, Rc::clone(&counters)),
            objects: Objects::new(shared.config.max_objects.div_ceil(workers)),
            alarms: RefCell::default(),
            writes: Rc::default(),
            calls: PendingCalls::default(),
            call_limit: CallLimit::default(),
            router,
            outbound,
            sockets,
            shutdown,
            turn,
            gauges: Gauges::default(),
            handler_waits: RefCell::default(),
            next_replica_worker: Cell::new(index + 1),
            counters,
            shared,
        })
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(super) fn gauges(&self) -> &Gauges {
        &self.gauges
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn requests(&self) -> &Requests {
        &self.requests
    }

    pub(crate) fn shutdown(&self) -> &Rc<Shutdown> {
        &self.shutdown
    }

    pub(super) fn heartbeat(&self) -> &Heartbeat {
        &self.shared.heartbeats[self.index]
    }

    /// Returns a strong reference to the worker, for a task. `None` when it is being dropped.
    pub(super) fn this(&self) -> Option<Rc<Self>> {
        self.this.upgrade()
    }

    /// Returns the indices of the other workers.
    pub(crate) fn others(&self) -> impl Iterator<Item = usize> {
        let this = self.index;
        (0..self.shared.post.workers()).filter(move |other| *other != this)
    }

    /// Answers a request from outside. A streamed response ends when the worker shuts down.
    pub(crate) async fn answer(&self, request: Request) -> Response {
        let limits = self.shared.limits();
        let response = match limits.refuses(&request, || self.shared.uptime()) {
            Some(refusal) => self.requests.refused(refusal),
            None => {
                let peer = dog::peer_address(&request);
                let answer = self.requests.answer(request, !self.shutdown.is_stopping());
                limits.on_behalf_of(peer, answer).await
            }
        };
        end_at_shutdown(response, || self.shutdown.watch())
    }

    pub(super) fn class_index(&self, name: &str) -> Option<ClassIndex> {
        let class = self.classes.iter().position(|class| class.name == name)?;
        u16::try_from(class).ok().map(ClassIndex)
    }

    pub(super) fn class_name(&self, object: Object) -> &'static str {
        self.class(object.group().class).name
    }

    fn class(&self, class: ClassIndex) -> &Class<Self> {
        // The index was looked up in this same list when the address was created.
        &self.classes[usize::from(class.0)]
    }

    fn new_life(&self, object: Object) -> Epoch {
        // In a cluster no life begins without a claim. With an epoch that has no claim, every write would fail.
        let epoch = self.router.next_epoch(object).unwrap_or_else(|| self.shared.new_epoch());
        self.heartbeat().life_begins(epoch, object);
        epoch
    }

    /// Returns the Group. If it has no life, begins one.
    pub(super) fn group(self: &Rc<Self>, address: GroupAddress) -> Rc<dyn GroupObject> {
        self.objects.group(address, || {
            let epoch = self.new_life(Object::Group(address));
            let group = (self.class(address.class).group)(Rc::clone(self), address, epoch);
            if self.shutdown.is_stopping() {
                Rc::clone(&group).stopping();
            }
            group
        })
    }

    /// Returns the Replica. If it has no life, begins one.
    pub(super) fn replica(self: &Rc<Self>, address: ReplicaAddress) -> Rc<dyn ReplicaObject> {
        self.objects.replica(address, || {
            let epoch = self.new_life(Object::Replica(address));
            let replica = (self.class(address.group.class).replica)(Rc::clone(self), address, epoch);
            if self.shutdown.is_stopping() {
                Rc::clone(&replica).stopping();
            }
            replica
        })
    }

    /// Notes that a life of an object is over.
    pub(super) fn life_ended(&self, object: Object, epoch: Epoch) {
        if self.objects.end(object, epoch) {
            self.writes.life_ended(object);
            self.heartbeat().life_ends(epoch);
        }
    }

    /// Returns the worker on which a new Replica should live.
    pub(super) fn next_replica_worker(&self) -> usize {
        self.next_replica_worker.replace(self.next_replica_worker.get() + 1) % self.shared.post.workers()
    }

    /// Calls an object, wherever it lives.
    pub(super) fn call(&self, object: Object, mail: impl FnOnce(ReturnAddress) -> Mail) -> PendingCall {
        let (call, pending) = self.calls.begin();
        self.router.send(object, mail(ReturnAddress::here(self.index, call)));
        pending
    }

    /// Forwards a request that `hops` nodes have forwarded before. If it comes from another node, the object lives on
    /// this node according to that node, so it is not looked up again.
    fn fetch(&self, object: Object, hops: u8, mail: impl FnOnce(ReturnAddress) -> Mail) -> PendingCall {
        if hops == 0 {
            return self.call(object, mail);
        }
        let (call, pending) = self.calls.begin();
        self.outbound.send(self.outbound.home(object), mail(ReturnAddress::here(self.index, call)));
        pending
    }

    /// Forwards a request to a Group. `hops` nodes have forwarded it before.
    pub(crate) fn forwarded_to_group(
        &self,
        to: GroupAddress,
        request: Request,
        hops: u8,
    ) -> impl Future<Output = Result<Response, Error>> + use<> {
        let pending = self.fetch(Object::Group(to), hops, |back| Mail::GroupFetch { to, request, back, hops });
        async move {
            match pending.answer().await? {
                Answer::GroupFetched(response) => Ok(response),
                _ => wrong_answer(),
            }
        }
    }

    /// Forwards a request to a Replica. `hops` nodes have forwarded it before.
    pub(crate) fn forwarded_to_replica(
        &self,
        to: ReplicaAddress,
        ticket: Ticket,
        request: Request,
        hops: u8,
    ) -> impl Future<Output = Result<Fetched, Error>> + use<> {
        let mail = |back| Mail::ReplicaFetch { to, ticket, request, back, hops };
        let pending = self.fetch(Object::Replica(to), hops, mail);
        async move {
            match pending.answer().await? {
                Answer::ReplicaFetched(fetched) => Ok(fetched),
                _ => wrong_answer(),
            }
        }
    }

    /// Returns a guard that sends mail to this worker when it is dropped, on any thread.
    pub(super) fn guard(&self, mail: Mail) -> Arc<dyn SeatGuard> {
        Arc::new(MailGuard::new(self.shared.post.clone(), self.index, mail))
    }

    /// Sets the alarms of an earlier process whose objects belong to this worker.
    pub(crate) fn set_alarms(&self, alarms: &[SetAlarm]) {
        for SetAlarm { at, class, object } in alarms {
            if self.outbound.home(*object) != self.index {
                continue;
            }
            match self.class_index(class) {
                Some(index) => self.alarms.borrow_mut().set(object.of_class(index), Some(*at)),
                None => seldom!(
                    warn,
                    "an alarm set for a Group that App::Groups does not name",
                    class,
                    "an alarm is set for a Group that App::Groups does not name: it stays set"
                ),
            }
        }
    }

    /// Returns the counts of this worker. This visits every object and socket.
    pub(super) fn snapshot(&self) -> Figures {
        let (sockets_open, sockets_closing, outbox_bytes) = self.sockets.connections().totals();
        Figures {
            counters: self.counters.values(),
            sockets_open,
            sockets_closing,
            outbox_bytes,
            busy: self.shutdown.busy(),
            tasks: self.shutdown.tasks(),
            event_streams: self.gauges.event_streams.get(),
            calls_in_progress: self.gauges.calls.get(),
            handler_waits: self.handler_waits.borrow().clone(),
            classes: self.objects.figures(&self.shared.class_names),
        }
    }

    /// Drops the objects and the App, because they hold strong references to this worker.
    pub(super) fn release(&self) {
        self.objects.clear();
        drop(self.requests.remove_app());
    }
}
