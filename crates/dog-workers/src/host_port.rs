//! The engine's host traits, implemented over the Workers platform.

use std::ops::Bound;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dog::http::{Method, StatusCode, header};
use dog::internal::{ConnectionId, Kind, LocalFuture, SocketErrorKind, Topic};
use dog::{
    Body, ClientId, Close, CloseCode, Env, Epoch, Error, Format, Message, ReplicaId, Request, Response, SocketError,
    SocketId, Timestamp,
};
use dog_engine::address::{ClassIndex, GroupAddress, Object, ReplicaAddress, SeatId, Targets, Ticket};
use dog_engine::handshake;
use dog_engine::host::{
    Batch, End, Fetched, Host, HostObserver, HostProfile, KeptSocket, Lifecycle, LivenessChecks, ObjectStorage,
    Occurrence, Order, Scheduler, SeatGuard, SocketHost, Space, StreamLimits, Transport,
};
use dog_engine::message::{GroupAnswer, GroupCall, GroupCast, ReplicaAnswer, ReplicaCall, ReplicaCast};
use js_sys::Uint8Array;

use crate::drop_guard::DropGuard;
use crate::fetch::fetch;
use crate::host::{LiveObject, WorkersHost};
use crate::outbox::Repeat;
use crate::platform::{self, error_text};
use crate::time::{PlatformSleep, now};
use dog_engine::wire::{self, ToGroup, ToReplica, may_repeat, may_repeat_to_group};

fn ready<T: 'static>(outcome: Result<T, Error>) -> LocalFuture<Result<T, Error>> {
    Box::pin(async { outcome })
}

impl Host for WorkersHost {
    /// The platform itself decides when an object leaves memory, and gives no notice. A timer would keep it in memory.
    fn profile(&self) -> HostProfile {
        HostProfile {
            hibernate_after: self.hibernate_after,
            announces_shutdown: false,
            reads_other_objects: false,
            liveness: LivenessChecks::OnDemand,
            streams: StreamLimits::DEFAULT,
            // The platform does not say how it restarts a Worker. Its sockets end within a moment.
            drains_within: Duration::ZERO,
            keeps_groups_in_memory: false,
        }
    }

    fn env(&self) -> &Env {
        &self.env
    }

    fn class(&self, name: &str) -> Option<ClassIndex> {
        self.class_index(name).ok()
    }
}

impl Scheduler for WorkersHost {
    fn now(&self) -> Timestamp {
        now()
    }

    fn sleep(&self, duration: Duration) -> LocalFuture<()> {
        Box::pin(PlatformSleep::new(duration))
    }

    fn spawn(&self, task: LocalFuture<()>) {
        wasm_bindgen_futures::spawn_local(task);
    }
}

impl Transport for WorkersHost {
    fn call_group(&self, to: GroupAddress, call: GroupCall) -> LocalFuture<Result<GroupAnswer, Error>> {
        // A second answer is ignored.
        let repeat = Repeat::harmless_if(may_repeat_to_group(&call));
        Box::pin(self.outbox.call(Object::Group(to), wire::encode(&ToGroup::Call(call)), repeat))
    }

    fn cast_group(&self, to: GroupAddress, cast: GroupCast) {
        // Casts to a Group carry absolute numbers, or say that something has ended; but a broadcast comes at most once.
        let repeat = Repeat::harmless_if(cast.message().is_none());
        self.outbox.cast([Object::Group(to)], wire::encode(&ToGroup::Cast(cast)), repeat);
    }

    fn call_replica(&self, to: ReplicaAddress, call: ReplicaCall) -> LocalFuture<Result<ReplicaAnswer, Error>> {
        let repeat = Repeat::harmless_if(may_repeat(&call));
        Box::pin(self.outbox.call(Object::Replica(to), wire::encode(&ToReplica::Call(call)), repeat))
    }

    fn cast_replicas(&self, to: &Targets, cast: ReplicaCast) {
        let objects = to.iter().map(|replica| Object::Replica(to.address(replica)));
        // What has a number is taken once.
        let is_numbered = !matches!(cast, ReplicaCast::Deliver(_) | ReplicaCast::DeliverTopic(_));
        let repeat = Repeat::harmless_if(is_numbered);
        self.outbox.cast(objects, wire::encode(&ToReplica::Cast(cast)), repeat);
    }

    fn fetch_group(&self, to: GroupAddress, request: Request) -> LocalFuture<Result<Response, Error>> {
        let stubs = Rc::clone(&self.stubs);
        Box::pin(async move {
            match fetch(&stubs, Object::Group(to), None, request).await? {
                Fetched::Response(response) => Ok(response),
                Fetched::Refused { .. } => Err(Error::new(Kind::Unreachable, "a Group cannot refuse a ticket")),
            }
        })
    }

    fn fetch_replica(
        &self,
        to: ReplicaAddress,
        ticket: Ticket,
        request: Request,
    ) -> LocalFuture<Result<Fetched, Error>> {
        let stubs = Rc::clone(&self.stubs);
        Box::pin(async move { fetch(&stubs, Object::Replica(to), Some(ticket), request).await })
    }
}

impl SocketHost for WorkersHost {
    fn deliver(&self, message: &Message, sockets: &[SocketId], except: &[SocketId]) -> usize {
        self.here().map_or(0, |here| here.sockets.borrow().deliver(message, sockets, except))
    }

    fn close(&self, socket: SocketId, code: CloseCode, reason: &str) {
        if let Ok(here) = self.here() {
            here.sockets.borrow_mut().close(socket, code, reason);
        }
    }

    /// The platform has no way to pause a socket. The engine holds messages that come meanwhile.
    fn resume(&self, _: SocketId) {}

    fn attachment(&self, socket: SocketId) -> Option<Bytes> {
        self.here().ok()?.sockets.borrow().attachment(socket)
    }

    fn set_topics(&self, socket: SocketId, topics: &mut dyn Iterator<Item = &Topic>) {
        if let Ok(here) = self.here() {
            here.sockets.borrow_mut().set_topics(socket, topics.cloned().collect(), &here.storage);
        }
    }

    fn set_presence(&self, socket: SocketId, connection: ConnectionId, value: &Bytes) {
        if let Ok(here) = self.here() {
            here.sockets.borrow_mut().set_presence(socket, (connection, value.clone()), &here.storage);
        }
    }

    fn set_format(&self, socket: SocketId, format: Format) {
        if let Ok(here) = self.here() {
            here.sockets.borrow_mut().set_format(socket, format, &here.storage);
        }
    }

    fn set_attachment(&self, socket: SocketId, attachment: Bytes) {
        if let Ok(here) = self.here() {
            here.sockets.borrow_mut().set_attachment(socket, attachment, &here.storage);
        }
    }

    fn set_client(&self, socket: SocketId, client: &ClientId) {
        if let Ok(here) = self.here() {
            here.sockets.borrow_mut().set_client(socket, client, &here.storage);
        }
    }

    /// The platform itself answers the key of a handshake. It shows only that the request is one.
    fn shake_hands(&self, request: &Request) -> Result<Response, Box<Response>> {
        let upgrade = request.headers().get(header::UPGRADE);
        let (status, text) = match upgrade {
            _ if request.method() != Method::GET => (StatusCode::METHOD_NOT_ALLOWED, "a WebSocket is opened with GET"),
            Some(value) if value.as_bytes().eq_ignore_ascii_case(b"websocket") => {
                handshake::check_subprotocols(request.headers())?;
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                return Ok(response);
            }
            _ => (StatusCode::UPGRADE_REQUIRED, "this is a WebSocket: send Upgrade: websocket"),
        };
        Err(Box::new(dog::text_response(status, text)))
    }

    fn new_socket(
        &self,
        _: ReplicaAddress,
        client: &ClientId,
        identity: Option<&Bytes>,
    ) -> (SocketId, Arc<dyn SeatGuard>) {
        let lost = |host: &Self, socket| {
            let close = Close::new(CloseCode::ABNORMAL, "");
            host.socket_ended(socket, End::Error(SocketError::new(SocketErrorKind::Lost, close)));
        };
        let Ok(here) = self.here() else { unreachable!("only a Replica has sockets, and it lives here") };
        let (socket, added) = here.sockets.borrow_mut().add(client, identity);
        if let Err(thrown) = added {
            tracing::error!("the runtime accepts no further sockets: {}", error_text(&thrown));
            lost(self, socket);
        }
        let guard = DropGuard::new(&self.this, move |host| {
            host.close(socket, CloseCode::GOING_AWAY, "");
            lost(host, socket);
        });
        (socket, Arc::new(guard))
    }

    fn sockets(&self, _: ReplicaAddress) -> Vec<KeptSocket> {
        self.here().map(|here| here.sockets.borrow().open()).unwrap_or_default()
    }

    fn seat_guard(&self, _: ReplicaAddress, epoch: Epoch, seat: SeatId) -> Arc<dyn SeatGuard> {
        Arc::new(DropGuard::new(&self.this, move |host| match host.present() {
            Some(LiveObject::Replica(replica)) if replica.epoch() == epoch => replica.released(seat),
            Some(_) | None => {}
        }))
    }
}

impl ObjectStorage for WorkersHost {
    fn read(&self, _: Object, space: Space, key: Vec<u8>) -> LocalFuture<Result<Option<Bytes>, Error>> {
        ready(self.here().and_then(|here| here.storage.read(space, &key)))
    }

    fn read_range(
        &self,
        _: Object,
        space: Space,
        keys: (Bound<Vec<u8>>, Bound<Vec<u8>>),
        limit: Option<usize>,
        order: Order,
    ) -> LocalFuture<Result<Vec<(Bytes, Bytes)>, Error>> {
        ready(self.here().and_then(|here| here.storage.range(space, keys, limit, order == Order::Descending)))
    }

    fn write(&self, _: Object, epoch: Epoch, batch: Batch) -> LocalFuture<Result<(), Error>> {
        if self.present().is_none_or(|life| life.epoch() != epoch) {
            return ready(Err(Error::new(Kind::Closed, "this activation of the object is over")));
        }
        ready(self.here().and_then(|here| here.storage.write(&batch)))
    }

    fn alarm(&self, _: Object) -> LocalFuture<Result<Option<Timestamp>, Error>> {
        ready(self.here().and_then(|here| here.storage.alarm()))
    }

    fn wake_again(&self, _: Object, at: Timestamp) {
        if let Err(error) = self.here().and_then(|here| here.storage.wake_again(at)) {
            tracing::error!("the alarm of the object cannot be set again: {error}");
        }
    }
}

impl Lifecycle for WorkersHost {
    fn unique_replica(&self, _: GroupAddress) -> ReplicaId {
        let (random, mut id) = (Uint8Array::new_with_length(32), [0; 32]);
        platform::random_values(&random);
        random.copy_to(&mut id);
        ReplicaId::from_bytes(id)
    }

    fn secret(&self) -> [u8; 16] {
        let (random, mut secret) = (Uint8Array::new_with_length(16), [0; 16]);
        platform::random_values(&random);
        random.copy_to(&mut secret);
        secret
    }

    fn replica_ended(&self, _: ReplicaAddress, epoch: Epoch) {
        self.life_ended(epoch);
    }

    fn group_ended(&self, _: GroupAddress, epoch: Epoch) {
        self.life_ended(epoch);
    }
}

impl HostObserver for WorkersHost {
    fn occurred(&self, occurrence: Occurrence<'_>) {
        match occurrence {
            Occurrence::Waits => self.is_busier(),
            Occurrence::Waited(_) => self.is_less_busy(),
            // No event waits for a task of the user: it may last as long as the object is in memory.
            Occurrence::TaskBegins | Occurrence::TaskEnded => {}
            // Nothing is counted here.
            Occurrence::StreamOpened(_) | Occurrence::StreamEnded(_) => {}
            Occurrence::CallBegins | Occurrence::CallEnded { .. } | Occurrence::OverRate(_) => {}
            Occurrence::Failed { .. } | Occurrence::Panicked(_) => {}
        }
    }
}
