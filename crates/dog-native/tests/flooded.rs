//! Events that others can cause thousands of times. The server logs the first of each kind, and then one line with the
//! number of the rest. On the port for other nodes, the number of connections that are not authenticated is bounded.
//! All of this is one test, because the log belongs to the whole process.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod lines;

use std::io;
use std::net::SocketAddr;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use dog::{App, Dog, Env, Epoch, Error, Request, Response, Result, Timestamp};
use dog_engine::address::Object;
use dog_engine::host::{Batch, Space};
use dog_native::Server;
use dog_native::cluster::{
    Cluster, Directory, Done, Joining, Link, NodeId, Owner, Pending, Ports, Read, Standing, Storage, StorageFigures,
    Versions,
};
use futures_util::future::join_all;
use lines::Lines;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(60);
const SECRET: [u8; 32] = [7; 32];
const NODE: NodeId = NodeId::from_raw(1);

/// Returns how many lines begin with `text`, and how many more events of this kind the log counts.
fn count_lines(lines: &Lines, text: &str, kind: &str) -> (usize, u64) {
    let logged = lines.text();
    let lines: Vec<serde_json::Value> = logged.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let message = |line: &serde_json::Value| line["fields"]["message"].as_str().unwrap_or_default().to_owned();
    let said = lines.iter().filter(|line| message(line).starts_with(text)).count();
    let counted = lines.iter().filter(|line| message(line).ends_with(&format!("s: {kind}")));
    (said, counted.map(|line| line["fields"]["times"].as_u64().unwrap()).sum())
}

struct Fails;

impl App for Fails {
    type Groups = ();

    async fn fetch(&self, _: Request, _: &Dog<Self>) -> Result<Response> {
        Err(io::Error::other("it never works").into())
    }
}

/// A cluster of one node.
#[derive(Clone, Debug, Default)]
struct Alone {
    address: Arc<Mutex<Option<SocketAddr>>>,
    claims: Arc<AtomicU64>,
}

impl Cluster for Alone {
    fn join(&self, node: Joining) -> Pending<std::result::Result<Ports, String>> {
        self.address.lock().unwrap().replace(node.address);
        let (directory, link, storage) = (Box::new(self.clone()), Box::new(self.clone()), Arc::new(self.clone()));
        Box::pin(async { Ok(Ports { node: NODE, secret: SECRET, directory, link, storage }) })
    }
}

impl Directory for Alone {
    fn find(&self, _: Object, _: bool) -> Pending<std::result::Result<Owner, Error>> {
        let claim = self.claims.fetch_add(1, Ordering::Relaxed) + 1;
        Box::pin(async move { Ok(Owner::Here(claim)) })
    }

    fn release(&self, _: Object, _: u64) {}

    fn address(&self, _: NodeId) -> Option<SocketAddr> {
        None
    }

    fn versions(&self, _: NodeId) -> Option<Versions> {
        None
    }

    fn lease_left(&self) -> Duration {
        Duration::from_secs(3600)
    }

    fn standing(&self) -> Standing {
        Standing { connected: true, nodes: 1 }
    }

    fn caretaker(&self, _: Object) -> NodeId {
        NODE
    }

    fn leave(&self) -> Pending<()> {
        Box::pin(async {})
    }
}

impl Link for Alone {
    fn send(&self, _: NodeId, _: Bytes) {}
}

impl Storage for Alone {
    fn get(&self, _: Object, _: Space, _: &[u8]) -> Read<Option<Bytes>> {
        Read::Now(Ok(None))
    }

    fn range(
        &self,
        _: Object,
        _: Space,
        _: (Bound<Vec<u8>>, Bound<Vec<u8>>),
        _: Option<usize>,
        _: bool,
    ) -> Read<Vec<(Bytes, Bytes)>> {
        Read::Now(Ok(Vec::new()))
    }

    fn write(&self, _: Object, _: Epoch, _: &'static str, _: Batch, done: Done) {
        done(Ok(()));
    }

    fn alarm(&self, _: Object) -> Read<Option<Timestamp>> {
        Read::Now(Ok(None))
    }

    fn figures(&self) -> StorageFigures {
        StorageFigures::default()
    }
}

async fn in_time<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// Reads until the server closes the connection.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = in_time("the server to hang up", stream.read_to_end(&mut rest)).await;
    rest
}

async fn failures(address: SocketAddr, times: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n";
    let mut answer = vec![0; 4096];
    for _ in 0..times {
        stream.write_all(request).await.unwrap();
        let length = in_time("an answer", stream.read(&mut answer)).await.unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 500"));
    }
    stream
}

/// Connects while the one connection that this address may have is in use.
async fn too_many(address: SocketAddr, times: usize) {
    for _ in 0..times {
        let answer = rest(&mut TcpStream::connect(address).await.unwrap()).await;
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 503"), "{}", String::from_utf8_lossy(&answer));
    }
}

async fn strangers(address: SocketAddr, times: usize) {
    for _ in 0..times {
        let mut stream = TcpStream::connect(address).await.unwrap();
        in_time("the challenge", stream.read_exact(&mut [0; 32])).await.unwrap();
        stream.write_all(&[1; 64]).await.unwrap();
        assert_eq!(rest(&mut stream).await, b"");
    }
}

/// Connects as another node does.
async fn node(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut challenge = [0; 32];
    in_time("the challenge", stream.read_exact(&mut challenge)).await.unwrap();
    let nonce = [3; 32];
    stream.write_all(&[nonce, proof(b"connects", &challenge, &nonce)].concat()).await.unwrap();
    let mut theirs = [0; 32];
    in_time("the proof", stream.read_exact(&mut theirs)).await.expect("a node is let in");
    assert_eq!(theirs, proof(b"accepts", &challenge, &nonce));
}

/// Computes the same as `cluster/peer_auth.rs`.
fn proof(act: &[u8], challenge: &[u8; 32], nonce: &[u8; 32]) -> [u8; 32] {
    let pad = |with: u8| SECRET.iter().map(|byte| byte ^ with).chain([with; 32]).collect::<Vec<u8>>();
    let mut inner = Sha256::new_with_prefix(pad(0x36));
    for part in [b"dog node ", act, &[0], &NODE.as_u64().to_be_bytes(), challenge, nonce] {
        inner.update(part);
    }
    Sha256::new_with_prefix(pad(0x5c)).chain_update(inner.finalize()).finalize().into()
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Opens connections that send nothing. Returns how many of them the server had at once, at most.
async fn silent(address: SocketAddr, crowd: usize) -> usize {
    let before = descriptors();
    let most = AtomicU64::new(0);
    let one = async || {
        let mut stream = TcpStream::connect(address).await.unwrap();
        in_time("the challenge", stream.read_exact(&mut [0; 32])).await.unwrap();
        most.fetch_max(descriptors() as u64, Ordering::Relaxed);
        stream
    };
    let ((), streams) = tokio::join!(
        async {
            for _ in 0..20 {
                node(address).await;
            }
        },
        join_all((0..crowd).map(|_| one()))
    );
    assert_eq!(streams.len(), crowd);
    // The clients' ends of the connections are descriptors of this process too.
    usize::try_from(most.into_inner()).unwrap() - before - crowd
}

#[tokio::test]
async fn a_flood_is_a_few_lines_and_strangers_are_few() {
    const TIMES: usize = 500;
    const SILENT: usize = 400;
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().json().with_max_level(tracing::Level::WARN);
    tracing::subscriber::set_global_default(subscriber.with_writer(move || writer.clone()).finish()).unwrap();

    let cluster = Alone::default();
    let server = Server::new(Fails).bind("127.0.0.1:0").workers(2).max_sockets_per_address(1).env(Env::new());
    let running = server.drain_within(Duration::ZERO).cluster(cluster.clone()).start().await.unwrap();
    let port = cluster.address.lock().unwrap().expect("the node has joined");
    let one = failures(running.local_addr(), TIMES).await;
    too_many(running.local_addr(), TIMES).await;
    drop(one);
    strangers(port, TIMES).await;
    let at_once = silent(port, SILENT).await;
    // The shutdown logs what was counted and not logged yet.
    running.shutdown().await;

    for (text, kind) in [
        ("App::fetch failed", "App::fetch failed"),
        ("refused: too many connections", "a connection refused, too many of one address"),
        ("a connection to the address of this node was refused", "a connection to the address of this node refused"),
    ] {
        let (said, counted) = count_lines(&lines, text, kind);
        // Ten at first. On a very slow machine, one more for each further ten seconds.
        assert!((10..=20).contains(&said), "{said} lines say: {text}");
        let all = said as u64 + counted;
        let (least, most) = match kind {
            // The silent connections may have been refused too.
            kind if kind.contains("this node") => (TIMES, TIMES + SILENT),
            _ => (TIMES, TIMES),
        };
        assert!((least as u64..=most as u64).contains(&all), "{all} of: {text}");
    }
    let logged = lines.text();
    let refused: Vec<_> = logged.lines().filter(|line| line.contains("this node was refused")).collect();
    assert!(refused.iter().all(|line| line.contains("\"address\":\"127.0.0.1:")), "{refused:?}");
    assert!(at_once <= 256 + 40, "{at_once} strangers at once");
}
