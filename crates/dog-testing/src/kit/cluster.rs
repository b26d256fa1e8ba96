//! The cluster under test: requests from outside, their answers, and the clock.

use std::fmt;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use dog::{AnyApp, App, Body, Dog, Group, GroupHandle, Request, Response, Timestamp};
use http::{HeaderValue, header};

use super::builder::Builder;
use super::client::{ClientSocket, PendingRequest};
use super::events::EventClient;
use super::steps::Steps;
use crate::world::{Micros, World};

/// How long the kit waits for an answer, on the virtual clock.
const PATIENCE: Duration = Duration::from_secs(120);

/// An App with its Groups and Replicas, in one thread, on a clock that moves only when the test moves it.
///
/// A test gives the same order of events each time. Nothing sleeps, so a virtual minute costs no time. The objects run
/// on the same engine as on every host: limits, placement, joins, reports and deadlines are those of production. The
/// kit has no network front, so size limits, handshake timeouts and TLS cannot be tested with it.
///
/// A handler may await any future of this library. A timer or a socket of a runtime such as Tokio never becomes ready,
/// because there is no runtime. Put code that uses other services behind a trait in the [`Env`](dog::Env).
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
/// #     async fn on_message(&self, _: &dog::Context<Self>, socket: &Socket, message: Message) -> Result {
/// #         Ok(socket.broadcast(message, To::Everyone)?)
/// #     }
/// # }
/// # struct Chat;
/// # impl App for Chat {
/// #     type Groups = (Lobby,);
/// #     async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
/// #         let client = ClientId::new(dog::query_param(&request, "u").unwrap_or_default())?;
/// #         let replica = dog.group::<Lobby>("main").identify(&client).await?;
/// #         Ok(replica.fetch(request).await?)
/// #     }
/// # }
/// use dog_testing::Cluster;
///
/// let cluster = Cluster::new(Chat);
/// let ann = cluster.connect("/ws?u=ann");
/// let bob = cluster.connect("/ws?u=bob");
/// let cid = cluster.connect("/ws?u=cid");
/// assert_ne!(ann.replica(), cid.replica(), "two seats per Replica");
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
    max_steps: u64,
}

/// Returns a request that opens a WebSocket at `path`, for [`Cluster::open`]. The test can add headers to it.
///
/// ```
/// let mut request = dog_testing::websocket("/ws");
/// request.headers_mut().insert("cookie", "session=ann".parse()?);
/// # Ok::<(), dog::http::header::InvalidHeaderValue>(())
/// ```
///
/// # Panics
/// If `path` is not a valid path.
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
        Err(error) => panic!("{path:?} is not a valid path: {error}"),
    }
}

impl<A: App> Builder<A> {
    /// Starts the cluster.
    #[must_use]
    pub fn start(self) -> Cluster {
        let (world, max_steps) = self.build();
        Cluster { world, max_steps }
    }
}

impl Cluster {
    /// Starts a cluster of one node with default settings and an empty [`Env`](dog::Env).
    pub fn new<A: App>(app: A) -> Self {
        Self::builder(app).start()
    }

    /// Returns the settings of a cluster that is not started yet.
    pub fn builder<A: App>(app: A) -> Builder<A> {
        Builder::new(app)
    }

    pub(super) fn world(&self) -> &Rc<World> {
        &self.world
    }

    /// Opens a WebSocket with a GET request for `path`, and runs until it is open.
    ///
    /// # Panics
    /// If the App refuses, or does not answer within two minutes of the virtual clock. To test a refusal, use
    /// [`open`](Self::open).
    #[track_caller]
    pub fn connect(&self, path: &str) -> ClientSocket {
        match self.open(websocket(path)) {
            Ok(socket) => socket,
            Err(response) => {
                let (status, body) = (response.status(), self.read_text(*response));
                panic!("{path} was answered with {status} {body:?} instead of a WebSocket{}", self.failures_so_far())
            }
        }
    }

    /// Opens a WebSocket with the given request; see [`websocket`]. Runs until it is open.
    ///
    /// # Errors
    /// The response, if it opens no WebSocket.
    ///
    /// # Panics
    /// If there is no answer within two minutes of the virtual clock.
    #[track_caller]
    pub fn open(&self, request: Request) -> Result<ClientSocket, Box<Response>> {
        let answer = self.answer(&self.begin(request));
        self.run();
        answer
    }

    /// Opens an event stream with a GET request for `path`, and runs until `on_open` has been called.
    ///
    /// # Panics
    /// If the response is not a stream of events or lines, or does not come within two minutes of the virtual clock. To test a
    /// refusal, use [`get`](Self::get).
    #[track_caller]
    pub fn open_events(&self, path: &str) -> EventClient {
        match EventClient::read(self.world(), self.get(path)) {
            Ok(events) => {
                self.run();
                events
            }
            Err(response) => {
                let (status, body) = (response.status(), self.read_text(*response));
                panic!(
                    "{path} was answered with {status} {body:?} instead of an event stream{}",
                    self.failures_so_far()
                )
            }
        }
    }

    /// Sends a request and returns the response. The clock moves while the App waits for something.
    ///
    /// # Panics
    /// If there is no answer within two minutes of the virtual clock, or if the answer opens a WebSocket: use
    /// [`open`](Self::open) for that.
    #[track_caller]
    pub fn fetch(&self, request: Request) -> Response {
        let path = request.uri().to_string();
        match self.answer(&self.begin(request)) {
            Ok(_) => panic!("{path} was answered with a WebSocket: use `open` or `connect`"),
            Err(response) => *response,
        }
    }

    /// Sends a GET request and returns the response.
    ///
    /// # Panics
    /// If `path` is not a valid path, and as [`fetch`](Self::fetch).
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.fetch(get(path))
    }

    /// Sends a request without waiting for its answer. The next [`run`](Self::run) delivers it. Requests go to the
    /// first node that has not crashed.
    pub fn begin(&self, request: Request) -> PendingRequest {
        let path = request.uri().to_string();
        let node = self.world.serving_nodes().first().copied().unwrap_or_default();
        PendingRequest::new(Rc::clone(&self.world), self.world.ask(node, request), path)
    }

    #[track_caller]
    fn answer(&self, pending: &PendingRequest) -> Result<ClientSocket, Box<Response>> {
        match self.wait(|| pending.answer()) {
            Some(answer) => answer,
            None => panic!(
                "{} was not answered within {} s of the virtual clock: does a handler wait for something that needs a \
                 runtime or another thread?{}",
                pending.path(),
                PATIENCE.as_secs(),
                self.failures_so_far(),
            ),
        }
    }

    /// Returns a handle to a Group, as the App has: for calls, and for all that can be done without a client. Use it with
    /// [`wait_for`](Self::wait_for). It acts as the App on the first node that has not crashed.
    ///
    /// # Panics
    /// If every node has crashed.
    #[track_caller]
    pub fn group<G: Group>(&self, name: &str) -> GroupHandle<G> {
        let node = self.world.serving_nodes().first().copied();
        match node.and_then(|node| self.world.port(node)) {
            Some(port) => Dog::<AnyApp>::new(port).group(name),
            None => panic!("every node has crashed"),
        }
    }

    /// Calls a Group, as [`GroupHandle::call`](dog::GroupHandle::call) does in the App. The clock moves while the Group waits
    /// for something.
    ///
    /// ```
    /// # use dog::*;
    /// # struct Room;
    /// # impl Replica for Room {
    /// #     type Group = Score;
    /// #     type Gossip = ();
    /// #     type Answer = ();
    /// #     async fn activate(_: &dog::Context<Self>) -> Result<Self> { Ok(Room) }
    /// #     async fn receive(&self, cx: &dog::Context<Self>, request: Request) -> Result<Response> {
    /// #         Ok(cx.connect(request))
    /// #     }
    /// # }
    /// struct Score(std::cell::Cell<u64>);
    /// impl Group for Score {
    ///     type Replica = Room;
    ///     type Call = u64;
    ///     type Reply = u64;
    ///     async fn on_call(&self, _: &GroupContext, points: u64) -> Result<u64> {
    ///         self.0.update(|sum| sum + points);
    ///         Ok(self.0.get())
    ///     }
    /// #   const NAME: &'static str = "score";
    /// #   async fn activate(_: &GroupContext) -> Result<Self> { Ok(Score(Default::default())) }
    /// #   fn limit(&self) -> Limit { Limit::new(2) }
    /// }
    /// # struct Game;
    /// # impl App for Game {
    /// #     type Groups = (Score,);
    /// #     async fn fetch(&self, _: Request, _: &Dog<Self>) -> Result<Response> { Err(Failure::new("unused")) }
    /// # }
    /// let cluster = dog_testing::Cluster::new(Game);
    /// assert_eq!(cluster.call::<Score>("ann", &3)?, 3);
    /// assert_eq!(cluster.call::<Score>("ann", &4)?, 7);
    /// # Ok::<(), dog::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`GroupHandle::call`](dog::GroupHandle::call).
    ///
    /// # Panics
    /// As [`group`](Self::group) and [`wait_for`](Self::wait_for).
    #[track_caller]
    pub fn call<G: Group>(&self, name: &str, call: &G::Call) -> Result<G::Reply, dog::Error> {
        let group = self.group::<G>(name);
        self.wait_for(group.call(call))
    }

    /// Runs until `future` completes, and returns its output.
    ///
    /// # Panics
    /// If it does not complete within two minutes of the virtual clock.
    #[track_caller]
    pub fn wait_for<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let output = self.wait(|| match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        });
        match output {
            Some(output) => output,
            None => panic!(
                "the future was not completed within {} s of the virtual clock{}",
                PATIENCE.as_secs(),
                self.failures_so_far(),
            ),
        }
    }

    /// Reads the whole body of a response.
    ///
    /// # Panics
    /// If the body breaks off, or does not end within two minutes of the virtual clock.
    #[track_caller]
    pub fn read(&self, response: Response) -> Bytes {
        match self.wait_for(response.into_body().bytes(usize::MAX)) {
            Ok(bytes) => bytes,
            Err(error) => panic!("the body could not be read: {error}"),
        }
    }

    /// Reads the whole body of a response as text.
    ///
    /// # Panics
    /// If the body is not UTF-8, and as [`read`](Self::read).
    #[track_caller]
    pub fn read_text(&self, response: Response) -> String {
        match String::from_utf8(self.read(response).into()) {
            Ok(text) => text,
            Err(error) => panic!("the body is not UTF-8: {error}"),
        }
    }

    /// Does everything that can be done without moving the clock: handlers run and messages arrive, until everything
    /// waits for a client or for time to pass.
    ///
    /// # Panics
    /// If this takes more than [`Builder::max_steps`] steps. Then a task wakes itself without end, or objects send to
    /// each other in an endless loop. A handler that never returns, such as `loop {}`, hangs the test.
    #[track_caller]
    pub fn run(&self) {
        self.advance(Duration::ZERO);
    }

    /// Moves the clock by `duration`. Everything that becomes due happens at its time.
    ///
    /// # Panics
    /// As [`run`](Self::run).
    #[track_caller]
    pub fn advance(&self, duration: Duration) {
        let until = self.world.after(duration);
        let mut steps = Steps::default();
        while self.step(until, &mut steps) {}
        self.world.advance_to(until);
    }

    /// Returns the time of the virtual clock, as objects also see it. It starts at 2026-01-01 00:00 UTC.
    pub fn now(&self) -> Timestamp {
        self.world.now()
    }

    /// Runs until `look` finds something, for at most [`PATIENCE`].
    #[track_caller]
    fn wait<T>(&self, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        let until = self.world.after(PATIENCE);
        let mut steps = Steps::default();
        loop {
            if let Some(found) = look() {
                return Some(found);
            }
            if !self.step(until, &mut steps) {
                return None;
            }
        }
    }

    #[track_caller]
    fn step(&self, until: Micros, steps: &mut Steps) -> bool {
        let more = self.world.step(until);
        assert!(
            steps.count(self.world.micros()) <= self.max_steps,
            "the clock has not moved for {} steps: does a task wake itself forever, or do objects send to each other in \
             an endless loop? The last to run was {}",
            self.max_steps,
            self.world.last_to_run(),
        );
        more
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let failures = self.failures_so_far();
        // These failures may be the reason for the panic of the test.
        if std::thread::panicking() && !failures.is_empty() {
            eprintln!("failures in the cluster:{failures}");
        }
        self.world.end();
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Cluster({} lives, {:?})", self.world.lives().len(), self.now())
    }
}
