//! The cluster under test: requests from outside, and what comes of them.

use std::fmt;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use dog::{App, Body, Request, Response};
use http::{HeaderValue, header};

use super::builder::Builder;
use super::client::{ClientSocket, Pending};
use super::running::PATIENCE;
use crate::world::World;

/// An App with all its objects, in one thread, on a clock that stands still until it is moved.
///
/// Everything is deterministic: the same test, the same order of everything. Nothing sleeps, so a minute costs no time.
/// Objects are real, run by the same engine as on every host: limits, placement, joining, reports, deadlines. What a
/// host's own front does is not here: limits of sizes and headers, the handshake's timing, TLS.
///
/// Whatever a handler waits for must come from this library, or be ready at once: a timer or a socket of a runtime such as
/// tokio never is, for there is none. Put what reaches outside behind a trait in the [`Env`](dog::Env).
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
    pub(super) world: Rc<World>,
    pub(super) max_steps: u64,
}

/// A request that opens a WebSocket at `path`, to which headers can be added: see [`Cluster::open`].
///
/// ```
/// let mut request = dog_testing::websocket("/ws");
/// request.headers_mut().insert("cookie", "session=ann".parse()?);
/// # Ok::<(), dog::http::header::InvalidHeaderValue>(())
/// ```
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
    /// A cluster of `app`, with an empty [`Env`](dog::Env).
    pub fn new<A: App>(app: A) -> Self {
        Self::builder(app).start()
    }

    /// The same, with a choice.
    pub fn builder<A: App>(app: A) -> Builder<A> {
        Builder::new(app)
    }

    /// Opens a WebSocket, and runs until it is open.
    ///
    /// # Panics
    /// When the App refuses: to test that, there is [`open`](Self::open).
    #[track_caller]
    pub fn connect(&self, path: &str) -> ClientSocket {
        match self.open(websocket(path)) {
            Ok(socket) => socket,
            Err(response) => {
                let (status, body) = (response.status(), self.read_text(*response));
                panic!("{path} was answered with {status} {body:?}, and no socket{}", self.failures_so_far())
            }
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
        let answer = self.answer(&self.begin(request));
        self.run();
        answer
    }

    /// The response to a request. The clock goes on while the App waits for something.
    ///
    /// # Panics
    /// When there is no answer within two minutes of the virtual clock, or when the answer opens a WebSocket: that wants
    /// [`open`](Self::open).
    #[track_caller]
    pub fn fetch(&self, request: Request) -> Response {
        let path = request.uri().to_string();
        match self.answer(&self.begin(request)) {
            Ok(_) => panic!("{path} was answered with a WebSocket, which wants `open` or `connect`"),
            Err(response) => *response,
        }
    }

    /// The response to a GET.
    ///
    /// # Panics
    /// When `path` is no path of an address, and as [`fetch`](Self::fetch).
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.fetch(get(path))
    }

    /// Sends a request whose answer is not waited for: it is on its way from the next [`run`](Self::run) on.
    pub fn begin(&self, request: Request) -> Pending {
        let path = request.uri().to_string();
        Pending::new(Rc::clone(&self.world), self.world.ask(0, request), path)
    }

    #[track_caller]
    fn answer(&self, pending: &Pending) -> Result<ClientSocket, Box<Response>> {
        match self.wait(|| pending.answer()) {
            Some(answer) => answer,
            None => panic!(
                "{} was not answered within {} s of the virtual clock: does a handler wait for something that only a \
                 runtime or another thread can do?{}",
                pending.path(),
                PATIENCE.as_secs(),
                self.failures_so_far(),
            ),
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
            None => panic!("the body did not end within {} s of the virtual clock", PATIENCE.as_secs()),
        }
    }

    /// The same, as text.
    ///
    /// # Panics
    /// As [`read`](Self::read), and when it is no UTF-8.
    #[track_caller]
    pub fn read_text(&self, response: Response) -> String {
        match String::from_utf8(self.read(response).into()) {
            Ok(text) => text,
            Err(error) => panic!("the body is no text: {error}"),
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let failures = self.failures_so_far();
        // A test that has failed, and perhaps for this.
        if std::thread::panicking() && !failures.is_empty() {
            eprintln!("what failed in the cluster:{failures}");
        }
        self.world.end();
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Cluster({} lives, {:?})", self.world.lives().len(), self.now())
    }
}
