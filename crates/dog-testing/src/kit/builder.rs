//! The settings of a cluster.

use std::time::Duration;

use dog::{App, Env};

use crate::world::{World, WorldConfig};

/// The default of [`Builder::max_steps`].
const MAX_STEPS: u64 = 5_000_000;

/// The settings of a [`Cluster`](crate::Cluster), from [`Cluster::builder`](crate::Cluster::builder).
///
/// ```
/// # use dog::*;
/// # struct Lobby;
/// # impl Group for Lobby {
/// #     type Replica = Room;
/// #     type Call = ();
/// #     type Reply = ();
/// #     const NAME: &'static str = "lobby";
/// #     async fn activate(_: &GroupContext) -> Result<Self> { Ok(Lobby) }
/// #     fn limit(&self) -> Limit { Limit::new(2) }
/// # }
/// # struct Room;
/// # impl Replica for Room {
/// #     type Group = Lobby;
/// #     type Gossip = ();
/// #     type Answer = ();
/// #     async fn activate(_: &dog::Context<Self>) -> Result<Self> { Ok(Room) }
/// #     async fn receive(&self, cx: &dog::Context<Self>, request: Request) -> Result<Response> {
/// #         Ok(cx.connect(request))
/// #     }
/// # }
/// # struct Chat;
/// # impl App for Chat {
/// #     type Groups = (Lobby,);
/// #     async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
/// #         let client = ClientId::new(dog::query_param(&request, "u").unwrap_or_default())?;
/// #         Ok(dog.group::<Lobby>("main").identify(&client).await?.fetch(request).await?)
/// #     }
/// # }
/// use std::time::Duration;
/// use dog_testing::Cluster;
///
/// // Objects hibernate after every event: a Replica loses everything that it keeps only in its fields.
/// let cluster = Cluster::builder(Chat).env(Env::new().with("settings")).hibernate_after(Duration::ZERO).start();
/// let ann = cluster.connect("/ws?u=ann");
/// assert!(!cluster.is_awake(ann.replica()) && ann.is_open());
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until `start`"]
pub struct Builder<A> {
    app: A,
    env: Env,
    config: WorldConfig,
    max_steps: u64,
    counts_traffic: bool,
}

impl<A: App> Builder<A> {
    pub(super) fn new(app: A) -> Self {
        Self { app, env: Env::new(), config: WorldConfig::default(), max_steps: MAX_STEPS, counts_traffic: false }
    }

    /// Sets the [`Env`] of the App and the objects: see [`dog::Context::env`]. Default: empty.
    pub fn env(mut self, env: Env) -> Self {
        self.env = env;
        self
    }

    /// Sets the number of nodes. Each object lives on one of them. When a node crashes, its objects begin new lives on
    /// the others: see [`Cluster::crash_node`](crate::Cluster::crash_node). Default: 1.
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.config.nodes = nodes.max(1);
        self
    }

    /// Sets the seed of all random choices: the ids of new Replicas, and [delays](Self::network_delay). Default: 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.seed = seed;
        self
    }

    /// Sets how long an object may be idle before it hibernates, like `--hibernate-after` of a server. Zero: it
    /// hibernates after every event. Default: it never hibernates, except by
    /// [`Cluster::evict_replica`](crate::Cluster::evict_replica).
    pub fn hibernate_after(mut self, idle: Duration) -> Self {
        self.config.hibernate_after = Some(idle);
        self
    }

    /// Sets how many bytes may wait for a client that does not read. If more wait, its socket ends with 1013. Default:
    /// 1 MiB.
    pub fn max_outbox(mut self, bytes: usize) -> Self {
        self.config.outbox = bytes;
        self
    }

    /// Sets the shortest and the longest delay of messages between objects, and to and from clients. Default: 0.
    ///
    /// The [seed](Self::seed) determines the delay of each message, and which of the ready handlers runs first. So a
    /// loop over seeds tests many orders of events. After each action, move the clock with
    /// [`Cluster::advance`](crate::Cluster::advance): [`Cluster::run`](crate::Cluster::run) does not wait for delays.
    pub fn network_delay(mut self, least: Duration, most: Duration) -> Self {
        self.config.weather.delay = (World::span(least), World::span(most.max(least)));
        self
    }

    /// Sets the longest time of a write to disk. Default: 0.
    ///
    /// When an object crashes before a write is acknowledged, the [seed](Self::seed) decides whether the write is
    /// stored. A transaction is always stored whole or not at all.
    pub fn write_delay(mut self, most: Duration) -> Self {
        self.config.disk.delay = World::span(most);
        self
    }

    /// Sets how many steps may happen while the clock does not move. After that many, the cluster panics and names the
    /// object that ran last. Default: 5 million.
    pub fn max_steps(mut self, steps: u64) -> Self {
        self.max_steps = steps;
        self
    }

    /// Counts the messages between objects, for [`Cluster::take_traffic`](crate::Cluster::take_traffic).
    pub fn count_traffic(mut self) -> Self {
        self.counts_traffic = true;
        self
    }

    /// Creates the world with these settings. Also returns the limit of steps.
    pub(super) fn build(self) -> (std::rc::Rc<World>, u64) {
        let world = World::new(self.app, self.env, self.config);
        if self.counts_traffic {
            world.count_traffic();
        }
        (world, self.max_steps)
    }
}
