//! The cluster under test.

use std::fmt;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use dog::{App, Body, Env, Group, GroupId, ReplicaId, Request, Response, Timestamp};
use dog_engine::address::{GroupAddress, Object};
use http::{HeaderValue, header};

use super::client::ClientSocket;
use crate::world::{Disk, Making, Weather, World};

/// How long, on the virtual clock, an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// An App with all its objects, in one thread, on a clock that stands still until it is moved.
///
/// Everything is deterministic: the same test, the same order of everything. Nothing sleeps, so a minute costs no time.
/// Objects are real, run by the same engine as on every host: limits, placement, joining, reports, deadlines.
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
/// #     async fn on_message(&self, _: &dog::Context<Self>, socket: &Socket, message: Message) -> Result {
/// #         Ok(socket.broadcast(message, To::Everyone)?)
/// #     }
/// # }
/// # struct Chat;
/// # impl App for Chat {
/// #     type Groups = (Lobby,);
/// #     async fn fetch(&self, request: Request, dog: &Dog) -> Result<Response> {
/// #         let client = ClientId::new(dog::query(&request, "u").unwrap_or_default())?;
/// #         let replica = dog.group::<Lobby>("main").identify(&client).await?;
/// #         Ok(replica.fetch(request).await?)
/// #     }
/// # }
/// use dog_sim::Cluster;
///
/// let cluster = Cluster::new(Chat);
/// let ann = cluster.connect("/ws?u=ann");
/// let bob = cluster.connect("/ws?u=bob");
/// let cid = cluster.connect("/ws?u=cid");
/// assert_ne!(ann.replica(), cid.replica(), "two seats a Replica");
///
/// ann.send("hello");
/// cluster.run();
/// assert_eq!(bob.received_texts(), ["hello"]);
/// assert_eq!(cid.received_texts(), ["hello"]);
///
/// cluster.restart_group::<Lobby>("main");
/// cid.send("still one cluster");
/// cluster.run();
/// assert_eq!(bob.received_texts(), ["still one cluster"]);
///
/// cluster.crash_replica(ann.replica());
/// cluster.run();
/// assert!(!ann.is_open() && !bob.is_open() && cid.is_open());
/// ```
pub struct Cluster {
    world: Rc<World>,
}

/// How a [`Cluster`] is made.
#[derive(Debug)]
#[must_use = "a builder does nothing until `start`"]
pub struct Builder<A> {
    app: A,
    env: Env,
    making: Making,
}

impl<A: App> Builder<A> {
    /// What the objects find in [`dog::Context::env`].
    pub fn env(mut self, env: Env) -> Self {
        self.env = env;
        self
    }

    /// From this seed follow the ids of new Replicas, and whatever else chance decides. Default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.making.seed = seed;
        self
    }

    /// How many bytes may wait for a client that does not read. Default 1 MiB.
    pub fn max_outbox(mut self, bytes: usize) -> Self {
        self.making.outbox = bytes;
        self
    }

    /// Begins.
    #[must_use]
    pub fn start(self) -> Cluster {
        Cluster { world: World::new(self.app, self.env, self.making) }
    }
}

/// A request that opens a WebSocket at `path`, to which headers can be added: see [`Cluster::open`].
///
/// # Panics
/// When `path` is no path of an address.
#[track_caller]
pub fn websocket(path: &str) -> Request {
    let mut request = get(path);
    for (name, value) in [
        (header::CONNECTION, "Upgrade"),
        (header::UPGRADE, "websocket"),
        (header::SEC_WEBSOCKET_VERSION, "13"),
        (header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
    ] {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    request
}

#[track_caller]
fn get(path: &str) -> Request {
    match http::Request::get(path).body(Body::empty()) {
        Ok(request) => request,
        Err(error) => panic!("{path:?} is no path: {error}"),
    }
}

impl Cluster {
    /// A cluster of `app`, with an empty [`Env`].
    pub fn new<A: App>(app: A) -> Self {
        Self::builder(app).start()
    }

    /// The same, with a choice.
    pub fn builder<A: App>(app: A) -> Builder<A> {
        let making = Making {
            seed: 0,
            nodes: 1,
            weather: Weather::STILL,
            disk: Disk::default(),
            outbox: 1024 * 1024,
            rest_after: None,
            bug: None,
        };
        Builder { app, env: Env::new(), making }
    }

    /// Opens a WebSocket, and runs until it is open.
    ///
    /// # Panics
    /// When the App refuses: to test that, there is [`open`](Self::open).
    #[track_caller]
    pub fn connect(&self, path: &str) -> ClientSocket {
        match self.open(websocket(path)) {
            Ok(socket) => socket,
            Err(response) => panic!("{path} was answered with {}, and no socket was opened", response.status()),
        }
    }

    /// The same with a request of one's own making; see [`websocket`].
    ///
    /// # Errors
    /// The response, when it opens no socket.
    ///
    /// # Panics
    /// When there is no answer within two minutes of the virtual clock.
    #[track_caller]
    pub fn open(&self, request: Request) -> Result<ClientSocket, Box<Response>> {
        let (socket, response) = self.ask(request);
        self.run();
        match socket {
            Some(socket) => Ok(socket),
            None => Err(Box::new(response)),
        }
    }

    /// The response to a request. The clock goes on while the App waits for something.
    ///
    /// # Panics
    /// When there is no answer within two minutes of the virtual clock.
    #[track_caller]
    pub fn fetch(&self, request: Request) -> Response {
        self.ask(request).1
    }

    /// The response to a GET.
    ///
    /// # Panics
    /// When `path` is no path of an address, or there is no answer within two minutes of the virtual clock.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.fetch(get(path))
    }

    #[track_caller]
    fn ask(&self, request: Request) -> (Option<ClientSocket>, Response) {
        let path = request.uri().to_string();
        let key = self.world.ask(0, request);
        let answer = self.wait(|| self.world.sockets.borrow_mut().client_mut(key).response.take());
        let Some(response) = answer else { panic!("{path} was not answered within {} s", PATIENCE.as_secs()) };
        let socket = self.world.sockets.borrow().client(key).socket;
        (socket.map(|_| ClientSocket::new(Rc::clone(&self.world), key)), response)
    }

    /// Runs until there is something.
    fn wait<T>(&self, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let until = self.world.after(PATIENCE);
        loop {
            if let Some(found) = look() {
                return Some(found);
            }
            if !self.world.step(until) {
                return None;
            }
        }
    }

    /// The body of a response, read whole.
    ///
    /// # Panics
    /// When it breaks off, or does not end within two minutes of the virtual clock.
    #[track_caller]
    pub fn read(&self, response: Response) -> Bytes {
        let mut reading = pin!(response.into_body().bytes(usize::MAX));
        let read = self.wait(|| match reading.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(read) => Some(read),
            Poll::Pending => None,
        });
        match read {
            Some(Ok(bytes)) => bytes,
            Some(Err(error)) => panic!("the body could not be read: {error}"),
            None => panic!("the body did not end within {} s", PATIENCE.as_secs()),
        }
    }

    /// Does all that can be done while the clock stands still.
    pub fn run(&self) {
        self.world.run_for(Duration::ZERO);
    }

    /// Moves the clock on, and does all that happens meanwhile, each thing at its time.
    pub fn advance(&self, duration: Duration) {
        self.world.run_for(duration);
    }

    /// The virtual clock.
    pub fn now(&self) -> Timestamp {
        self.world.agenda.now()
    }

    /// The Replicas of that Group that are in memory, in the order of their ids.
    pub fn replicas<G: Group>(&self, name: &str) -> Vec<ReplicaId> {
        let Some(group) = self.address::<G>(name) else { return Vec::new() };
        let replicas = self.world.lives().into_iter().filter_map(|(object, _)| match object {
            Object::Replica(address) if address.group == group => Some(address.replica),
            _ => None,
        });
        replicas.collect()
    }

    /// The Group's life in memory is lost, as when its process dies; the next that asks it something wakes another.
    /// `false` when it was not in memory.
    pub fn restart_group<G: Group>(&self, name: &str) -> bool {
        self.address::<G>(name).is_some_and(|group| self.world.crash(Object::Group(group)))
    }

    /// A Replica's life is lost, as when its process dies: its sockets break, and nobody is told. `false` when it was
    /// not in memory.
    pub fn crash_replica(&self, replica: ReplicaId) -> bool {
        self.replica_object(replica).is_some_and(|object| self.world.crash(object))
    }

    /// What a Replica has put under `key` and is on disk.
    ///
    /// # Panics
    /// When it is no `T`.
    #[track_caller]
    pub fn stored_by_replica<T: serde::de::DeserializeOwned>(&self, replica: ReplicaId, key: &str) -> Option<T> {
        self.stored(self.replica_object(replica)?, key)
    }

    /// What a Group has put under `key` and is on disk.
    ///
    /// # Panics
    /// When it is no `T`.
    #[track_caller]
    pub fn stored_by_group<G: Group, T: serde::de::DeserializeOwned>(&self, name: &str, key: &str) -> Option<T> {
        self.stored(Object::Group(self.address::<G>(name)?), key)
    }

    #[track_caller]
    fn stored<T: serde::de::DeserializeOwned>(&self, object: Object, key: &str) -> Option<T> {
        let bytes = self.world.stored(object, key)?;
        match dog::wire::typed::decode(&bytes) {
            Ok(value) => Some(value),
            Err(error) => panic!("what is stored under {key:?} is of another type: {error}"),
        }
    }

    /// When a Replica's alarm is set for.
    pub fn alarm_of_replica(&self, replica: ReplicaId) -> Option<Timestamp> {
        self.world.alarm_of(self.replica_object(replica)?)
    }

    /// When a Group's alarm is set for.
    pub fn alarm_of_group<G: Group>(&self, name: &str) -> Option<Timestamp> {
        self.world.alarm_of(Object::Group(self.address::<G>(name)?))
    }

    fn address<G: Group>(&self, name: &str) -> Option<GroupAddress> {
        let class = self.world.class(G::NAME)?;
        Some(GroupAddress { class, group: GroupId::from_name(G::NAME, name) })
    }

    fn replica_object(&self, replica: ReplicaId) -> Option<Object> {
        let is_it = |object: &Object| matches!(object, Object::Replica(address) if address.replica == replica);
        self.world.known_objects().into_iter().find(is_it)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.world.end();
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Cluster({} lives, {:?})", self.world.lives().len(), self.now())
    }
}
