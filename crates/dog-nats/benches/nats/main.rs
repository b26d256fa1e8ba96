//! Measures the cost of NATS in a cluster: node messages, reads, claims and leases, over one nats-server with the same
//! kind of streams that nodes create. Processor times are those of the server process and of this program's threads, as
//! the operating system reports them. Each thread has one role. `cargo xtask bench nats` runs this benchmark. It prints
//! one JSON object per figure.
//!
//! The test command runs each benchmark without `--bench`. Then nothing is measured, because there is no server.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark that cannot continue may panic")]

mod server;

use std::fs;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, stream};
use tokio::sync::{Semaphore, mpsc};

use server::NatsServer;

/// The size in bytes of a node message with a broadcast of 128 bytes to three Replicas.
const MESSAGE_SIZE: usize = 300;
const MESSAGES: u32 = 200_000;
/// The number of node messages in flight. It is below the capacity of a subscription.
const UNDER_WAY: usize = 16_384;
/// The sender and the receiver synchronise after this many node messages.
const BATCH: u32 = 1_024;
const READS: u32 = 30_000;
const PUTS: u32 = 20_000;
/// The number of requests in flight.
const AT_ONCE: usize = 64;
const FOLLOWERS: u32 = 100;
const RENEWALS: u32 = 500;
/// The size of a lease in bytes.
const LEASE: usize = 120;

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return println!("not measured: `cargo xtask bench nats` does");
    }
    let server = NatsServer::start("always");
    // Waits until the server listens. The following parts do not.
    alone(async { drop(connect(&server).await) });
    node_messages(&server);
    requests(&server);
    follow(&server);
    let relaxed = NatsServer::start("2m");
    alone(async { tell("put, synced every two minutes", &puts(&relaxed, &connect(&relaxed).await).await) });
}

/// One measurement: the rate per second, and the processor time of each item in microseconds.
struct Figure {
    per_second: f64,
    server: f64,
    sender: f64,
    receiver: f64,
}

fn tell(name: &str, figure: &Figure) {
    let Figure { per_second, server, sender, receiver } = figure;
    let line = serde_json::json!({
        "name": name, "per_second": per_second, "server": server, "sender": sender, "receiver": receiver,
    });
    println!("{line}");
}

/// Runs a future on a runtime on this thread.
fn alone<T>(what: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(what)
}

/// Returns the processor time of this thread so far, in microseconds.
fn own_time() -> f64 {
    let account = fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel accounts for this thread");
    account.split_whitespace().next().and_then(|time| time.parse::<f64>().ok()).expect("nanoseconds") / 1e3
}

/// Measures an operation that is repeated many times.
struct Stopwatch<'a> {
    server: &'a NatsServer,
    begun: Instant,
    server_time: f64,
    own_time: f64,
}

impl<'a> Stopwatch<'a> {
    fn start(server: &'a NatsServer) -> Self {
        Self { server, begun: Instant::now(), server_time: server.time(), own_time: own_time() }
    }

    fn stop(&self, times: u32, receiver: f64) -> Figure {
        let times = f64::from(times);
        Figure {
            per_second: times / self.begun.elapsed().as_secs_f64(),
            server: (self.server.time() - self.server_time) / times,
            sender: (own_time() - self.own_time) / times,
            receiver: receiver / times,
        }
    }
}

async fn connect(server: &NatsServer) -> Client {
    let options = async_nats::ConnectOptions::new().retry_on_initial_connect().subscription_capacity(4 * UNDER_WAY);
    let client = options.connect(server.url()).await.expect("an address");
    client.flush().await.expect("a server");
    client
}

/// Measures node messages from one node to another.
fn node_messages(server: &NatsServer) {
    let room = Arc::new(Semaphore::new(UNDER_WAY));
    let (ready, mut is_ready) = mpsc::unbounded_channel();
    let receiver: JoinHandle<f64> = {
        let (url, room) = (server.url(), Arc::clone(&room));
        thread::spawn(move || {
            alone(async move {
                let options = async_nats::ConnectOptions::new().subscription_capacity(4 * UNDER_WAY);
                let client = options.connect(url).await.expect("a server");
                let mut node_messages = client.subscribe("bench.to.node").await.expect("a subscription");
                client.flush().await.expect("a server");
                let before = own_time();
                ready.send(()).expect("a sender");
                for number in 1..=MESSAGES {
                    node_messages.next().await.expect("a message");
                    if number % BATCH == 0 {
                        room.add_permits(BATCH as usize);
                    }
                }
                own_time() - before
            })
        })
    };
    alone(async {
        let client = connect(server).await;
        is_ready.recv().await.expect("a receiver");
        let message = Bytes::from(vec![b'x'; MESSAGE_SIZE]);
        let watch = Stopwatch::start(server);
        for number in 0..MESSAGES {
            if number % BATCH == 0 {
                room.acquire_many(BATCH).await.expect("room").forget();
            }
            client.publish("bench.to.node", message.clone()).await.expect("a server");
        }
        client.flush().await.expect("a server");
        let sent = own_time() - watch.own_time;
        // The NATS client's own task runs on this thread, so the wait must not block it.
        let received = tokio::task::spawn_blocking(move || receiver.join().expect("all node messages")).await;
        let figure = watch.stop(MESSAGES, received.expect("all node messages"));
        tell("node message", &Figure { sender: sent / f64::from(MESSAGES), ..figure });
    });
}

/// Creates a stream with the settings that nodes use.
async fn make_stream(client: &Client, name: &str) {
    let wanted = format!(
        r#"{{"name":"{name}","subjects":["{name}.>"],"retention":"limits","storage":"file","discard":"new","max_msgs_per_subject":1,"num_replicas":1,"allow_msg_ttl":true,"allow_atomic":true,"allow_direct":false}}"#
    );
    let made = client.request(format!("$JS.API.STREAM.CREATE.{name}"), wanted.into()).await.expect("JetStream");
    let made: serde_json::Value = serde_json::from_slice(&made.payload).expect("JSON");
    assert!(made["error"].is_null(), "{made}");
}

/// Replaces the message with that number. Returns the number of the new one.
async fn put(client: &Client, subject: String, after: u64, payload: Bytes) -> u64 {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Expected-Last-Subject-Sequence", after.to_string());
    let answer = client.request_with_headers(subject, headers, payload).await.expect("an answer");
    let answer: serde_json::Value = serde_json::from_slice(&answer.payload).expect("JSON");
    answer["seq"].as_u64().unwrap_or_else(|| panic!("not stored: {answer}"))
}

/// Measures claims. Those of one object are sequential, those of several objects are concurrent.
async fn puts(server: &NatsServer, client: &Client) -> Figure {
    make_stream(client, "objects").await;
    let each = PUTS / u32::try_from(AT_ONCE).expect("few");
    let object = |number: usize| async move {
        let mut sequence = 0;
        for _ in 0..each {
            sequence = put(client, format!("objects.{number}"), sequence, Bytes::from(vec![b'x'; 80])).await;
        }
    };
    let watch = Stopwatch::start(server);
    (0..AT_ONCE).map(object).collect::<FuturesUnordered<_>>().for_each(|()| async {}).await;
    watch.stop(each * u32::try_from(AT_ONCE).expect("few"), 0.0)
}

/// Measures claims, and reads from the stream's leader.
fn requests(server: &NatsServer) {
    alone(async {
        let client = connect(server).await;
        tell("put", &puts(server, &client).await);
        let context = async_nats::jetstream::new(client.clone());
        let objects = &context.get_stream_no_info("objects").await.expect("the stream");
        let read = |number: u32| async move {
            let subject = format!("objects.{}", number as usize % AT_ONCE);
            objects.get_last_raw_message_by_subject(&subject).await.expect("the claim");
        };
        let watch = Stopwatch::start(server);
        stream::iter(0..READS).map(read).buffer_unordered(AT_ONCE).for_each(|()| async {}).await;
        tell("read", &watch.stop(READS, 0.0));
    });
}

/// Measures leases that several nodes follow. Each follower has its own connection and consumer.
fn follow(server: &NatsServer) {
    let (ready, mut is_ready) = mpsc::unbounded_channel();
    let url = server.url();
    alone(async { make_stream(&connect(server).await, "leases").await });
    let followers: JoinHandle<f64> = thread::spawn(move || {
        alone(async move {
            let all: FuturesUnordered<_> = (0..FOLLOWERS).map(|_| follower(url.clone(), ready.clone())).collect();
            let times: Vec<f64> = all.collect().await;
            own_time() - times.into_iter().fold(0.0, f64::max)
        })
    });
    alone(async {
        let client = connect(server).await;
        for _ in 0..FOLLOWERS {
            is_ready.recv().await.expect("a follower");
        }
        let watch = Stopwatch::start(server);
        for node in 0..RENEWALS {
            put(&client, format!("leases.{node}"), 0, Bytes::from(vec![b'x'; LEASE])).await;
        }
        let received = tokio::task::spawn_blocking(move || followers.join().expect("all renewals")).await;
        tell("lease, followed", &watch.stop(RENEWALS * FOLLOWERS, received.expect("all renewals")));
    });
}

/// Receives all renewals. Returns the processor time that its thread had used when it was ready.
async fn follower(url: String, ready: mpsc::UnboundedSender<()>) -> f64 {
    let client = async_nats::connect(url).await.expect("a server");
    let context = async_nats::jetstream::new(client);
    let leases = context.get_stream("leases").await.expect("the stream");
    let wanted = pull::OrderedConfig { deliver_policy: DeliverPolicy::New, ..pull::OrderedConfig::default() };
    let consumer = leases.create_consumer(wanted).await.expect("a consumer");
    let mut renewals = consumer.messages().await.expect("messages");
    let before = own_time();
    ready.send(()).expect("who renews");
    for _ in 0..RENEWALS {
        let renewal = tokio::time::timeout(Duration::from_secs(60), renewals.next()).await;
        renewal.expect("the next renewal in time").expect("a renewal").expect("a renewal");
    }
    before
}
