//! The engine's primitives, for one life of an object, or for the App on one node. A life that has crashed still holds
//! its place, but nothing comes of what it does there.

use std::cell::Cell;
use std::ops::Bound;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use dog::internal::LocalFuture;
use dog::{ClientId, CloseCode, Env, Epoch, Error, Message, ReplicaId, Request, Response, SocketId, Timestamp};
use dog_engine::address::{ClassIndex, GroupAddress, Object, ReplicaAddress, SeatId, Targets, Ticket};
use dog_engine::host::{
    Batch, Fetched, Host, HostObserver, HostProfile, Lifecycle, LivenessChecks, ObjectStorage, Occurrence, Order,
    Scheduler, SeatGuard, SocketHost, Space, Transport,
};
use dog_engine::message::{GroupAnswer, GroupCall, GroupCast, ReplicaAnswer, ReplicaCall, ReplicaCast};

use super::agenda::{Micros, Sleep};
use super::clients::SeatOf;
use super::network::Party;
use super::promise::promise;
use super::{World, objects};

/// Tells places apart.
pub(super) type PlaceKey = u64;

pub struct Place {
    pub(super) world: Rc<World>,
    pub(super) key: PlaceKey,
    pub party: Party,
    pub node: usize,
    pub epoch: Epoch,
    alive: Cell<bool>,
    /// What was sent after that time has not left the process that crashed.
    last_word: Rc<Cell<Micros>>,
}

impl Place {
    pub(super) fn of_app(world: &Rc<World>, node: usize) -> Rc<Self> {
        Self::new(world, Party::App(node), node, Epoch::default())
    }

    pub(super) fn of_life(world: &Rc<World>, object: Object, node: usize, epoch: Epoch) -> Rc<Self> {
        Self::new(world, Party::Object(object), node, epoch)
    }

    fn new(world: &Rc<World>, party: Party, node: usize, epoch: Epoch) -> Rc<Self> {
        let key = world.objects.borrow_mut().new_place();
        Rc::new(Self {
            world: Rc::clone(world),
            key,
            party,
            node,
            epoch,
            alive: Cell::new(true),
            last_word: Rc::new(Cell::new(Micros::MAX)),
        })
    }

    pub fn is_alive(&self) -> bool {
        self.alive.get()
    }

    pub(super) fn kill(&self, last_word: Micros) {
        self.alive.set(false);
        self.last_word.set(last_word);
    }

    /// Until when it could send: for ever, unless it has crashed.
    pub(super) fn last_word(&self) -> Rc<Cell<Micros>> {
        Rc::clone(&self.last_word)
    }

    fn ends(&self, object: Object, epoch: Epoch) {
        if self.is_alive() {
            self.world.life_ended(object, epoch);
        }
    }
}

/// A seat or a socket that is given back.
#[derive(Clone, Copy, Debug)]
pub enum Dropped {
    Seat { replica: ReplicaAddress, epoch: Epoch, seat: SeatId },
    Socket(SocketId),
}

struct Guard {
    what: Mutex<Option<Dropped>>,
    dropped: Arc<Mutex<Vec<Dropped>>>,
}

impl SeatGuard for Guard {
    fn disarm(&self) {
        self.what.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let what = self.what.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner).extend(what);
    }
}

impl Place {
    fn guard(&self, what: Dropped) -> Arc<dyn SeatGuard> {
        Arc::new(Guard { what: Mutex::new(Some(what)), dropped: Arc::clone(&self.world.dropped) })
    }
}

impl Host for Place {
    fn profile(&self) -> HostProfile {
        let liveness = if self.world.keeps_watch { LivenessChecks::Timed } else { LivenessChecks::OnDemand };
        HostProfile { hibernate_after: self.world.hibernate_after, liveness, ..HostProfile::SERVER }
    }

    fn env(&self) -> &Env {
        &self.world.env
    }

    fn class(&self, name: &str) -> Option<ClassIndex> {
        self.world.class(name)
    }
}

impl Scheduler for Place {
    fn now(&self) -> Timestamp {
        self.world.agenda.now()
    }

    fn sleep(&self, duration: Duration) -> LocalFuture<()> {
        Box::pin(Sleep::new(&self.world, duration))
    }

    fn spawn(&self, task: LocalFuture<()>) {
        if self.is_alive() {
            self.world.tasks.spawn(self.key, task);
        }
    }
}

impl Transport for Place {
    fn call_group(&self, to: GroupAddress, call: GroupCall) -> LocalFuture<Result<GroupAnswer, Error>> {
        let (promise, asked) = promise(self.world.tells(self, Object::Group(to)));
        self.world.call_group(self, to, call, promise);
        Box::pin(asked)
    }

    fn cast_group(&self, to: GroupAddress, cast: GroupCast) {
        self.world.cast_group(self, to, &cast);
    }

    fn call_replica(&self, to: ReplicaAddress, call: ReplicaCall) -> LocalFuture<Result<ReplicaAnswer, Error>> {
        let (promise, asked) = promise(self.world.tells(self, Object::Replica(to)));
        self.world.call_replica(self, to, call, promise);
        Box::pin(asked)
    }

    fn cast_replicas(&self, to: &Targets, cast: ReplicaCast) {
        self.world.cast_replicas(self, to, &cast);
    }

    fn fetch_group(&self, to: GroupAddress, request: Request) -> LocalFuture<Result<Response, Error>> {
        let (promise, asked) = promise(true);
        self.world.fetch_group(self, to, request, promise);
        Box::pin(asked)
    }

    fn fetch_replica(
        &self,
        to: ReplicaAddress,
        ticket: Ticket,
        request: Request,
    ) -> LocalFuture<Result<Fetched, Error>> {
        let (promise, asked) = promise(true);
        let client = ticket.client.clone();
        self.world.fetch_replica(self, to, ticket, request, promise);
        Box::pin(async move {
            let mut fetched = asked.await?;
            if let Fetched::Response(response) = &mut fetched {
                response.extensions_mut().insert(SeatOf(client));
            }
            Ok(fetched)
        })
    }
}

impl SocketHost for Place {
    fn deliver(&self, message: &Message, sockets: &[SocketId], except: &[SocketId]) -> usize {
        if !self.is_alive() {
            return 0;
        }
        self.world.observe(|observer| observer.hands_over(&self.world, self, message));
        let meant = sockets.iter().filter(|socket| !except.contains(socket));
        meant.filter(|socket| self.world.to_socket(**socket, message)).count()
    }

    fn close(&self, socket: SocketId, code: CloseCode, reason: &str) {
        if self.is_alive() {
            self.world.close_socket(socket, code, reason);
        }
    }

    fn resume(&self, socket: SocketId) {
        self.world.later(0, move |world| world.resumed(socket));
    }

    fn attachment(&self, socket: SocketId) -> Option<Bytes> {
        self.world.sockets.borrow().attachment(socket)
    }

    fn set_attachment(&self, socket: SocketId, attachment: Bytes) {
        self.world.sockets.borrow_mut().set_attachment(socket, attachment);
    }

    fn new_socket(&self, replica: ReplicaAddress, _: &ClientId) -> (SocketId, Arc<dyn SeatGuard>) {
        let socket = self.world.new_socket(self, replica);
        (socket, self.guard(Dropped::Socket(socket)))
    }

    fn seat_guard(&self, replica: ReplicaAddress, epoch: Epoch, seat: SeatId) -> Arc<dyn SeatGuard> {
        self.guard(Dropped::Seat { replica, epoch, seat })
    }
}

impl ObjectStorage for Place {
    fn read(&self, object: Object, space: Space, key: Vec<u8>) -> LocalFuture<Result<Option<Bytes>, Error>> {
        let read = self.world.storage.borrow().read(object, space, &key);
        self.world.after_reading(read)
    }

    fn read_range(
        &self,
        object: Object,
        space: Space,
        keys: (Bound<Vec<u8>>, Bound<Vec<u8>>),
        limit: Option<usize>,
        order: Order,
    ) -> LocalFuture<Result<Vec<(Bytes, Bytes)>, Error>> {
        let mut read = self.world.storage.borrow().range(object, space, keys, limit, order == Order::Descending);
        if self.world.forgets_books(space) {
            read.clear();
        }
        self.world.after_reading(read)
    }

    fn write(&self, object: Object, epoch: Epoch, batch: Batch) -> LocalFuture<Result<(), Error>> {
        let (promise, asked) = promise(false);
        if self.is_alive() {
            self.world.write(object, epoch, batch, promise);
        }
        Box::pin(asked)
    }

    fn alarm(&self, object: Object) -> LocalFuture<Result<Option<Timestamp>, Error>> {
        let alarm = self.world.storage.borrow().alarm(object);
        Box::pin(async move { Ok(alarm) })
    }

    fn ring_again(&self, object: Object, at: Timestamp, attempt: u32) {
        if self.is_alive() {
            self.world.ring_again(object, at, attempt);
        }
    }
}

impl Lifecycle for Place {
    fn unique_replica(&self, _: GroupAddress) -> ReplicaId {
        let mut random = self.world.random.borrow_mut();
        let mut id = [0; 32];
        id.chunks_exact_mut(8).for_each(|part| part.copy_from_slice(&random.number().to_be_bytes()));
        ReplicaId::from_bytes(id)
    }

    fn replica_ended(&self, replica: ReplicaAddress, epoch: Epoch) {
        self.ends(Object::Replica(replica), epoch);
    }

    fn group_ended(&self, group: GroupAddress, epoch: Epoch) {
        self.ends(Object::Group(group), epoch);
    }
}

impl HostObserver for Place {
    fn occurred(&self, occurrence: Occurrence<'_>) {
        match occurrence {
            Occurrence::Failed { handler, cause } => self.world.failed(self, &format!("{handler} failed: {cause}")),
            Occurrence::Panicked(what) => {
                self.world.failed(self, &format!("a panic: {what}"));
                self.world.observe(|observer| observer.panics(self));
            }
            Occurrence::Waits | Occurrence::Waited(_) => {}
        }
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&objects::name(self.party))
    }
}
