//! Assembles the parts of a node. A node has its own thread for NATS, from joining the cluster until it leaves.

use std::sync::Arc;

use async_nats::Client;
use dog_engine::address::NodeId;
use dog_native::cluster::{Joining, Ports};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::clock::LeaseClock;
use crate::connect::{Connection, connect};
use crate::directory::NatsDirectory;
use crate::life::{Life, Profile};
use crate::link::{self, NatsLink};
use crate::parts::Parts;
use crate::servers::ServerWatch;
use crate::settings::Settings;
use crate::storage::NatsStorage;

/// Joins the cluster, on a new thread that lives as long as the node.
pub(crate) async fn join(settings: Settings, joining: Joining) -> Result<Ports, String> {
    let (answer, joined) = oneshot::channel();
    let run = move || match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(settings, joining, answer)),
        Err(error) => drop(answer.send(Err(format!("the runtime for NATS cannot be built: {error}")))),
    };
    let thread = std::thread::Builder::new().name("dog-nats".into()).spawn(run);
    thread.map_err(|error| format!("the thread for NATS cannot be started: {error}"))?;
    joined.await.unwrap_or_else(|_| Err("the thread that speaks to NATS has ended".into()))
}

async fn run(settings: Settings, joining: Joining, mut answer: oneshot::Sender<Result<Ports, String>>) {
    let connected = tokio::select! {
        connected = connect(&settings, joining.longest_message) => connected,
        // The caller no longer waits for the node to join.
        () = answer.closed() => return,
    };
    let connection = match connected {
        Ok(connection) => connection,
        Err(error) => return drop(answer.send(Err(error))),
    };
    let Connection { client, names, leases, objects, secret } = connection;
    let parts = Parts::new(
        names,
        Arc::new(leases),
        Arc::new(objects),
        Arc::new(joining.inbox),
        LeaseClock::default(),
        Handle::current(),
    );
    let profile = Profile { address: joining.address, versions: joining.versions, lease: settings.lease };
    let mut life = Life::new(client.clone(), parts.clone(), profile, Box::new(random_id));
    let joined = match life.join().await {
        Ok(joined) => joined,
        Err(error) => return drop(answer.send(Err(error))),
    };
    let _tasks = spawn_tasks(&parts, &client, &settings);
    let (link, outgoing) = link::channel(link::MAX_WAITING);
    let sender = {
        let (client, parts) = (client.clone(), parts.clone());
        tokio::spawn(async move { link::send(&client, &parts.names, &parts.identity, outgoing).await })
    };
    if answer.send(Ok(ports(&parts, client, profile, secret, link))).is_err() {
        return;
    }
    tokio::select! {
        () = life.run(joined) => {}
        // The server was dropped without leaving.
        _ = sender => life.end(),
    }
}

/// Starts the node's other tasks. They end when the result is dropped.
fn spawn_tasks(parts: &Parts, client: &Client, settings: &Settings) -> JoinSet<()> {
    let watcher = Arc::new(parts.member_watcher());
    let (follower, lease) = (Arc::clone(&watcher), settings.lease);
    let alarms = parts.alarm_follower();
    let servers = ServerWatch::new(client.clone(), settings.clone(), parts.names.clone(), Arc::clone(&parts.identity));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { follower.follow().await });
    tasks.spawn(async move { watcher.end_overdue_leases(lease).await });
    tasks.spawn(async move { alarms.follow().await });
    tasks.spawn(async move { servers.run().await });
    tasks
}

fn ports(parts: &Parts, client: Client, profile: Profile, secret: [u8; 32], link: NatsLink) -> Ports {
    let Parts { names, objects, members, identity, writes, leave, .. } = parts.clone();
    let node = identity.node();
    let ownership = Arc::new(parts.ownership(profile.versions));
    let directory = NatsDirectory::new(client, ownership, members, identity, leave, Handle::current());
    Ports {
        node,
        secret,
        directory: Box::new(directory),
        link: Box::new(link),
        storage: Arc::new(NatsStorage::new(objects, names, writes)),
    }
}

fn random_id() -> Result<NodeId, String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| format!("the operating system gives no random bytes: {error}"))?;
    Ok(NodeId::from_raw(u64::from_be_bytes(bytes).max(1)))
}
