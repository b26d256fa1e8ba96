//! The host of the engine: how bytes move between the objects of one process.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dog::http::header::SEC_WEBSOCKET_EXTENSIONS;
use dog::internal::{Kind, LocalFuture};
use dog::{ClientId, CloseCode, Env, Epoch, Error, Message, ReplicaId, Request, Response, SocketId, Timestamp};
use dog_engine::address::{ClassIndex, GroupAddress, NodeId, Object, ReplicaAddress, SeatId, Targets, Ticket};
use dog_engine::handshake::{self, Deflate};
use dog_engine::host::{
    Batch, CallPermits, Fetched, Host, HostObserver, HostProfile, Lifecycle, ObjectStorage, Occurrence, Order,
    Scheduler, SeatGuard, SocketHost, Space, Transport,
};
use dog_engine::message::{GroupAnswer, GroupCall, GroupCast, ReplicaAnswer, ReplicaCall, ReplicaCast};
use dog_engine::seats::Audience;
use tokio::sync::oneshot;

use super::Worker;
use super::mail::{Answer, Asked, Guard, Mail, ReturnAddress};
use crate::storage::{Read, Storage};

fn wrong_answer<T>() -> Result<T, Error> {
    Err(Error::new(Kind::Unreachable, "the answer was of another kind than the question"))
}

impl Worker {
    /// Asks an object, wherever it lives. Dropped before the answer, it forgets the question.
    fn ask(&self, object: Object, mail: impl FnOnce(ReturnAddress) -> Mail) -> Asked {
        let (question, asked) = self.question();
        self.reach(object, mail(ReturnAddress::here(self.index, question)));
        asked
    }

    /// The same for what so many nodes have passed on: whoever has sent it here knows better than what this worker
    /// remembers.
    fn ask_after(&self, object: Object, hops: u8, mail: impl FnOnce(ReturnAddress) -> Mail) -> Asked {
        if hops == 0 {
            return self.ask(object, mail);
        }
        let (question, asked) = self.question();
        let home = self.shared.post.worker_of(object.id());
        self.send(home, mail(ReturnAddress::here(self.index, question)));
        asked
    }

    /// Passes a request to a Group, which so many nodes have passed on.
    pub(crate) fn fetch_group_after(
        &self,
        to: GroupAddress,
        request: Request,
        hops: u8,
    ) -> impl Future<Output = Result<Response, Error>> + use<> {
        let asked = self.ask_after(Object::Group(to), hops, |back| Mail::GroupFetch { to, request, back, hops });
        async move {
            match asked.answer().await? {
                Answer::GroupFetched(response) => Ok(response),
                _ => wrong_answer(),
            }
        }
    }

    /// The same to a Replica.
    pub(crate) fn fetch_replica_after(
        &self,
        to: ReplicaAddress,
        ticket: Ticket,
        request: Request,
        hops: u8,
    ) -> impl Future<Output = Result<Fetched, Error>> + use<> {
        let mail = |back| Mail::ReplicaFetch { to, ticket, request, back, hops };
        let asked = self.ask_after(Object::Replica(to), hops, mail);
        async move {
            match asked.answer().await? {
                Answer::ReplicaFetched(fetched) => Ok(fetched),
                _ => wrong_answer(),
            }
        }
    }

    /// A number for a question, and what its answer comes by.
    fn question(&self) -> (u64, Asked) {
        let question = self.next_question.replace(self.next_question.get() + 1);
        let (sender, receiver) = oneshot::channel();
        self.questions.borrow_mut().insert(question, sender);
        (question, Asked::new(receiver))
    }

    /// Whether this is the object's present life.
    fn lives(&self, object: Object, epoch: Epoch) -> bool {
        match object {
            Object::Group(address) => self.groups.borrow().get(&address).is_some_and(|group| group.epoch() == epoch),
            Object::Replica(address) => {
                self.replicas.borrow().get(&address).is_some_and(|replica| replica.epoch() == epoch)
            }
        }
    }

    /// Reads at once, or when the writes that an earlier life of the object has left under way are done.
    fn when_settled<T: Send + 'static>(
        &self,
        object: Object,
        read: impl FnOnce(&dyn Storage) -> Read<T> + 'static,
    ) -> LocalFuture<Result<T, Error>> {
        match self.settling.before_reading(object) {
            None => match read(&*self.shared.storage) {
                Read::Now(read) => Box::pin(async { read }),
                Read::Later(read) => read,
            },
            Some(settled) => {
                let shared = Arc::clone(&self.shared);
                Box::pin(async move {
                    settled.await;
                    read(&*shared.storage).into_future().await
                })
            }
        }
    }

    /// Passes on what was answered.
    pub(super) fn answered(&self, question: u64, answer: Result<Answer, Error>) {
        if let Some(abroad) = &self.abroad {
            abroad.asked.borrow_mut().remove(&question);
        }
        if let Some(sender) = self.questions.borrow_mut().remove(&question) {
            // Whoever asked may have given up.
            let _ = sender.send(answer);
        }
    }

    /// Questions whose askers have given up: their answers may never come.
    pub(super) fn forget_questions(&self) {
        let mut questions = self.questions.borrow_mut();
        questions.retain(|_, sender| !sender.is_closed());
        if let Some(abroad) = &self.abroad {
            abroad.asked.borrow_mut().retain(|question, _| questions.contains_key(question));
        }
    }
}

impl Host for Worker {
    fn profile(&self) -> HostProfile {
        HostProfile { hibernate_after: self.shared.config.hibernate_after, ..HostProfile::SERVER }
    }

    fn env(&self) -> &Env {
        &self.shared.config.env
    }

    fn class(&self, name: &str) -> Option<ClassIndex> {
        let at = self.classes.iter().position(|class| class.name == name)?;
        u16::try_from(at).ok().map(ClassIndex)
    }
}

impl Scheduler for Worker {
    fn now(&self) -> Timestamp {
        self.shared.now()
    }

    fn sleep(&self, duration: Duration) -> LocalFuture<()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn spawn(&self, task: LocalFuture<()>) {
        tokio::task::spawn_local(task);
    }
}

impl Transport for Worker {
    fn call_group(&self, to: GroupAddress, call: GroupCall) -> LocalFuture<Result<GroupAnswer, Error>> {
        let asked = self.ask(Object::Group(to), |back| Mail::GroupCall { to, call, back });
        Box::pin(async move {
            match asked.answer().await? {
                Answer::Group(answer) => Ok(answer),
                _ => wrong_answer(),
            }
        })
    }

    fn cast_group(&self, to: GroupAddress, cast: GroupCast) {
        self.reach(Object::Group(to), Mail::GroupCast { to, cast });
    }

    fn call_replica(&self, to: ReplicaAddress, call: ReplicaCall) -> LocalFuture<Result<ReplicaAnswer, Error>> {
        let asked = self.ask(Object::Replica(to), |back| Mail::ReplicaCall { to, call, back });
        Box::pin(async move {
            match asked.answer().await? {
                Answer::Replica(answer) => Ok(answer),
                _ => wrong_answer(),
            }
        })
    }

    /// One piece of mail for each worker that has one of them, whatever their number.
    fn cast_replicas(&self, to: &Targets, cast: ReplicaCast) {
        if let Some(abroad) = &self.abroad {
            return self.cast_all(abroad, to, &cast);
        }
        if let [replica] = *to.replicas {
            let worker = self.shared.post.worker_of(replica.as_bytes());
            return self.send(worker, Mail::ReplicaCast { to: to.clone(), cast });
        }
        let workers = self.shared.post.workers();
        let mut concerned = [false; 64];
        for replica in to.iter() {
            concerned[self.shared.post.worker_of(replica.as_bytes()) % concerned.len()] = true;
        }
        // Beyond 64 workers some may be told in vain: each looks for its own Replicas anyway.
        for worker in (0..workers).filter(|worker| concerned[worker % concerned.len()]) {
            self.send(worker, Mail::ReplicaCast { to: to.clone(), cast: cast.clone() });
        }
    }

    fn acquire_calls(&self, count: usize) -> LocalFuture<Result<Box<dyn CallPermits>, Error>> {
        self.asking.leave(count)
    }

    fn fetch_group(&self, to: GroupAddress, request: Request) -> LocalFuture<Result<Response, Error>> {
        Box::pin(self.fetch_group_after(to, request, 0))
    }

    fn fetch_replica(
        &self,
        to: ReplicaAddress,
        ticket: Ticket,
        request: Request,
    ) -> LocalFuture<Result<Fetched, Error>> {
        Box::pin(self.fetch_replica_after(to, ticket, request, 0))
    }
}

impl SocketHost for Worker {
    fn deliver(&self, message: &Message, sockets: &[SocketId], except: &[SocketId]) -> usize {
        let taken = self.connections.borrow_mut().deliver(&self.shared.config, message, sockets, except);
        self.queued();
        taken
    }

    fn deliver_to_all(&self, message: &Message, audience: &Audience<'_>, except: &[SocketId]) -> usize {
        let taken = self.connections.borrow_mut().deliver_to_all(&self.shared.config, message, audience, except);
        self.queued();
        taken
    }

    fn close(&self, socket: SocketId, code: CloseCode, reason: &str) {
        self.connections.borrow_mut().close(socket, code, reason);
        self.queued();
    }

    fn resume(&self, socket: SocketId) {
        self.resumed.borrow_mut().push_back(socket);
        self.queued();
    }

    fn attachment(&self, socket: SocketId) -> Option<Bytes> {
        self.connections.borrow_mut().attachment(socket)
    }

    fn set_attachment(&self, socket: SocketId, attachment: Bytes) {
        self.connections.borrow_mut().set_attachment(socket, attachment);
    }

    fn shake_hands(&self, request: &Request) -> Result<Response, Box<Response>> {
        let mut response = handshake::accept(request)?;
        let offered = self.shared.config.compression.and_then(|_| Deflate::negotiate(request.headers()));
        if let Some(deflate) = offered {
            response.headers_mut().insert(SEC_WEBSOCKET_EXTENSIONS, deflate.answer());
            response.extensions_mut().insert(deflate);
        }
        Ok(response)
    }

    fn new_socket(&self, replica: ReplicaAddress, _: &ClientId) -> (SocketId, Arc<dyn SeatGuard>) {
        let socket = self.connections.borrow_mut().insert(self.living(replica));
        (socket, Arc::new(Guard::new(self.shared.post.clone(), self.index, Mail::Abandoned { socket })))
    }

    fn seat_guard(&self, replica: ReplicaAddress, epoch: Epoch, seat: SeatId) -> Arc<dyn SeatGuard> {
        let mail = Mail::Released { to: replica, epoch, seat };
        Arc::new(Guard::new(self.shared.post.clone(), self.index, mail))
    }
}

impl ObjectStorage for Worker {
    fn read(&self, object: Object, space: Space, key: Vec<u8>) -> LocalFuture<Result<Option<Bytes>, Error>> {
        self.when_settled(object, move |storage| storage.get(object, space, &key))
    }

    fn read_range(
        &self,
        object: Object,
        space: Space,
        keys: (Bound<Vec<u8>>, Bound<Vec<u8>>),
        limit: Option<usize>,
        order: Order,
    ) -> LocalFuture<Result<Vec<(Bytes, Bytes)>, Error>> {
        self.when_settled(object, move |storage| storage.range(object, space, keys, limit, order == Order::Descending))
    }

    fn write(&self, object: Object, epoch: Epoch, batch: Batch) -> LocalFuture<Result<(), Error>> {
        if !self.lives(object, epoch) {
            return Box::pin(async { Err(Error::new(Kind::Closed, "this life of the object is over")) });
        }
        if let Some(at) = batch.alarm {
            // In memory at once: who set it may not wait for the disk, and it must ring all the same.
            self.alarms.borrow_mut().set(object, at);
            self.queued();
        }
        let (question, asked) = self.question();
        let (post, worker) = (self.shared.post.clone(), self.index);
        let class = self.classes[usize::from(object.group().class.0)].name;
        let alarm = batch.alarm;
        let done = move |outcome: Result<(), Error>| {
            let refused = alarm.filter(|_| outcome.is_err()).map(|at| Mail::AlarmRefused { object, at });
            post.send(worker, refused.into_iter().chain([Mail::Written { object, question, outcome }]).collect());
        };
        self.settling.hands_over(object);
        self.shared.storage.write(object, epoch, class, batch, Box::new(done));
        Box::pin(async move {
            match asked.answer().await? {
                Answer::Written => Ok(()),
                _ => wrong_answer(),
            }
        })
    }

    fn alarm(&self, object: Object) -> LocalFuture<Result<Option<Timestamp>, Error>> {
        // Set in memory before it is on disk, and as long as it is there.
        let alarm = self.alarms.borrow().of(object);
        match alarm {
            Some(at) => Box::pin(async move { Ok(Some(at)) }),
            None => self.when_settled(object, move |storage| storage.alarm(object)),
        }
    }

    fn ring_again(&self, object: Object, at: Timestamp, attempt: u32) {
        self.alarms.borrow_mut().ring_again(object, at, attempt);
        self.queued();
    }
}

impl Lifecycle for Worker {
    fn unique_replica(&self, _: GroupAddress) -> ReplicaId {
        let workers = self.shared.post.workers();
        let place = self.next_place.replace(self.next_place.get() + 1) % workers;
        loop {
            let mut id = [0; 32];
            if let Err(error) = getrandom::fill(&mut id) {
                // Without randomness ids could collide, and two Replicas would become one.
                panic!("the operating system gives no random bytes: {error}");
            }
            // An object's place follows from its id: draw until it is the place wanted.
            if self.shared.post.worker_of(&id) == place {
                return ReplicaId::from_bytes(id);
            }
        }
    }

    fn node(&self) -> NodeId {
        self.abroad.as_ref().map_or(NodeId::default(), |abroad| abroad.joined.node())
    }

    fn prefer(&self, replica: ReplicaAddress, node: NodeId) {
        if let Some(abroad) = &self.abroad {
            abroad.prefer(replica, node);
        }
    }

    fn replica_ended(&self, replica: ReplicaAddress, epoch: Epoch) {
        let mut replicas = self.replicas.borrow_mut();
        if replicas.get(&replica).is_some_and(|object| object.epoch() == epoch) {
            replicas.remove(&replica);
            self.settling.life_ended(Object::Replica(replica));
            self.watched().ended(epoch);
        }
    }

    fn group_ended(&self, group: GroupAddress, epoch: Epoch) {
        let mut groups = self.groups.borrow_mut();
        if groups.get(&group).is_some_and(|object| object.epoch() == epoch) {
            groups.remove(&group);
            self.settling.life_ended(Object::Group(group));
            self.watched().ended(epoch);
        }
    }
}

impl HostObserver for Worker {
    fn occurred(&self, occurrence: Occurrence<'_>) {
        match occurrence {
            Occurrence::Waits => self.is_busier(),
            Occurrence::Waited(time) => {
                self.is_less_busy();
                self.handler_waits.borrow_mut().note(time);
            }
            Occurrence::Failed { .. } => self.counters.failures.one(),
            Occurrence::Panicked(_) => self.counters.panics.one(),
        }
    }

    fn may_log(&self, kind: &'static str) -> bool {
        crate::repeats::may_log(kind)
    }

    fn runs(&self, life: Option<Epoch>) -> Option<Epoch> {
        self.watched().runs(life)
    }
}
