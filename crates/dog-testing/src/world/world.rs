//! A world: its services, and the App on each of its nodes.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dog::internal::{AppPort, LocalFuture};
use dog::{App, ClientId, Close, Env, Epoch, Message, Request, Response, SocketId, Timestamp};
use dog_engine::address::{ClassIndex, Object, ReplicaAddress};
use dog_engine::host::Space;
use dog_engine::{Class, Front, app_port, classes};
use http::StatusCode;

use super::client::{Client, ClientKey, ClientState};
use super::clock::Micros;
use super::config::{DiskConfig, WorldConfig};
use super::connections::OpenSocket;
use super::life::{Driver, Life, Party, RunningLife};
use super::life_host::LifeHost;
use super::network::Weather;
use super::observer::Observer;
use super::random::Random;
use super::services::Services;
use super::tasks::OwnerId;
use super::traffic::Traffic;

/// The user's App on one node, type-erased.
type Answering = Rc<dyn Fn(Request) -> LocalFuture<Response>>;

/// The App on one node.
#[derive(Clone)]
struct NodeFront {
    life: Rc<Life>,
    port: Rc<dyn AppPort>,
    answer: Answering,
}

/// A world with an App. See the [module](super).
pub struct World {
    services: Rc<Services>,
    fronts: RefCell<Vec<NodeFront>>,
    /// Whether the next task is random. Otherwise the oldest runs first.
    picks_tasks: bool,
}

impl World {
    /// Creates a world for this App. `env` is the environment of its objects.
    pub fn new<A: App>(app: A, env: Env, config: WorldConfig) -> Rc<Self> {
        let classes = classes::<A, LifeHost>();
        let services = Services::new(config, env, classes.iter().map(|class| class.name).collect());
        let beginning = Rc::downgrade(&services);
        services.lives().begin_with(move |object, node, epoch| {
            let Some(services) = beginning.upgrade() else { unreachable!("a life begins in a world that exists") };
            begin_life(&services, &classes, object, node, epoch)
        });
        let app = Arc::new(app);
        let fronts = (0..config.nodes.max(1)).map(|node| front(&services, &app, node)).collect();
        Rc::new(Self { services, fronts: RefCell::new(fronts), picks_tasks: config.weather.delay.1 > 0 })
    }

    pub(super) fn services(&self) -> &Rc<Services> {
        &self.services
    }

    /// Tells `observer` what happens from now on.
    pub fn set_observer(&self, observer: Rc<dyn Observer>) {
        self.services.core().set_observer(Some(observer));
    }

    /// Makes one step: runs a task, or else the next event until `until`. Returns `false` if there is neither.
    pub fn step(&self, until: Micros) -> bool {
        self.services.collect_released();
        let core = self.services.core();
        let choose = |ready| if self.picks_tasks { core.random().below(ready) } else { 0 };
        let paused = core.nodes().paused();
        core.tasks().run_one(&paused, choose) || core.clock().run_next(until)
    }

    /// Drops everything. Clients keep what they have received.
    pub fn end(&self) {
        self.services.clear();
        let fronts = self.fronts.take();
        drop(fronts);
        self.services.clear_rest();
    }

    /// Returns the microseconds since the start of the run.
    pub fn micros(&self) -> Micros {
        self.services.core().clock().micros()
    }

    /// Returns the time that objects see.
    pub fn now(&self) -> Timestamp {
        self.services.core().clock().now()
    }

    /// Returns the value that [`micros`](Self::micros) has after `duration`.
    pub fn after(&self, duration: Duration) -> Micros {
        self.micros() + Self::span(duration)
    }

    /// Converts a duration to microseconds.
    pub fn span(duration: Duration) -> Micros {
        Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX / 4)
    }

    /// Moves the clock to `until`. No event may be due before.
    pub fn advance_to(&self, until: Micros) {
        self.services.core().clock().advance_to(until);
    }

    /// Runs `what` after `delay`.
    pub fn later(self: &Rc<Self>, delay: Micros, what: impl FnOnce(&Rc<Self>) + 'static) {
        let world = Rc::downgrade(self);
        self.services.core().clock().later(delay, move || {
            if let Some(world) = world.upgrade() {
                what(&world);
            }
        });
    }

    /// Writes a trace from now on.
    pub fn start_trace(&self) {
        self.services.core().trace().start();
    }

    /// Adds a line to the trace.
    pub fn note(&self, line: impl FnOnce() -> String) {
        self.services.core().note(line);
    }

    /// Takes the lines of the trace.
    pub fn take_trace(&self) -> Vec<String> {
        self.services.core().trace().take()
    }

    /// Returns the random numbers of this run.
    pub fn random(&self) -> RefMut<'_, Random> {
        self.services.core().random()
    }

    /// Returns the failures of the user's functions.
    pub fn failures(&self) -> RefMut<'_, Vec<String>> {
        self.services.core().failures()
    }

    /// Counts messages between objects from now on.
    pub fn count_traffic(&self) {
        self.services.mail().traffic().start();
    }

    /// Returns the counts of messages since the last call.
    pub fn take_traffic(&self) -> Traffic {
        self.services.mail().traffic().take()
    }
}

/// The network and the disk.
impl World {
    /// Returns how the network behaves.
    pub fn weather(&self) -> Weather {
        self.services.core().weather()
    }

    /// Changes how the network behaves.
    pub fn set_weather(&self, weather: Weather) {
        self.services.core().network().set_weather(weather);
    }

    /// Returns how the disk behaves.
    pub fn disk(&self) -> DiskConfig {
        self.services.core().disk()
    }

    /// Changes how the disk behaves.
    pub fn set_disk(&self, disk: DiskConfig) {
        self.services.core().set_disk(disk);
    }

    /// Returns how many calls, answers and deliveries were lost or late so far. After such a loss, members may not know
    /// each other.
    pub fn harmed(&self) -> u64 {
        self.services.core().network().harmed()
    }

    /// Returns how many cuts there were so far. After a cut, a delivery may be missing.
    pub fn cuts_so_far(&self) -> u64 {
        self.services.core().network().cuts_so_far()
    }

    /// Whether nothing is cut and every node is well.
    pub fn is_whole(&self) -> bool {
        self.services.core().network().is_whole() && self.services.core().nodes().are_well()
    }

    /// Whether nodes or objects are cut off from each other now. Outages of nodes do not count.
    pub fn is_cut(&self) -> bool {
        self.services.core().network().has_cuts()
    }

    /// Cuts two nodes off from each other.
    pub fn cut(&self, nodes: (usize, usize)) {
        self.services.core().network().cut(nodes);
    }

    /// Cuts one object off from all others. Its sockets are not affected.
    pub fn cut_off(&self, object: Object) {
        self.services.core().network().cut_off(object);
    }

    /// Heals all cuts. Outages of nodes are not cuts.
    pub fn heal_cuts(&self) {
        self.services.core().network().heal();
    }
}

/// Objects.
impl World {
    /// Returns the class of a Group, by its name.
    pub fn class(&self, name: &str) -> Option<ClassIndex> {
        self.services.class(name)
    }

    /// Returns the current life of an object.
    pub fn current(&self, object: Object) -> Option<RunningLife> {
        self.services.lives().current(object)
    }

    /// Returns the engine's side of the current life of an object.
    pub fn driver(&self, object: Object) -> Option<Driver> {
        self.current(object).map(|running| running.driver)
    }

    /// Returns all current lives.
    pub fn lives(&self) -> Vec<(Object, RunningLife)> {
        self.services.lives().all_current()
    }

    /// Returns all objects that have ever lived.
    pub fn known_objects(&self) -> Vec<Object> {
        self.services.lives().known()
    }

    /// Returns the name of the object whose task ran last.
    pub fn last_to_run(&self) -> String {
        let last = self.services.core().tasks().last_owner();
        let running = self.lives().into_iter().find(|(_, running)| running.life.id() == last);
        running.map_or_else(|| "the App".into(), |(object, _)| Party::Object(object).full_name())
    }

    /// Crashes the current life of an object. Returns `false` if there is none.
    pub fn crash(&self, object: Object) -> bool {
        self.services.crash(object)
    }

    /// Lets the hosts begin to shut down. All present and future lives are told.
    pub fn begin_shutdown(&self) {
        self.services.stop();
    }

    /// Returns the alarm of an object.
    pub fn alarm_of(&self, object: Object) -> Option<Timestamp> {
        self.services.store().alarm(object)
    }

    /// Returns the number of entries of all objects on disk.
    pub fn entries(&self) -> usize {
        self.services.store().entries()
    }

    /// Returns how many entries reads of ranges have returned so far.
    pub fn entries_listed(&self) -> u64 {
        self.services.store().entries_listed()
    }

    /// Returns one of the user's values on disk.
    pub fn stored(&self, object: Object, key: &str) -> Option<Bytes> {
        self.services.store().stored(object, Space::User, key.as_bytes())
    }

    /// Returns a record of the object's logs on disk.
    pub fn stored_log_record(&self, object: Object, key: &[u8]) -> Option<Bytes> {
        self.services.store().stored(object, Space::Log, key)
    }
}

/// Clients.
impl World {
    /// Sends a client's request to a node.
    pub fn ask(self: &Rc<Self>, node: usize, request: Request) -> ClientKey {
        let client = self.services.connections().add_client();
        self.note(|| format!("client {client} asks node {node} for {}", request.uri()));
        let delay = self.services.core().delay();
        self.later(delay, move |world| {
            let (asking, core) = (Rc::clone(world), world.services.core());
            core.when_running(node, move || asking.answer(node, client, request));
        });
        client
    }

    fn answer(self: &Rc<Self>, node: usize, client: ClientKey, request: Request) {
        let core = self.services.core();
        let serves = core.nodes().serves(node);
        let front = self.fronts.borrow().get(node).cloned().filter(|_| serves);
        let Some(NodeFront { life, answer, .. }) = front else {
            let refusal = dog::text_response(StatusCode::SERVICE_UNAVAILABLE, "the node is down");
            return self.services.connections().answered(client, refusal);
        };
        let services = Rc::clone(&self.services);
        let task = async move {
            let response = answer(request).await;
            let delay = services.core().delay();
            let connections = Rc::clone(services.connections());
            services.core().clock().later(delay, move || connections.answered(client, response));
        };
        core.tasks().spawn(life.id(), node, Box::pin(task));
    }

    /// Returns what the App on a node has to reach its Groups.
    pub fn port(&self, node: usize) -> Option<Rc<dyn AppPort>> {
        self.fronts.borrow().get(node).map(|front| Rc::clone(&front.port))
    }

    /// Drops the requests that the App on a node is answering.
    pub(super) fn lose_requests(&self, node: usize) {
        let owner = self.fronts.borrow().get(node).map(|front| front.life.id());
        owner.into_iter().for_each(|owner| self.services.core().tasks().end(owner));
    }

    /// Runs a task of a client: it belongs to no node.
    pub fn spawn_client(&self, task: LocalFuture<()>) {
        self.services.core().tasks().spawn(OwnerId::MAX, usize::MAX, task);
    }

    /// Returns the state of a client's connection.
    pub fn client_state(&self, client: ClientKey) -> ClientState {
        self.services.connections().with_client(client, |end| end.state().clone())
    }

    /// Returns the socket of a client, once the client is answered.
    pub fn client_socket(&self, client: ClientKey) -> Option<(ReplicaAddress, SocketId)> {
        self.services.connections().with_client(client, |end| end.socket())
    }

    /// Returns the client id that the App has used for it.
    pub fn identified(&self, client: ClientKey) -> Option<ClientId> {
        self.services.connections().with_client(client, |end| end.identified().cloned())
    }

    /// Takes the response to a client's request.
    pub fn take_response(&self, client: ClientKey) -> Option<Response> {
        self.services.connections().with_client(client, Client::take_response)
    }

    /// Reads or takes the messages that a client has received.
    pub fn received<T>(&self, client: ClientKey, look: impl FnOnce(&mut Vec<Message>) -> T) -> T {
        self.services.connections().with_client(client, |end| look(end.received()))
    }

    /// Whether a client reads, and whether it has always done so.
    pub fn reads(&self, client: ClientKey) -> (bool, bool) {
        self.services.connections().with_client(client, |end| (end.reads(), !end.has_stalled()))
    }

    /// Lets a client stop or start reading.
    pub fn set_reads(&self, client: ClientKey, reads: bool) {
        self.services.connections().set_reads(client, reads);
    }

    /// Sends a message from a client.
    pub fn client_sends(&self, client: ClientKey, message: Message) {
        self.services.connections().client_sends(client, message);
    }

    /// Closes a client's socket.
    pub fn client_closes(&self, client: ClientKey, close: Close) {
        self.services.connections().client_closes(client, close);
    }

    /// Disconnects a client without a close. The host notices after `delay`.
    pub fn client_vanishes(&self, client: ClientKey, delay: Micros) {
        self.services.connections().client_vanishes(client, delay);
    }

    /// Lets a client stop waiting for its answer.
    pub fn give_up(&self, client: ClientKey) {
        self.services.connections().give_up(client);
    }

    /// Returns the sockets that are open on their host's side.
    pub fn open_sockets(&self) -> Vec<OpenSocket> {
        self.services.connections().open()
    }
}

fn front<A: App>(services: &Rc<Services>, app: &Arc<A>, node: usize) -> NodeFront {
    let life = Life::new(services.lives().new_owner(), Party::App(node), node, Epoch::default());
    let host = LifeHost::new(services, &life);
    let port = app_port(Rc::clone(&host));
    let front = Rc::new(Front::new(Arc::clone(app), host));
    let answer: Answering = Rc::new(move |request| {
        let front = Rc::clone(&front);
        Box::pin(async move { front.fetch(request).await })
    });
    NodeFront { life, port, answer }
}

fn begin_life(
    services: &Rc<Services>,
    classes: &[Class<LifeHost>],
    object: Object,
    node: usize,
    epoch: Epoch,
) -> RunningLife {
    services.store().claim(object, epoch);
    let life = Life::new(services.lives().new_owner(), Party::Object(object), node, epoch);
    services.core().note(|| format!("{life:?} begins life {} on node {node}", epoch.as_u64()));
    services.core().observe(|observer| observer.begins(&life));
    let class = &classes[usize::from(object.group().class.0)];
    let host = LifeHost::new(services, &life);
    let driver = match object {
        Object::Group(address) => Driver::Group((class.group)(host, address, epoch)),
        Object::Replica(address) => Driver::Replica((class.replica)(host, address, epoch)),
    };
    if services.is_stopping() {
        driver.stop();
    }
    RunningLife { life, driver }
}
