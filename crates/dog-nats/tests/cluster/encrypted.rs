//! TLS between nodes: who is refused, and how certificates and authorities are replaced.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dog_test_support::certificates::{Authority, replace};
use dog_test_support::process::Signal;
use tokio::sync::watch;

use crate::app::{Client, PATIENCE};
use crate::child::Child;
use crate::server::NatsServers;

const LEASE: Duration = Duration::from_secs(15);

/// What a node shows to other nodes, and whom it trusts, in a folder of files.
pub(crate) struct NodeFiles(tempfile::TempDir);

impl NodeFiles {
    /// Returns the files of the certificate, its key and the authorities.
    pub(crate) fn within(folder: &Path) -> [PathBuf; 3] {
        ["node.pem", "key.pem", "ca.pem"].map(|name| folder.join(name))
    }

    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    fn new(shows: &Authority, trusts: &[&Authority]) -> Self {
        let files = Self(tempfile::tempdir().expect("a folder"));
        files.set(shows, trusts);
        files
    }

    /// Replaces all files, first that of the authorities. The node shows a new certificate.
    fn set(&self, shows: &Authority, trusts: &[&Authority]) {
        let [certificate, key, authorities] = Self::within(self.folder());
        let texts = trusts.iter().map(|authority| std::fs::read_to_string(authority.root()).expect("a file"));
        replace(&authorities, &texts.collect::<String>());
        let (text, its_key) = shows.certificate("node", false);
        replace(&certificate, &text);
        replace(&key, &its_key);
    }
}

/// A node and what it logs.
struct Logged {
    node: Child,
    log: PathBuf,
}

impl Logged {
    fn start(nats: &NatsServers, files: Option<&NodeFiles>, logs: &Path, name: &str) -> Self {
        let log = logs.join(name);
        let file = std::fs::File::create(&log).expect("the log can be created");
        Self { node: Child::start_secured(&nats.url(), LEASE, files, file), log }
    }

    /// Waits until the log contains a text. A file sends no events.
    async fn logs(&self, text: &str) {
        let by = Instant::now() + PATIENCE;
        loop {
            let log = std::fs::read_to_string(&self.log).expect("text");
            if log.contains(text) {
                return;
            }
            assert!(Instant::now() < by, "the log does not say `{text}`: {log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Returns the sum of a metric over its labels.
async fn metric(node: &Child, name: &str) -> u64 {
    let (_, text) = node.tells("/metrics").await;
    let samples = text.lines().filter(|line| line.starts_with(name));
    samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}

/// Makes a node load its files again, and waits until it has. Metrics send no events.
async fn reload(node: &Child, set: impl FnOnce()) {
    const LOADED: &str = "dog_cluster_tls_reloads_total{result=\"ok\"}";
    let (before, by) = (metric(node, LOADED).await, Instant::now() + PATIENCE);
    set();
    node.signal(Signal::HUP);
    while metric(node, LOADED).await == before {
        assert!(Instant::now() < by, "a node has not loaded its files");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_node_without_a_valid_certificate_is_refused_and_the_log_says_why() {
    let (nats, logs) = (NatsServers::start(1, ""), tempfile::tempdir().expect("a folder"));
    let [ours, theirs] = [(); 2].map(|()| Authority::new());
    let start = |files: Option<&NodeFiles>, name| Logged::start(&nats, files, logs.path(), name);
    let files =
        [NodeFiles::new(&ours, &[&ours]), NodeFiles::new(&ours, &[&ours]), NodeFiles::new(&theirs, &[&ours, &theirs])];
    let (home, friend) = (start(Some(&files[0]), "home"), start(Some(&files[1]), "friend"));
    let (stranger, plain) = (start(Some(&files[2]), "stranger"), start(None, "plain"));
    let mut witness = Client::join(home.node.address, "closed", "witness").await;
    let mut through = Client::join(friend.node.address, "closed", "through").await;
    assert_eq!((through.at, witness.at), (home.node.id(), home.node.id()), "a node forwards its bytes");
    assert!(through.put(1).await);
    assert_eq!(metric(&home.node, "dog_cluster_connections_refused_total").await, 0);
    for outside in [&stranger, &plain] {
        let error = Client::try_to_join(outside.node.address, "closed", "outsider").await.err();
        assert!(error.as_ref().is_some_and(|error| error.contains("503")), "{error:?}");
    }
    home.logs("was refused: its certificate is of no authority that is trusted").await;
    stranger.logs("TLS with another node failed: it refuses the certificate of this node").await;
    // It waits for the other side to begin, as that does for it. One of the two is the first to end the connection.
    home.logs("as a node without node_tls does").await;
    assert!(metric(&home.node, "dog_cluster_connections_refused_total").await >= 2);
    // Nobody else has noticed.
    assert!(through.put(2).await);
    assert_eq!(witness.count_until(2).await, 2);
}

/// A client that joins through a node again and again, stores a number each time, and leaves.
async fn come_and_go(entry: std::net::SocketAddr, home: u32, visits: watch::Sender<u32>) {
    while !visits.is_closed() {
        let number = *visits.borrow() + 1;
        let visit = async {
            let mut client = Client::try_to_join(entry, "rotated", "wanderer").await?;
            (client.at == home).then_some(()).ok_or("it is served by another node")?;
            client.put(1000 + number).await.then_some(()).ok_or_else(|| "its socket ended".to_owned())
        };
        let visited: Result<(), String> = visit.await;
        visited.unwrap_or_else(|error| panic!("visit {number} failed: {error}"));
        visits.send_replace(number);
    }
}

#[tokio::test]
async fn certificates_and_authorities_are_replaced_under_load() {
    let (nats, logs) = (NatsServers::start(1, ""), tempfile::tempdir().expect("a folder"));
    let [old, new] = [(); 2].map(|()| Authority::new());
    let files = [(); 3].map(|()| NodeFiles::new(&old, &[&old]));
    let start = |(number, files)| Logged::start(&nats, Some(files), logs.path(), &format!("node {number}"));
    let nodes: Vec<Logged> = files.iter().enumerate().map(start).collect();
    let [home, entries @ ..] = &nodes[..] else { panic!("three nodes") };
    let mut witness = Client::join(home.node.address, "rotated", "witness").await;
    let mut stay = Vec::new();
    for (number, entry) in (0..6).zip(entries.iter().cycle()) {
        stay.push(Client::join(entry.node.address, "rotated", &format!("stays-{number}")).await);
    }
    let visits = entries.iter().map(|entry| {
        let (visits, visited) = watch::channel(0);
        (tokio::spawn(come_and_go(entry.node.address, home.node.id(), visits)), visited)
    });
    let mut visits: Vec<_> = visits.collect();
    let steps: [(&Authority, &[&Authority]); 3] = [(&old, &[&old, &new]), (&new, &[&old, &new]), (&new, &[&new])];
    for (step, (shows, trusts)) in (1_u32..).zip(steps) {
        for (Logged { node, .. }, files) in nodes.iter().zip(&files) {
            reload(node, || files.set(shows, trusts)).await;
        }
        for (task, visited) in &mut visits {
            let enough = *visited.borrow() + 5;
            let came = tokio::time::timeout(PATIENCE, visited.wait_for(|visits| *visits >= enough)).await;
            assert!(came.expect("visits go on").is_ok(), "a visit failed: {:?}", task.await);
        }
        for (number, client) in (0..).zip(&mut stay) {
            assert!(client.put(100 * step + number).await, "its socket has ended");
        }
    }
    let mut all = 0;
    for (task, visited) in visits {
        all += *visited.borrow();
        drop(visited);
        task.await.expect("no visit failed");
    }
    // A node that was left behind is refused.
    let left_behind = NodeFiles::new(&old, &[&old, &new]);
    let left_behind = Logged::start(&nats, Some(&left_behind), logs.path(), "left behind");
    let error = Client::try_to_join(left_behind.node.address, "rotated", "late").await.err();
    assert!(error.as_ref().is_some_and(|error| error.contains("503")), "{error:?}");
    home.logs("its certificate is of no authority that is trusted").await;
    assert_eq!(witness.count_until(7).await, 7);
    println!(
        "cluster: certificates and authority of three nodes replaced in three steps: {} forwarded sockets stayed open, {all} \
         visits through other nodes meanwhile, none failed",
        stay.len()
    );
}
