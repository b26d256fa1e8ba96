//! The worker as the host of its objects: the traits that the engine requires.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dog::http::header::SEC_WEBSOCKET_EXTENSIONS;
use dog::internal::{Kind, LocalFuture};
use dog::{
    ClientId, CloseCode, Env, Epoch, Error, Message, OverRate, ReplicaId, Request, Response, SocketId, Timestamp,
};
use dog_engine::address::{ClassIndex, GroupAddress, NodeId, Object, ReplicaAddress, SeatId, Targets, Ticket};
use dog_engine::handshake::{self, Deflate};
use dog_engine::host::{
    AlarmChange, Batch, CallPermits, Fetched, Host, HostObserver, HostProfile, Lifecycle, ObjectStorage, Occurrence,
    Order, Scheduler, SeatGuard, SlowStreams, SocketHost, Space, StreamLimits, Transport,
};
use dog_engine::message::{GroupAnswer, GroupCall, GroupCast, ReplicaAnswer, ReplicaCall, ReplicaCast};
use dog_engine::seats::Audience;
use dog_engine::{Relief, StreamBacklog};

use super::core::{Worker, wrong_answer};
use super::pending_calls::PendingCall;
use crate::config::SlowConsumer;
use crate::mail::{Answer, Mail};

impl Host for Worker {
    fn profile(&self) -> HostProfile {
        let config = &self.shared().config;
        let slow = match config.slow_consumer {
            SlowConsumer::Close => SlowStreams::Close,
            SlowConsumer::DropNewest => SlowStreams::DropNewest,
        };
        let streams = StreamLimits { max_waiting: config.max_outbox, slow };
        HostProfile {
            hibernate_after: config.hibernate_after,
            streams,
            drains_within: config.drain_within,
            ..HostProfile::SERVER
        }
    }

    fn env(&self) -> &Env {
        &self.shared().config.env
    }

    fn class(&self, name: &str) -> Option<ClassIndex> {
        self.class_index(name)
    }
}

impl Scheduler for Worker {
    fn now(&self) -> Timestamp {
        self.shared().now()
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
        let pending = self.call(Object::Group(to), |back| Mail::GroupCall { to, call, back });
        Box::pin(async move {
            match pending.answer().await? {
                Answer::Group(answer) => Ok(answer),
                _ => wrong_answer(),
            }
        })
    }

    fn cast_group(&self, to: GroupAddress, cast: GroupCast) {
        self.router.send(Object::Group(to), Mail::GroupCast { to, cast });
    }

    fn call_replica(&self, to: ReplicaAddress, call: ReplicaCall) -> LocalFuture<Result<ReplicaAnswer, Error>> {
        replica_answer(self.call(Object::Replica(to), |back| Mail::ReplicaCall { to, call, back }))
    }

    fn call_replicas(&self, to: &Targets, call: &ReplicaCall) -> Vec<LocalFuture<Result<ReplicaAnswer, Error>>> {
        let (numbers, answers): (Vec<_>, Vec<_>) = to
            .iter()
            .map(|replica| {
                let (number, pending) = self.calls.begin();
                ((replica, number), replica_answer(pending))
            })
            .unzip();
        self.router.call_all(to.group, call, numbers);
        answers
    }

    fn cast_replicas(&self, to: &Targets, cast: ReplicaCast) {
        self.router.cast(to, cast);
    }

    fn acquire_calls(&self, count: usize) -> LocalFuture<Result<Box<dyn CallPermits>, Error>> {
        self.call_limit.acquire(count)
    }

    fn fetch_group(&self, to: GroupAddress, request: Request) -> LocalFuture<Result<Response, Error>> {
        Box::pin(self.forwarded_to_group(to, request, 0))
    }

    fn fetch_replica(
        &self,
        to: ReplicaAddress,
        ticket: Ticket,
        request: Request,
    ) -> LocalFuture<Result<Fetched, Error>> {
        Box::pin(self.forwarded_to_replica(to, ticket, request, 0))
    }
}

impl SocketHost for Worker {
    fn deliver(&self, message: &Message, sockets: &[SocketId], except: &[SocketId]) -> usize {
        self.sockets.deliver(message, sockets, except)
    }

    fn deliver_to_all(&self, message: &Message, audience: &Audience<'_>, except: &[SocketId]) -> usize {
        self.sockets.deliver_to_all(message, audience, except)
    }

    fn take_dropped(&self) -> Vec<SocketId> {
        self.sockets.take_dropped()
    }

    fn takes(&self, socket: SocketId, bytes: usize) -> bool {
        self.sockets.takes(socket, bytes)
    }

    fn drained(&self, socket: SocketId) -> LocalFuture<()> {
        self.sockets.drained(socket)
    }

    fn close(&self, socket: SocketId, code: CloseCode, reason: &str) {
        self.sockets.close(socket, code, reason);
    }

    fn resume(&self, socket: SocketId) {
        self.sockets.resume(socket);
    }

    fn attachment(&self, socket: SocketId) -> Option<Bytes> {
        self.sockets.attachment(socket)
    }

    fn set_attachment(&self, socket: SocketId, attachment: Bytes) {
        self.sockets.set_attachment(socket, attachment);
    }

    fn shake_hands(&self, request: &Request) -> Result<Response, Box<Response>> {
        let mut response = handshake::accept(request)?;
        let offered = self.shared().config.compression.and_then(|_| Deflate::negotiate(request.headers()));
        if let Some(deflate) = offered {
            response.headers_mut().insert(SEC_WEBSOCKET_EXTENSIONS, deflate.answer());
            response.extensions_mut().insert(deflate);
        }
        Ok(response)
    }

    fn new_socket(&self, replica: ReplicaAddress, _: &ClientId, _: Option<&Bytes>) -> (SocketId, Arc<dyn SeatGuard>) {
        let socket = self.sockets.insert(self.objects.living_replica(replica));
        (socket, self.guard(Mail::Abandoned { socket }))
    }

    fn hold_back(&self, replica: ReplicaAddress, stream: StreamBacklog) -> Option<Relief> {
        self.sockets.stream_lags(replica.group, stream);
        let (post, worker) = (self.shared().post.clone(), self.index());
        Some(Box::new(move || post.send(worker, vec![Mail::StreamCaughtUp])))
    }

    fn seat_guard(&self, replica: ReplicaAddress, epoch: Epoch, seat: SeatId) -> Arc<dyn SeatGuard> {
        self.guard(Mail::Released { to: replica, epoch, seat })
    }
}

impl ObjectStorage for Worker {
    fn read(&self, object: Object, space: Space, key: Vec<u8>) -> LocalFuture<Result<Option<Bytes>, Error>> {
        self.writes.read_after(&self.shared().storage, object, move |storage| storage.get(object, space, &key))
    }

    fn read_range(
        &self,
        object: Object,
        space: Space,
        keys: (Bound<Vec<u8>>, Bound<Vec<u8>>),
        limit: Option<usize>,
        order: Order,
    ) -> LocalFuture<Result<Vec<(Bytes, Bytes)>, Error>> {
        self.writes.read_after(&self.shared().storage, object, move |storage| {
            storage.range(object, space, keys, limit, order == Order::Descending)
        })
    }

    fn write(&self, object: Object, epoch: Epoch, batch: Batch) -> LocalFuture<Result<(), Error>> {
        if self.objects.epoch(object) != Some(epoch) {
            return Box::pin(async { Err(Error::new(Kind::Closed, "this life of the object is over")) });
        }
        if let Some(at) = batch.alarm.map(AlarmChange::time) {
            // Set in memory now: the handler might not await the write, and the alarm counts anyway.
            self.alarms.borrow_mut().set(object, at);
            self.turn.queued();
        }
        let (call, pending) = self.calls.begin();
        let (post, worker) = (self.shared().post.clone(), self.index());
        let class = self.class_name(object);
        let alarm = batch.alarm.map(AlarmChange::time);
        let done = move |outcome: Result<(), Error>| {
            let refused = alarm.filter(|_| outcome.is_err()).map(|at| Mail::AlarmRefused { object, at });
            post.send(worker, refused.into_iter().chain([Mail::Written { object, call, outcome }]).collect());
        };
        self.writes.begin(object);
        self.shared().storage.write(object, epoch, class, batch, Box::new(done));
        Box::pin(async move {
            match pending.answer().await? {
                Answer::Written => Ok(()),
                _ => wrong_answer(),
            }
        })
    }

    fn alarm(&self, object: Object) -> LocalFuture<Result<Option<Timestamp>, Error>> {
        // An alarm is in memory before it is on disk.
        let alarm = self.alarms.borrow().of(object);
        match alarm {
            Some(at) => Box::pin(async move { Ok(Some(at)) }),
            None => self.writes.read_after(&self.shared().storage, object, move |storage| storage.alarm(object)),
        }
    }

    fn wake_again(&self, object: Object, at: Timestamp) {
        self.alarms.borrow_mut().set(object, Some(at));
        self.turn.queued();
    }
}

impl Lifecycle for Worker {
    fn unique_replica(&self, _: GroupAddress) -> ReplicaId {
        let worker = self.next_replica_worker();
        loop {
            let mut id = [0; 32];
            if let Err(error) = getrandom::fill(&mut id) {
                // Without randomness two Replicas could get the same id.
                panic!("the operating system gives no random bytes: {error}");
            }
            // The id determines the home worker, so draw ids until one belongs to the wanted worker.
            if self.shared().post.worker_of(&id) == worker {
                return ReplicaId::from_bytes(id);
            }
        }
    }

    fn secret(&self) -> [u8; 16] {
        let mut secret = [0; 16];
        if let Err(error) = getrandom::fill(&mut secret) {
            panic!("the operating system gives no random bytes: {error}");
        }
        secret
    }

    fn node(&self) -> NodeId {
        self.router.node()
    }

    fn prefer(&self, replica: ReplicaAddress, node: NodeId) {
        self.router.prefer(replica, node);
    }

    fn replica_ended(&self, replica: ReplicaAddress, epoch: Epoch) {
        self.life_ended(Object::Replica(replica), epoch);
    }

    fn group_ended(&self, group: GroupAddress, epoch: Epoch) {
        self.life_ended(Object::Group(group), epoch);
    }
}

impl HostObserver for Worker {
    fn occurred(&self, occurrence: Occurrence<'_>) {
        match occurrence {
            Occurrence::Waits => self.shutdown.is_busier(),
            Occurrence::Waited(time) => {
                self.shutdown.is_less_busy();
                self.handler_waits.borrow_mut().note(time);
            }
            Occurrence::TaskBegins => self.shutdown.task_begins(),
            Occurrence::TaskEnded => self.shutdown.task_ended(),
            Occurrence::StreamOpened(_) => self.gauges().event_streams.more(),
            Occurrence::StreamEnded(_) => self.gauges().event_streams.less(),
            Occurrence::CallBegins => {
                self.counters().calls.one();
                self.gauges().calls.more();
            }
            Occurrence::CallEnded { ok } => {
                self.counters().calls_failed.add(usize::from(!ok));
                self.gauges().calls.less();
            }
            Occurrence::OverRate(OverRate::Delay) => self.counters().messages_delayed.one(),
            Occurrence::OverRate(OverRate::Drop) => self.counters().messages_over_rate.one(),
            Occurrence::OverRate(OverRate::Close) => self.counters().sockets_over_rate.one(),
            Occurrence::Failed { .. } => self.counters().failures.one(),
            Occurrence::Panicked(_) => self.counters().panics.one(),
        }
    }

    fn may_log(&self, kind: &'static str) -> bool {
        crate::repeats::may_log(kind)
    }

    fn runs(&self, life: Option<Epoch>) -> Option<Epoch> {
        self.heartbeat().runs(life)
    }
}

/// The answer of a Replica to a call.
fn replica_answer(pending: PendingCall) -> LocalFuture<Result<ReplicaAnswer, Error>> {
    Box::pin(async move {
        match pending.answer().await? {
            Answer::Replica(answer) => Ok(answer),
            _ => wrong_answer(),
        }
    })
}
