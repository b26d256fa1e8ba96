//! Where a scenario plays: [`Stage`], and the Groups it finds there: [`Place`].

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use dog::http::{Request, Response, StatusCode};
use dog::{ClientId, GroupId, ReplicaId};
use futures_util::{StreamExt, TryStreamExt};

use crate::app::protocol::{Act, Command, Identified, Reply};
use crate::check::{Outcome, Trouble, eventually, same};
use crate::client::{self, Client, Streamed};
use crate::harness::Capability;

/// Joins that are under way at the same time in [`Place::join_all`].
const JOINING: usize = 32;

/// What a scenario is given: a host, and names that no other scenario has.
pub struct Stage {
    entries: Vec<SocketAddr>,
    message_limit: usize,
    prefix: String,
    pinned_to: usize,
    hangs_up: bool,
}

impl Stage {
    pub(crate) fn new(harness: &dyn crate::Harness, scenario: &str, number: usize) -> Self {
        // Some hosts keep their Groups from one run to the next, so each run has names of its own.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_micros();
        let entries = harness.entries();
        let pinned_to = number % entries.len();
        let hangs_up = harness.lacks().iter().all(|lack| lack.capability != Capability::Hangup);
        let prefix = format!("{scenario}-{now:x}");
        Self { entries, message_limit: harness.message_limit(), prefix, pinned_to, hangs_up }
    }

    /// A Group whose clients all come in by one node: what they find does not depend on how many nodes there are.
    pub fn pinned(&self, class: &'static str, name: &str) -> Place {
        self.place(class, name, vec![self.entries[self.pinned_to]])
    }

    /// A Group whose clients come in by every node in turn.
    pub fn spread(&self, class: &'static str, name: &str) -> Place {
        self.place(class, name, self.entries.clone())
    }

    fn place(&self, class: &'static str, name: &str, entries: Vec<SocketAddr>) -> Place {
        Place::new(class, format!("{}-{name}", self.prefix), entries, self.hangs_up)
    }

    /// The most bytes that a message may have.
    pub fn message_limit(&self) -> usize {
        self.message_limit
    }
}

/// One Group of the test App.
pub struct Place {
    class: &'static str,
    group: String,
    entries: Vec<SocketAddr>,
    next: Cell<usize>,
    /// The Replicas that sockets were opened on.
    seen: RefCell<BTreeSet<ReplicaId>>,
    /// Sockets that keep Replicas from being empty, see [`settles_on`](Self::settles_on).
    plugs: RefCell<Vec<Client>>,
    strangers: Cell<usize>,
    hangs_up: bool,
}

impl Place {
    fn new(class: &'static str, group: String, entries: Vec<SocketAddr>, hangs_up: bool) -> Self {
        let (seen, plugs) = (RefCell::default(), RefCell::default());
        Self { class, group, entries, next: Cell::new(0), seen, plugs, strangers: Cell::new(0), hangs_up }
    }

    /// The next node to go to.
    pub fn entry(&self) -> SocketAddr {
        let turn = self.next.get();
        self.next.set(turn + 1);
        self.entries[turn % self.entries.len()]
    }

    /// What the Group is called in paths: `CLASS/GROUP`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.class, self.group)
    }

    /// The Group's id.
    pub fn group_id(&self) -> GroupId {
        GroupId::from_name(self.class, &self.group)
    }

    /// The Group of another class whose name is the same, and whose clients come in by the same nodes.
    pub fn of_class(&self, class: &'static str) -> Self {
        Self::new(class, self.group.clone(), self.entries.clone(), self.hangs_up)
    }

    /// The path of an action for a client; more of the query can be put behind.
    pub fn path(&self, action: &str, client: &str) -> String {
        format!("/{}/{}/{action}?u={client}", self.class, self.group)
    }

    /// Opens a socket.
    ///
    /// # Errors
    /// When it does not open in time.
    pub async fn join(&self, client: &str) -> Outcome<Client> {
        let mut client = Client::connect(self.entry(), &self.path("ws", client), ClientId::new(client)?).await?;
        if !self.hangs_up {
            client.hang_up_yourself();
        }
        self.seen.borrow_mut().insert(client.replica());
        Ok(client)
    }

    /// Opens sockets one after another.
    ///
    /// # Errors
    /// When one does not open in time.
    pub async fn join_each<const COUNT: usize>(&self, clients: [&str; COUNT]) -> Outcome<[Client; COUNT]> {
        let mut joined = Vec::with_capacity(COUNT);
        for client in clients {
            joined.push(self.join(client).await?);
        }
        joined.try_into().map_err(|_| Trouble::new("as many sockets as clients"))
    }

    /// Opens `count` sockets of clients `NAME0`, `NAME1`, …, many at the same time; they are returned in no order.
    ///
    /// # Errors
    /// When one does not open in time.
    pub async fn join_all(&self, name: &str, count: usize) -> Outcome<Vec<Client>> {
        let joins = (0..count).map(|number| async move { self.join(&format!("{name}{number}")).await });
        futures_util::stream::iter(joins).buffer_unordered(JOINING).try_collect().await
    }

    /// Sends a request to `path`.
    ///
    /// # Errors
    /// When there is no response in time.
    pub async fn request(&self, method: &str, path: &str, body: impl Into<Bytes>) -> Outcome<Response<Bytes>> {
        let request = Request::builder().method(method).uri(path).header("host", "conformance").body(body.into())?;
        client::send(self.entry(), request).await
    }

    /// Asks where a client belongs. The ticket is given back.
    ///
    /// # Errors
    /// When the Group does not say.
    pub async fn identify(&self, client: &str) -> Outcome<Identified> {
        let response = self.request("GET", &self.path("identify", client), "").await?;
        same(response.status(), StatusCode::OK, "identify")?;
        Ok(serde_json::from_slice(response.body())?)
    }

    /// Gives a command without a socket: the response.
    ///
    /// # Errors
    /// When there is no response in time.
    pub async fn post(&self, client: &str, act: Act) -> Outcome<Response<Bytes>> {
        self.request("POST", &self.path("http", client), serde_json::to_vec(&Command { id: 0, act })?).await
    }

    /// The same, to a path, for as long as the scenario itself may take.
    ///
    /// # Errors
    /// When there is no response.
    pub async fn hold(&self, path: &str, act: Act) -> Outcome<Response<Bytes>> {
        let body = serde_json::to_vec(&Command { id: 0, act })?;
        let request = Request::post(path).header("host", "conformance").body(body.into())?;
        client::send_patiently(self.entry(), request).await
    }

    /// Asks for a response that is streamed.
    ///
    /// # Errors
    /// When it does not begin in time.
    pub async fn stream(&self, client: &str) -> Outcome<Streamed> {
        Streamed::open(self.entry(), &self.path("stream", client)).await
    }

    /// Gives a command without a socket: the reply.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn command(&self, client: &str, act: Act) -> Outcome<Reply> {
        let response = self.post(client, act).await?;
        same(response.status(), StatusCode::OK, "the status of a command")?;
        Ok(serde_json::from_slice(response.body())?)
    }

    /// Waits until the Group sends strangers to `replica`: until its books say that there is the most room. No event
    /// tells of that, so it is asked again and again, each time for a client that it has not seen.
    ///
    /// Asked before it knows of any room, the Group makes a new Replica, which would have the most room from then on.
    /// So the stranger takes a seat there, and stays.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn settles_on(&self, replica: ReplicaId) -> Outcome {
        let what = format!("the books send strangers to {replica:?}");
        eventually(&what, async || {
            self.strangers.set(self.strangers.get() + 1);
            let stranger = format!("stranger{}", self.strangers.get());
            let said = self.identify(&stranger).await?.replica;
            if said != replica && !self.seen.borrow().contains(&said) {
                let plug = self.join(&stranger).await?;
                self.plugs.borrow_mut().push(plug);
            }
            Ok(said == replica)
        })
        .await
    }
}
