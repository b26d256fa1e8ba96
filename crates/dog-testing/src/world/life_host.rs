//! The engine's [`Host`] for one life of an object, or for the App on one node. A life that has crashed keeps its host,
//! but its calls have no effect.

use std::fmt;
use std::ops::Bound;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dog::internal::{ConnectionId, LocalFuture};
use dog::{ClientId, Close, CloseCode, Env, Epoch, Error, Message, ReplicaId, Request, Response, SocketId, Timestamp};
use dog_engine::address::{ClassIndex, GroupAddress, Object, ReplicaAddress, SeatId, Targets, Ticket};
use dog_engine::host::{
    Batch, Fetched, Host, HostObserver, HostProfile, Lifecycle, ObjectStorage, Occurrence, Order, Scheduler, SeatGuard,
    SocketHost, Space, StreamLimits, Transport,
};
use dog_engine::message::{GroupAnswer, GroupCall, GroupCast, ReplicaAnswer, ReplicaCall, ReplicaCast};

use super::connections::SeatOf;
use super::life::Life;
use super::reply::{OnLoss, reply};
use super::services::Services;

/// The host of one life.
pub(super) struct LifeHost {
    services: Rc<Services>,
    life: Rc<Life>,
}

impl LifeHost {
    pub(super) fn new(services: &Rc<Services>, life: &Rc<Life>) -> Rc<Self> {
        Rc::new(Self { services: Rc::clone(services), life: Rc::clone(life) })
    }

    fn life_ended(&self, object: Object, epoch: Epoch) {
        if self.life.is_alive() {
            self.services.life_ended(object, epoch);
        }
    }
}

impl Host for LifeHost {
    fn profile(&self) -> HostProfile {
        let config = self.services.core().config();
        let streams = StreamLimits { max_waiting: config.outbox, ..StreamLimits::DEFAULT };
        let (hibernate_after, liveness) = (config.hibernate_after, config.liveness);
        HostProfile { hibernate_after, liveness, streams, ..HostProfile::SERVER }
    }

    fn env(&self) -> &Env {
        self.services.env()
    }

    fn class(&self, name: &str) -> Option<ClassIndex> {
        self.services.class(name)
    }
}

impl Scheduler for LifeHost {
    fn now(&self) -> Timestamp {
        self.services.core().clock().now()
    }

    fn sleep(&self, duration: Duration) -> LocalFuture<()> {
        Box::pin(self.services.core().clock().sleep(duration))
    }

    fn spawn(&self, task: LocalFuture<()>) {
        if self.life.is_alive() {
            self.services.core().tasks().spawn(self.life.id(), self.life.node(), task);
        }
    }
}

impl Transport for LifeHost {
    fn call_group(&self, to: GroupAddress, call: GroupCall) -> LocalFuture<Result<GroupAnswer, Error>> {
        let mail = self.services.mail();
        let (sender, pending) = reply(mail.on_loss(&self.life, Object::Group(to)));
        mail.call_group(&self.life, to, call, sender);
        Box::pin(pending)
    }

    fn cast_group(&self, to: GroupAddress, cast: GroupCast) {
        self.services.mail().cast_group(&self.life, to, &cast);
    }

    fn call_replica(&self, to: ReplicaAddress, call: ReplicaCall) -> LocalFuture<Result<ReplicaAnswer, Error>> {
        let mail = self.services.mail();
        let (sender, pending) = reply(mail.on_loss(&self.life, Object::Replica(to)));
        mail.call_replica(&self.life, to, call, sender);
        Box::pin(pending)
    }

    fn cast_replicas(&self, to: &Targets, cast: ReplicaCast) {
        self.services.mail().cast_replicas(&self.life, to, &cast);
    }

    fn fetch_group(&self, to: GroupAddress, request: Request) -> LocalFuture<Result<Response, Error>> {
        let (sender, pending) = reply(OnLoss::Fail);
        self.services.mail().fetch_group(&self.life, to, request, sender);
        Box::pin(pending)
    }

    fn fetch_replica(
        &self,
        to: ReplicaAddress,
        ticket: Ticket,
        request: Request,
    ) -> LocalFuture<Result<Fetched, Error>> {
        let (sender, pending) = reply(OnLoss::Fail);
        let client = ticket.client.clone();
        self.services.mail().fetch_replica(&self.life, to, ticket, request, sender);
        Box::pin(async move {
            let mut fetched = pending.await?;
            if let Fetched::Response(response) = &mut fetched {
                response.extensions_mut().insert(SeatOf(client));
            }
            Ok(fetched)
        })
    }
}

impl SocketHost for LifeHost {
    fn deliver(&self, message: &Message, sockets: &[SocketId], except: &[SocketId]) -> usize {
        if !self.life.is_alive() {
            return 0;
        }
        self.services.core().observe(|observer| observer.hands_over(&self.life, message));
        let receivers = sockets.iter().filter(|socket| !except.contains(socket));
        receivers.filter(|socket| self.services.connections().send(**socket, message)).count()
    }

    fn takes(&self, socket: SocketId, bytes: usize) -> bool {
        let waiting = self.services.connections().waiting(socket);
        waiting == 0 || waiting + bytes <= self.services.core().config().outbox / 4
    }

    fn drained(&self, socket: SocketId) -> LocalFuture<()> {
        self.services.connections().drained(socket)
    }

    fn close(&self, socket: SocketId, code: CloseCode, reason: &str) {
        if self.life.is_alive() {
            self.services.connections().close(socket, Close::new(code, reason));
        }
    }

    fn resume(&self, socket: SocketId) {
        let connections = Rc::clone(self.services.connections());
        self.services.core().clock().later(0, move || connections.resume(socket));
    }

    fn attachment(&self, socket: SocketId) -> Option<Bytes> {
        self.services.connections().attachment(socket)
    }

    fn set_attachment(&self, socket: SocketId, attachment: Bytes) {
        self.services.connections().set_attachment(socket, attachment);
    }

    fn set_presence(&self, socket: SocketId, connection: ConnectionId, value: &Bytes) {
        self.services.core().observe(|observer| observer.names(&self.life, socket, connection, value));
    }

    fn new_socket(&self, replica: ReplicaAddress, _: &ClientId, _: Option<&Bytes>) -> (SocketId, Arc<dyn SeatGuard>) {
        let socket = self.services.connections().new_socket(&self.life, replica);
        (socket, self.services.socket_guard(socket))
    }

    fn seat_guard(&self, replica: ReplicaAddress, epoch: Epoch, seat: SeatId) -> Arc<dyn SeatGuard> {
        self.services.seat_guard(replica, epoch, seat)
    }
}

impl ObjectStorage for LifeHost {
    fn read(&self, object: Object, space: Space, key: Vec<u8>) -> LocalFuture<Result<Option<Bytes>, Error>> {
        self.services.store().read(&self.life, move |storage| storage.read(object, space, &key))
    }

    fn read_range(
        &self,
        object: Object,
        space: Space,
        keys: (Bound<Vec<u8>>, Bound<Vec<u8>>),
        limit: Option<usize>,
        order: Order,
    ) -> LocalFuture<Result<Vec<(Bytes, Bytes)>, Error>> {
        if self.services.store().hides(space) {
            return Box::pin(async { Ok(Vec::new()) });
        }
        let read = move |storage: &super::storage::Storage| storage.range(object, space, keys.clone(), limit, order);
        self.services.store().read(&self.life, read)
    }

    fn write(&self, object: Object, epoch: Epoch, batch: Batch) -> LocalFuture<Result<(), Error>> {
        let (sender, pending) = reply(OnLoss::StaySilent);
        if self.life.is_alive() {
            self.services.store().write(&self.life, object, epoch, batch, sender);
        }
        Box::pin(pending)
    }

    fn alarm(&self, object: Object) -> LocalFuture<Result<Option<Timestamp>, Error>> {
        let alarm = self.services.store().alarm(object);
        Box::pin(async move { Ok(alarm) })
    }

    fn wake_again(&self, object: Object, at: Timestamp) {
        if self.life.is_alive() {
            self.services.store().wake_again(object, at);
        }
    }
}

impl Lifecycle for LifeHost {
    fn unique_replica(&self, _: GroupAddress) -> ReplicaId {
        let mut random = self.services.core().random();
        let mut id = [0; 32];
        id.chunks_exact_mut(8).for_each(|part| part.copy_from_slice(&random.number().to_be_bytes()));
        ReplicaId::from_bytes(id)
    }

    fn secret(&self) -> [u8; 16] {
        let mut random = self.services.core().random();
        let mut secret = [0; 16];
        secret.chunks_exact_mut(8).for_each(|part| part.copy_from_slice(&random.number().to_be_bytes()));
        secret
    }

    fn replica_ended(&self, replica: ReplicaAddress, epoch: Epoch) {
        self.life_ended(Object::Replica(replica), epoch);
    }

    fn group_ended(&self, group: GroupAddress, epoch: Epoch) {
        self.life_ended(Object::Group(group), epoch);
    }
}

impl HostObserver for LifeHost {
    fn occurred(&self, occurrence: Occurrence<'_>) {
        let core = self.services.core();
        match occurrence {
            Occurrence::Failed { handler, cause } => core.fail(&self.life, &format!("{handler} failed: {cause}")),
            Occurrence::Panicked(what) => {
                core.fail(&self.life, &format!("a panic: {what}"));
                core.observe(|observer| observer.panics(&self.life));
            }
            Occurrence::StreamOpened(socket) if self.life.is_alive() => {
                core.note(|| format!("{:?} has a new event stream {}", self.life, socket.raw()));
                core.observe(|observer| observer.opens(&self.life, socket));
            }
            Occurrence::StreamEnded(socket) if self.life.is_alive() => {
                core.note(|| format!("{:?}: event stream {} has ended", self.life, socket.raw()));
                core.observe(|observer| observer.ends(socket));
            }
            // Nothing here depends on the others.
            _ => {}
        }
    }

    fn runs(&self, life: Option<Epoch>) -> Option<Epoch> {
        self.services.core().runs(life)
    }
}

impl fmt::Debug for LifeHost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.life)
    }
}
