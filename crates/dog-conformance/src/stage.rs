//! What a scenario gets: [`Stage`], and the Groups that it uses: [`TestGroup`].

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use dog::http::{Request, Response, StatusCode};
use dog::{ClientId, Format, GroupId, Position, ReplicaId};
use futures_util::{StreamExt, TryStreamExt};

use crate::app::protocol::{Act, Command, CommandReply, FORMAT, Identified, SINCE};
use crate::check::{Outcome, ScenarioFailure, eventually, same};
use crate::client::{self, Client, Events, Streamed};
use crate::harness::Capability;

/// How many joins are in progress at the same time in [`TestGroup::join_all`].
const JOINING: usize = 32;

/// What a scenario gets: a host, and Group names that no other scenario uses.
pub struct Stage {
    entries: Vec<SocketAddr>,
    message_limit: usize,
    prefix: String,
    pinned_to: usize,
    hangs_up: bool,
}

impl Stage {
    pub(crate) fn new(harness: &dyn crate::Harness, scenario: &str, number: usize) -> Self {
        // Some hosts keep their Groups from one run to the next, so each run uses other names.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_micros();
        let entries = harness.entries();
        let pinned_to = number % entries.len();
        let hangs_up = harness.lacks().iter().all(|lack| lack.capability != Capability::Hangup);
        let prefix = format!("{scenario}-{now:x}");
        Self { entries, message_limit: harness.message_limit(), prefix, pinned_to, hangs_up }
    }

    /// A Group whose clients all connect to the same node, so that the scenario does not depend on the number of nodes.
    pub fn pinned(&self, class: &'static str, name: &str) -> TestGroup {
        self.group(class, name, vec![self.entries[self.pinned_to]])
    }

    /// A Group whose clients connect to all nodes in turn.
    pub fn spread(&self, class: &'static str, name: &str) -> TestGroup {
        self.group(class, name, self.entries.clone())
    }

    fn group(&self, class: &'static str, name: &str, entries: Vec<SocketAddr>) -> TestGroup {
        TestGroup::new(class, format!("{}-{name}", self.prefix), entries, self.hangs_up)
    }

    /// The maximum size of a message, in bytes.
    pub fn message_limit(&self) -> usize {
        self.message_limit
    }
}

/// One Group of the test App.
pub struct TestGroup {
    class: &'static str,
    group: String,
    entries: Vec<SocketAddr>,
    next: Cell<usize>,
    /// The Replicas on which sockets were opened.
    seen: RefCell<BTreeSet<ReplicaId>>,
    /// Sockets that keep Replicas from being empty. See [`settles_on`](Self::settles_on).
    plugs: RefCell<Vec<Client>>,
    strangers: Cell<usize>,
    hangs_up: bool,
}

impl TestGroup {
    fn new(class: &'static str, group: String, entries: Vec<SocketAddr>, hangs_up: bool) -> Self {
        let (seen, plugs) = (RefCell::default(), RefCell::default());
        Self { class, group, entries, next: Cell::new(0), seen, plugs, strangers: Cell::new(0), hangs_up }
    }

    /// The address of the next node.
    pub fn entry(&self) -> SocketAddr {
        let turn = self.next.get();
        self.next.set(turn + 1);
        self.entries[turn % self.entries.len()]
    }

    /// The name of the Group in paths: `CLASS/GROUP`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.class, self.group)
    }

    /// The Group's id.
    pub fn group_id(&self) -> GroupId {
        GroupId::from_name(self.class, &self.group)
    }

    /// The Group of another class with the same name, whose clients connect to the same nodes.
    pub fn of_class(&self, class: &'static str) -> Self {
        Self::new(class, self.group.clone(), self.entries.clone(), self.hangs_up)
    }

    /// The name of another Group of this class, which no other scenario uses. Without the class, as Groups are named in calls.
    pub fn other_name(&self, name: &str) -> String {
        format!("{}-{name}", self.group)
    }

    /// The path of an action for a client. It ends with a query, to which more can be appended.
    pub fn path(&self, action: &str, client: &str) -> String {
        format!("/{}/{}/{action}?u={client}", self.class, self.group)
    }

    /// Opens a socket.
    ///
    /// # Errors
    /// If it does not open in time.
    pub async fn join(&self, client: &str) -> Outcome<Client> {
        self.open(client, &self.path("ws", client)).await
    }

    /// Opens a socket of a client that has been at this position of the room.
    ///
    /// # Errors
    /// If it does not open in time.
    pub async fn rejoin(&self, client: &str, since: &Position) -> Outcome<Client> {
        self.open(client, &format!("{}&{SINCE}={since}", self.path("ws", client))).await
    }

    /// Opens a socket that gets publications in this format, of a client that has been at this position of the room if there is one.
    ///
    /// # Errors
    /// If it does not open in time.
    pub async fn join_in(&self, client: &str, format: Format, since: Option<&Position>) -> Outcome<Client> {
        let since = since.map(|since| format!("&{SINCE}={since}")).unwrap_or_default();
        self.open(client, &format!("{}&{FORMAT}={format}{since}", self.path("ws", client))).await
    }

    async fn open(&self, client: &str, path: &str) -> Outcome<Client> {
        let mut client = Client::connect(self.entry(), path, ClientId::new(client)?).await?;
        if !self.hangs_up {
            client.hang_up_yourself();
        }
        self.seen.borrow_mut().insert(client.replica());
        Ok(client)
    }

    /// Opens sockets one after another.
    ///
    /// # Errors
    /// If one does not open in time.
    pub async fn join_each<const COUNT: usize>(&self, clients: [&str; COUNT]) -> Outcome<[Client; COUNT]> {
        let mut joined = Vec::with_capacity(COUNT);
        for client in clients {
            joined.push(self.join(client).await?);
        }
        joined.try_into().map_err(|_| ScenarioFailure::new("expected as many sockets as clients"))
    }

    /// Opens `count` sockets of clients `NAME0`, `NAME1`, …, many at the same time. Returns them in no order.
    ///
    /// # Errors
    /// If one does not open in time.
    pub async fn join_all(&self, name: &str, count: usize) -> Outcome<Vec<Client>> {
        let joins = (0..count).map(|number| async move { self.join(&format!("{name}{number}")).await });
        futures_util::stream::iter(joins).buffer_unordered(JOINING).try_collect().await
    }

    /// Sends a request to `path`.
    ///
    /// # Errors
    /// If there is no response in time.
    pub async fn request(&self, method: &str, path: &str, body: impl Into<Bytes>) -> Outcome<Response<Bytes>> {
        let request = Request::builder().method(method).uri(path).header("host", "conformance").body(body.into())?;
        client::send(self.entry(), request).await
    }

    /// Returns the Replica on which a client is placed, and releases the ticket.
    ///
    /// # Errors
    /// If the Group does not place the client.
    pub async fn identify(&self, client: &str) -> Outcome<Identified> {
        let response = self.request("GET", &self.path("identify", client), "").await?;
        same(response.status(), StatusCode::OK, "identify")?;
        Ok(serde_json::from_slice(response.body())?)
    }

    /// Sends a command without a socket. Returns the response.
    ///
    /// # Errors
    /// If there is no response in time.
    pub async fn post(&self, client: &str, act: Act) -> Outcome<Response<Bytes>> {
        self.request("POST", &self.path("http", client), serde_json::to_vec(&Command { id: 0, act })?).await
    }

    /// Sends a command to a path, without a deadline.
    ///
    /// # Errors
    /// If there is no response.
    pub async fn hold(&self, path: &str, act: Act) -> Outcome<Response<Bytes>> {
        let body = serde_json::to_vec(&Command { id: 0, act })?;
        let request = Request::post(path).header("host", "conformance").body(body.into())?;
        client::send_patiently(self.entry(), request).await
    }

    /// Requests a streamed response.
    ///
    /// # Errors
    /// If it does not begin in time.
    pub async fn stream(&self, client: &str) -> Outcome<Streamed> {
        Streamed::open(self.entry(), &self.path("stream", client)).await
    }

    /// Opens an event stream.
    ///
    /// # Errors
    /// If it does not open in time.
    pub async fn events(&self, client: &str) -> Outcome<Events> {
        Events::open(self.entry(), &self.path("events", client)).await
    }

    /// Opens a stream of lines.
    ///
    /// # Errors
    /// If it does not open in time.
    pub async fn lines(&self, client: &str) -> Outcome<Events> {
        Events::open(self.entry(), &self.path("lines", client)).await
    }

    /// Opens a stream of bytes with POST.
    ///
    /// # Errors
    /// If it does not open in time.
    pub(crate) async fn bytes(&self, client: &str) -> Outcome<Streamed> {
        let request = Request::post(self.path("bytes", client)).header("host", "conformance");
        Streamed::answered(self.entry(), request.body(Bytes::from_static(b"a body"))?).await
    }

    /// Sends a command without a socket. Returns the reply.
    ///
    /// # Errors
    /// If there is none in time.
    pub async fn command(&self, client: &str, act: Act) -> Outcome<CommandReply> {
        let response = self.post(client, act).await?;
        same(response.status(), StatusCode::OK, "the status of a command")?;
        Ok(serde_json::from_slice(response.body())?)
    }

    /// Waits until the Group places new clients on `replica`, which means that this Replica has the most room by the Group's
    /// books. There is no event for this, so it identifies a new client again and again.
    ///
    /// If the Group does not know of any room yet, it creates another Replica, which would have the most room from then on. So
    /// the client takes a seat there and keeps it. If the Group has learned of the room in the meantime, the seat that the client
    /// takes may be on `replica` itself; then it leaves again.
    ///
    /// # Errors
    /// If that does not happen in time.
    pub async fn settles_on(&self, replica: ReplicaId) -> Outcome {
        let what = format!("the Group places new clients on {replica:?}");
        eventually(&what, async || {
            self.strangers.set(self.strangers.get() + 1);
            let stranger = format!("stranger{}", self.strangers.get());
            let said = self.identify(&stranger).await?.replica;
            if said != replica && !self.seen.borrow().contains(&said) {
                let plug = self.join(&stranger).await?;
                if plug.replica() != replica {
                    self.plugs.borrow_mut().push(plug);
                }
            }
            Ok(said == replica)
        })
        .await
    }
}
