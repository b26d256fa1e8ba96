//! A run in progress: its world, its clients, and the steps that it makes.

use std::rc::Rc;
use std::time::Duration;

use dog::{Body, Env, Group, GroupId, Message, ReplicaId, Request};
use dog_engine::books::MemberSeats;
use dog_testing::websocket;
use dog_testing::world::{ClientKey, ClientState, Micros, Observer, World};

use crate::app::Market;
use crate::event_streams::StreamClients;
use crate::objects::Hall;
use crate::plan::Plan;
use crate::reports::{Reports, books};
use crate::watch::Watch;
use crate::witness::Witness;

/// The interval of the checks for overdue messages. They depend only on time, so they need not run after each step.
const CHECK_EVERY: Micros = 500_000;

/// How long a new client waits for its socket. This is longer than a join takes.
pub(crate) const PLACED: Micros = 5_000_000;

/// A run in progress.
pub(crate) struct Run {
    plan: Plan,
    world: Rc<World>,
    witness: Witness,
    watch: Rc<Watch>,
    streams: Rc<StreamClients>,
    reports: Reports,
    clients: Vec<ClientKey>,
    newcomers: u64,
    commands: u64,
    pages: u64,
    steps: u64,
}

impl Run {
    pub(crate) fn new(plan: Plan, trace: bool) -> Self {
        let witness = Witness::new(plan.config.seed, plan.rules.limit, plan.activations_fail);
        witness.record().presence().begin(plan.rules.policy.presence);
        witness.record().set_relays_are_sure(plan.config.disk.fails == 0 && plan.outages == 0);
        let env = Env::new().with(witness.clone()).with(plan.rules);
        let world = World::new(Market::new(witness.clone()), env, plan.config);
        if trace {
            world.start_trace();
            world.note(|| format!("{plan:?}"));
        }
        let streams = Rc::<StreamClients>::default();
        let watch = Rc::new(Watch::new(witness.clone(), &world, &streams));
        world.set_observer(Rc::clone(&watch) as Rc<dyn Observer>);
        let (reports, clients) = (Reports::default(), Vec::new());
        Self { plan, world, witness, watch, streams, reports, clients, newcomers: 0, commands: 0, pages: 0, steps: 0 }
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn world(&self) -> &Rc<World> {
        &self.world
    }

    pub(crate) fn witness(&self) -> &Witness {
        &self.witness
    }

    pub(crate) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Returns all connections that clients have begun.
    pub(crate) fn clients(&self) -> &[ClientKey] {
        &self.clients
    }

    /// Returns the number of steps of the executor and the clock.
    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    /// Whether no promise has been broken so far.
    pub(crate) fn is_well(&self) -> bool {
        self.witness.record().violations.is_empty()
    }

    /// Lets time pass and checks after each step. Returns `false` if a promise was broken.
    pub(crate) fn pass(&mut self, micros: Micros) -> bool {
        let until = self.world.after(Duration::from_micros(micros));
        self.watch.check_owed();
        let mut checked = self.world.micros();
        while self.world.step(until) {
            self.steps += 1;
            for (socket, message) in self.streams.receive(&self.world) {
                self.watch.hears(socket, &message);
            }
            if self.world.micros() > checked + CHECK_EVERY {
                checked = self.world.micros();
                self.watch.check_owed();
                self.check_unassigned();
            }
            self.reports.check(&self.world, &self.witness);
            let mut record = self.witness.record();
            if !record.violations.is_empty() {
                return false;
            }
            record.now = self.world.now();
            record.faults(&self.world);
        }
        self.world.advance_to(until);
        self.is_well()
    }

    /// Promise 12. Nodes that stand still close sockets too late.
    fn check_unassigned(&self) {
        if self.plan.outages == 0 {
            self.witness.record().check_unassigned(self.world.now());
        }
    }

    /// Opens a client's WebSocket at this path, on that node.
    pub(crate) fn connect(&mut self, node: usize, path: &str) -> ClientKey {
        let client = self.world.ask(node, websocket(path));
        self.clients.push(client);
        client
    }

    /// Opens a client's event stream at this path, on that node.
    pub(crate) fn open_stream(&mut self, node: usize, group: &str, path: &str) -> ClientKey {
        let client = self.request(node, path);
        self.streams.asks(client, group);
        client
    }

    /// Returns the clients of event streams.
    pub(crate) fn streams(&self) -> &StreamClients {
        &self.streams
    }

    /// Sends a client's request for this path to that node.
    pub(crate) fn request(&mut self, node: usize, path: &str) -> ClientKey {
        let mut request = Request::new(Body::empty());
        match path.parse() {
            Ok(uri) => *request.uri_mut() = uri,
            Err(error) => unreachable!("{path} is a path: {error}"),
        }
        let client = self.world.ask(node, request);
        self.clients.push(client);
        client
    }

    /// Returns the name of a new client.
    pub(crate) fn newcomer(&mut self) -> String {
        self.newcomers += 1;
        format!("new{}", self.newcomers)
    }

    /// A client opens a WebSocket. Returns its Replica, or `None` in its place if it gets none. `None` if a promise was broken.
    pub(crate) fn place(&mut self, group: &str, name: &str) -> Option<(ClientKey, Option<ReplicaId>)> {
        let client = self.connect(0, &format!("/ws?u={name}&g={group}"));
        self.pass(PLACED).then(|| (client, self.replica_of(client)))
    }

    /// Returns the Replica where a client has its socket.
    pub(crate) fn replica_of(&self, client: ClientKey) -> Option<ReplicaId> {
        self.world.client_socket(client).map(|(at, _)| at.replica)
    }

    /// Returns the books of a Group, if it is awake.
    pub(crate) fn books(&self, group: &str) -> Option<Vec<MemberSeats>> {
        books(&self.world, GroupId::from_name(Hall::NAME, group))
    }

    /// Returns one of the nodes that answer clients.
    pub(crate) fn any_node(&self) -> usize {
        let serving = self.world.serving_nodes();
        if serving.is_empty() { 0 } else { serving[self.world.random().below(serving.len())] }
    }

    /// Returns the clients that have a socket, as far as they know. Those of event streams come last.
    pub(crate) fn open_clients(&self) -> Vec<ClientKey> {
        let is_open = |client: &ClientKey| self.world.client_state(*client) == ClientState::Open;
        let open = self.clients.iter().copied().filter(is_open);
        open.chain(self.streams.open()).collect()
    }

    /// Returns a number for an answer of a Group that says who is there.
    pub(crate) fn next_page(&mut self) -> u64 {
        self.pages += 1;
        self.pages
    }

    /// Returns the number of the next command.
    pub(crate) fn next_command(&self) -> u64 {
        self.commands + 1
    }

    /// Sends a command from a client to the App.
    pub(crate) fn command(&mut self, client: ClientKey, verb: &str, about: &str) {
        self.commands += 1;
        if self.streams.has(client) {
            // It comes to any node.
            let path = self.streams.path(client, (self.commands, verb, about));
            if let Some(path) = path {
                self.request(self.any_node(), &path);
            }
            return;
        }
        self.world.client_sends(client, Message::text(format!("{} {verb} {about}", self.commands)));
    }
}
