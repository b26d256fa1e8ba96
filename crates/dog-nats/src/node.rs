//! A node's life: a thread of its own that speaks to NATS, from joining the cluster to leaving it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::Client;
use dog_engine::address::NodeId;
use dog_native::cluster::{Joining, Ports, Versions};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;

use crate::alarms;
use crate::connect::{Connected, Settings};
use crate::directory::Found;
use crate::entries::Entries;
use crate::jetstream::{Messages, Put, nonce, until_answered};
use crate::lease::{Renewal, Term};
use crate::link;
use crate::names::Names;
use crate::nodes::{self, Lease, Nodes};
use crate::servers;
use crate::writing::Writers;

/// How long it takes until a lease that could not be had is asked for again.
const REJOIN: Duration = Duration::from_secs(1);

/// What all that a node does stands on.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) client: Client,
    pub(crate) names: Names,
    pub(crate) leases: Messages,
    pub(crate) objects: Messages,
    pub(crate) nodes: Nodes,
    pub(crate) term: Term,
    pub(crate) versions: Versions,
    pub(crate) writers: Writers,
    pub(crate) runtime: Handle,
    /// Tells what this process has written from what others write.
    pub(crate) writer: String,
    me: AtomicU64,
    /// The last of this node's names whose lease was ended by somebody else.
    struck_off: watch::Sender<NodeId>,
    leaves: Notify,
    has_left: watch::Sender<bool>,
}

impl Node {
    /// This node, in its present life; the default one while it has no lease.
    pub(crate) fn me(&self) -> NodeId {
        NodeId::from_raw(self.me.load(Ordering::Acquire))
    }

    fn is_now(&self, node: NodeId) {
        self.me.store(node.as_u64(), Ordering::Release);
    }

    /// Somebody else has ended the lease that this node has by that name: it acts no more from now on.
    pub(crate) fn is_struck_off(&self, me: NodeId) {
        self.term.end();
        self.struck_off.send_replace(me);
    }

    async fn until_struck_off(&self, me: NodeId) {
        // The sender is this node's own, and lives as long.
        let _ = self.struck_off.subscribe().wait_for(|struck_off| *struck_off == me).await;
        tracing::error!("this node's lease was ended by somebody else");
    }

    /// Gives the lease back.
    pub(crate) async fn leave(&self) {
        let mut left = self.has_left.subscribe();
        self.leaves.notify_one();
        // The sender is this node's own, and lives as long.
        let _ = left.wait_for(|left| *left).await;
    }
}

/// Joins, on a thread that lives as long as the node.
pub(crate) async fn join(settings: Settings, joining: Joining) -> Result<Ports, String> {
    let (tell, joined) = oneshot::channel();
    let run = move || match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(live(settings, joining, tell)),
        Err(error) => drop(tell.send(Err(format!("the system gives no runtime: {error}")))),
    };
    let thread = std::thread::Builder::new().name("dog-nats".into()).spawn(run);
    thread.map_err(|error| format!("the system gives no thread: {error}"))?;
    joined.await.unwrap_or_else(|_| Err("the thread that speaks to NATS has ended".into()))
}

async fn live(settings: Settings, joining: Joining, mut tell: oneshot::Sender<Result<Ports, String>>) {
    let connected = tokio::select! {
        connected = settings.connect(joining.longest_message) => connected,
        // Whoever joins has given up.
        () = tell.closed() => return,
    };
    let Connected { client, names, leases, objects, secret } = match connected {
        Ok(connected) => connected,
        Err(error) => return drop(tell.send(Err(error))),
    };
    let (link, to_send) = link::way(link::MOST_WAITING);
    let node = Arc::new(Node {
        client: client.clone(),
        names,
        leases,
        objects,
        nodes: Nodes::default(),
        term: Term::default(),
        versions: joining.versions,
        writers: Writers::new(),
        runtime: Handle::current(),
        writer: nonce(),
        me: AtomicU64::new(0),
        struck_off: watch::Sender::new(NodeId::default()),
        leaves: Notify::new(),
        has_left: watch::Sender::new(false),
    });
    let first = begin(&node, &client, &settings, &joining).await;
    let (renewal, letters) = match first {
        Ok(begun) => begun,
        Err(error) => return drop(tell.send(Err(error))),
    };
    let ports = Ports {
        node: node.me(),
        secret,
        directory: Box::new(Found(Arc::clone(&node))),
        link: Box::new(link),
        storage: Arc::new(Entries(Arc::clone(&node))),
    };
    let inbox = joining.inbox.clone();
    let mut tasks = JoinSet::new();
    {
        let (node, inbox) = (Arc::clone(&node), inbox.clone());
        tasks.spawn(async move { nodes::follow(&node, &inbox).await });
    }
    {
        let (node, inbox, lease) = (Arc::clone(&node), inbox.clone(), settings.lease);
        tasks.spawn(async move { nodes::strike_off(&node, &inbox, lease).await });
    }
    {
        let (node, inbox) = (Arc::clone(&node), inbox.clone());
        tasks.spawn(async move { alarms::follow(&node.objects, &node.names, &inbox).await });
    }
    {
        let (node, settings) = (Arc::clone(&node), settings.clone());
        tasks.spawn(async move { servers::watch(&node, &settings).await });
    }
    let sender = {
        let (node, client) = (Arc::clone(&node), client.clone());
        tokio::spawn(async move { link::send(&client, &node, to_send).await })
    };
    if tell.send(Ok(ports)).is_err() {
        return;
    }
    let mut life = Life { node: &node, client: &client, settings: &settings, joining: &joining };
    tokio::select! {
        () = life.go_on(renewal, letters) => {}
        // The server has been dropped without a word.
        _ = sender => life.end().await,
    }
}

/// Takes a lease by a name that nobody has had, and listens for letters.
async fn begin<'a>(
    node: &'a Node,
    client: &Client,
    settings: &Settings,
    joining: &Joining,
) -> Result<(Renewal<'a>, async_nats::Subscriber), String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| format!("the operating system gives no random bytes: {error}"))?;
    let id = NodeId::from_raw(u64::from_be_bytes(bytes).max(1));
    let letters = link::listen(client, &node.names, id).await?;
    let lease = Lease::new(joining.address, joining.versions, settings.lease, &node.writer);
    let mut renewal = Renewal::new(&node.leases, &node.names, settings.lease, &node.term, id, lease);
    match renewal.renew().await {
        Ok(true) => {}
        Ok(false) => return Err("another node has the same name".into()),
        Err(trouble) => return Err(format!("no lease can be had: {}", trouble.text())),
    }
    node.nodes.has_come(id, &renewal.lease, renewal.sequence);
    node.is_now(id);
    // Its end may have been heard of before it was known to be this node's.
    if node.nodes.has_ended(id) {
        node.is_now(NodeId::default());
        node.term.end();
        return Err("the lease was ended by somebody else".into());
    }
    Ok((renewal, letters))
}

struct Life<'a> {
    node: &'a Arc<Node>,
    client: &'a Client,
    settings: &'a Settings,
    joining: &'a Joining,
}

impl<'a> Life<'a> {
    /// Keeps the lease, or takes another, until this node leaves.
    async fn go_on(&mut self, mut renewal: Renewal<'a>, mut letters: async_nats::Subscriber) {
        loop {
            let me = renewal.node;
            let by_itself = tokio::select! {
                () = renewal.keep() => true,
                () = self.node.until_struck_off(me) => false,
                () = link::take(letters, self.node, &self.joining.inbox) => true,
                () = self.node.leaves.notified() => {
                    give_back(&renewal).await;
                    return self.end().await;
                }
            };
            self.lose(me);
            if by_itself {
                tokio::spawn(give_up(Arc::clone(self.node), me, self.settings.lease / 5));
            }
            let begun = tokio::select! {
                begun = self.begin_again() => begun,
                () = self.node.leaves.notified() => return self.end().await,
            };
            (renewal, letters) = begun;
            tracing::warn!(node = %renewal.node, "this node is part of the cluster again");
            self.joining.inbox.joined(renewal.node);
        }
    }

    fn lose(&self, id: NodeId) {
        tracing::error!(node = %id, "this node has lost its lease: its objects may be at other nodes from now on");
        self.node.is_now(NodeId::default());
        self.node.term.end();
        self.node.nodes.has_gone(id);
        self.node.writers.end();
        self.joining.inbox.lost();
    }

    async fn begin_again(&self) -> (Renewal<'a>, async_nats::Subscriber) {
        loop {
            match begin(self.node, self.client, self.settings, self.joining).await {
                Ok(begun) => return begun,
                Err(error) => tracing::warn!("this node cannot join the cluster again: {error}"),
            }
            tokio::time::sleep(REJOIN).await;
        }
    }

    async fn end(&self) {
        self.node.is_now(NodeId::default());
        self.node.term.end();
        self.node.writers.end();
        self.node.has_left.send_replace(true);
    }
}

/// Ends a lease that was lost, when the time is over that this node did not use: there may be no other node to do so.
async fn give_up(node: Arc<Node>, me: NodeId, unused: Duration) {
    tokio::time::sleep(unused).await;
    // Whichever renewal is the last: nobody acts by it any more.
    let gone = || node.leases.put(Put::gone(node.names.lease(me)));
    if let Err(trouble) = until_answered(|| true, gone).await {
        tracing::warn!("others end this node's former lease when its time is over: {}", trouble.text());
    }
}

/// Others need not wait for the end of the lease.
async fn give_back(renewal: &Renewal<'_>) {
    let put = Put::gone(renewal.names.lease(renewal.node)).after(renewal.sequence);
    if let Err(trouble) = renewal.messages.put(put).await {
        tracing::warn!("others end this node's lease when its time is over: {}", trouble.text());
    }
}
