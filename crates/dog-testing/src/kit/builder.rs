//! How a cluster is made.

use std::time::Duration;

use dog::{App, Env};

use super::cluster::Cluster;
use crate::world::{Disk, Making, Micros, Weather, World};

/// Steps at one moment of the clock that are taken for a loop without end.
const MAX_STEPS: u64 = 5_000_000;

/// How a [`Cluster`] is made: with an [`Env`], and where a test needs it with rest, delays or other limits.
///
/// ```
/// # use dog::*;
/// # struct Lobby;
/// # impl Group for Lobby {
/// #     type Replica = Room;
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
/// // Objects leave memory after every event: what a Replica keeps in its fields alone is lost.
/// let cluster = Cluster::builder(Chat).env(Env::new().with("a pool, say")).hibernate_after(Duration::ZERO).start();
/// let ann = cluster.connect("/ws?u=ann");
/// assert!(!cluster.is_awake(ann.replica()) && ann.is_open());
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until `start`"]
pub struct Builder<A> {
    app: A,
    env: Env,
    making: Making,
    max_steps: u64,
    counts: bool,
}

impl<A: App> Builder<A> {
    pub(super) fn new(app: A) -> Self {
        let making = Making {
            seed: 0,
            nodes: 1,
            weather: Weather::STILL,
            disk: Disk::default(),
            outbox: 1024 * 1024,
            hibernate_after: None,
            keeps_watch: true,
            bug: None,
        };
        Self { app, env: Env::new(), making, max_steps: MAX_STEPS, counts: false }
    }

    /// What the objects and the App find in [`dog::Context::env`].
    pub fn env(mut self, env: Env) -> Self {
        self.env = env;
        self
    }

    /// From this seed follow the ids of new Replicas and whatever else chance decides, such as
    /// [delays](Self::network_delay). Default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.making.seed = seed;
        self
    }

    /// How long an object may be idle before it leaves memory, as a host's `--hibernate-after`: zero for after every event.
    /// Default: never, except by [`Cluster::evict_replica`].
    pub fn hibernate_after(mut self, idle: Duration) -> Self {
        self.making.hibernate_after = Some(idle);
        self
    }

    /// How many bytes may wait for a client that does not read before its socket ends with 1013. Default 1 MiB.
    pub fn max_outbox(mut self, bytes: usize) -> Self {
        self.making.outbox = bytes;
        self
    }

    /// How long everything is on its way, at least and at most: between objects, and to and from clients. Default: no
    /// time.
    ///
    /// How long each single thing takes, and which of the handlers that can go on does so first, follows from the
    /// [seed](Self::seed). So a loop over seeds shows a test many orders of events. After each action let time pass
    /// with [`Cluster::advance`]: [`Cluster::run`] alone brings nothing to its end.
    pub fn network_delay(mut self, least: Duration, most: Duration) -> Self {
        self.making.weather.delay = (micros(least), micros(most.max(least)));
        self
    }

    /// How long a write to disk takes at most. Default: no time.
    ///
    /// A crash meanwhile may keep what was not acknowledged yet, or lose it, as the [seed](Self::seed) has it; never
    /// half of a transaction.
    pub fn write_delay(mut self, most: Duration) -> Self {
        self.making.disk.delay = micros(most);
        self
    }

    /// How many steps may happen without the clock moving, before the cluster panics and says who runs in a circle.
    /// Default 5 million.
    pub fn max_steps(mut self, steps: u64) -> Self {
        self.max_steps = steps;
        self
    }

    /// Counts what objects say to each other, for [`Cluster::take_traffic`].
    pub fn count_traffic(mut self) -> Self {
        self.counts = true;
        self
    }

    /// Begins.
    #[must_use]
    pub fn start(self) -> Cluster {
        let world = World::new(self.app, self.env, self.making);
        if self.counts {
            world.count_traffic();
        }
        Cluster { world, max_steps: self.max_steps }
    }
}

fn micros(duration: Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX / 4)
}
