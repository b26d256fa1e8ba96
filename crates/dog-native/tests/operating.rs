//! What an operator sees of the server: metrics, health and readiness.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod common;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use common::{Ask, PATIENCE, close_code, connect, next, say, start};
use dog_native::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::connect_async;

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Reads all samples. Those of several workers are added up, under their name without the label for the worker.
async fn metrics(address: SocketAddr) -> BTreeMap<String, f64> {
    let (status, text) = get(address, "/metrics").await;
    assert_eq!(status, 200);
    let mut samples = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let series = ["0", "1"].iter().fold(series.to_owned(), |series, worker| {
            let label = format!("worker=\"{worker}\"");
            series.replace(&format!("{label},"), "").replace(&format!("{{{label}}}"), "")
        });
        *samples.entry(series).or_default() += value.parse::<f64>().unwrap();
    }
    samples
}

/// The same, once both workers are part of it. A worker that does not answer in time is left out of a report.
async fn whole_metrics(address: SocketAddr) -> BTreeMap<String, f64> {
    until("both workers", || metrics(address), |metrics| metrics["dog_worker_up"] == 2.0).await
}

/// Asks until the answer is right. Some counts change a little later than a client sees the effect.
async fn until<T, F: Future<Output = T>>(what: &str, ask: impl Fn() -> F, right: impl Fn(&T) -> bool) -> T {
    let asking = async {
        loop {
            let answer = ask().await;
            if right(&answer) {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

#[tokio::test]
async fn what_is_over_the_rate_of_a_socket_is_counted() {
    let (running, _) = start(|server| server.admin("127.0.0.1:0")).await;
    let admin = running.admin_addr().unwrap();
    let mut clients = Vec::new();
    for room in ["delay", "drop", "close"] {
        let (mut client, _) = connect(&running, "ann", room).await;
        for _ in 0..4 {
            say(&mut client, &"x".repeat(1000)).await;
        }
        for _ in 0..2 {
            assert_eq!(next(&mut client).await.len(), 1000, "{room}");
        }
        clients.push(client);
    }
    assert_eq!(close_code(&mut clients[2]).await, 1008);
    let dropped = |metrics: &BTreeMap<String, f64>| metrics["dog_messages_over_rate_dropped_total"] == 2.0;
    let counted = until("the messages", || whole_metrics(admin), dropped).await;
    assert_eq!(counted["dog_messages_delayed_total"], 1.0, "the last one waits behind it");
    assert_eq!(counted["dog_sockets_over_rate_total"], 1.0);
    running.shutdown().await;
}

#[tokio::test]
async fn what_sockets_do_is_counted() {
    let (running, journal) = start(|server| server.admin("127.0.0.1:0").max_outbox(256 * 1024)).await;
    let admin = running.admin_addr().unwrap();
    let (mut ann, _) = connect(&running, "ann", "r").await;
    let (mut bob, _) = connect(&running, "bob", "r").await;
    let (mut cid, _) = connect(&running, "cid", "r").await;
    say(&mut ann, "hello").await;
    for client in [&mut ann, &mut bob, &mut cid] {
        next(client).await;
    }
    let seats = |metrics: &BTreeMap<String, f64>| metrics["dog_seats{class=\"pair\"}"] == 3.0;
    let counted = until("the seats", || whole_metrics(admin), seats).await;
    // Each client received its Replica's id when it opened. Then one message went to all three clients, on two
    // Replicas.
    assert_eq!(counted["dog_deliveries_total"], 6.0);
    assert_eq!(counted["dog_messages_sent_total"], 5.0);
    assert_eq!(counted["dog_messages_received_total"], 1.0);
    assert_eq!(counted["dog_socket_received_bytes_total"], (2 + 4 + 5) as f64);
    assert_eq!(counted["dog_socket_sent_bytes_total"], (3 * (2 + 64 + 2 + 5)) as f64);
    assert_eq!(counted["dog_sockets{state=\"open\"}"], 3.0);
    assert_eq!(counted["dog_sockets_opened_total"], 3.0);
    assert_eq!((counted["dog_connections_accepted_total"], counted["dog_requests_total"]), (3.0, 3.0));
    assert_eq!(counted["dog_objects{class=\"pair\",kind=\"replica\",state=\"awake\"}"], 2.0);
    assert_eq!(counted["dog_objects{class=\"pair\",kind=\"group\",state=\"awake\"}"], 1.0);
    assert_eq!(counted["dog_members{class=\"pair\",state=\"active\"}"], 2.0);
    assert_eq!(counted["dog_worker_up"], 2.0);
    assert!(counted["dog_storage_commit_seconds_count"] >= 1.0, "the members are stored");

    say(&mut bob, "panic").await;
    close_code(&mut bob).await;
    say(&mut cid, "flood nonsense").await;
    assert_eq!(close_code(&mut cid).await, 1011);
    // An error about another client's socket fails the handler like any other error.
    let (mut dan, _) = connect(&running, "dan", "t").await;
    let (mut eve, _) = connect(&running, "eve", "t").await;
    say(&mut dan, "outlast").await;
    assert_eq!((close_code(&mut eve).await, close_code(&mut dan).await), (1000, 1011));
    let (mut slow, _) = connect(&running, "slow", "s").await;
    say(&mut slow, "flood 1000").await;
    journal.sees("error slow slow").await;
    assert!(connect_async(format!("ws://{}/?panic=1", running.local_addr())).await.is_err());
    let counted = whole_metrics(admin).await;
    assert_eq!(counted["dog_handler_panics_total"], 2.0);
    assert_eq!(counted["dog_handler_failures_total"], 2.0);
    assert_eq!(counted["dog_slow_consumers_total"], 1.0);
    assert_eq!(counted["dog_requests_failed_total"], 1.0);
    running.shutdown().await;
}

/// What lasts is counted while it lasts: tasks, event streams, calls.
#[tokio::test]
async fn tasks_streams_and_calls_are_counted() {
    let (running, journal) = start(|server| server.admin("127.0.0.1:0")).await;
    let admin = running.admin_addr().unwrap();
    let names =
        ["dog_tasks", "dog_event_streams", "dog_calls_in_progress", "dog_calls_total", "dog_calls_failed_total"];
    let counts = |metrics: &BTreeMap<String, f64>| names.map(|name| metrics[name]);
    assert_eq!(counts(&whole_metrics(admin).await), [0.0; 5]);
    let (mut ann, _) = connect(&running, "ann", "r").await;
    say(&mut ann, "task").await;
    say(&mut ann, "task").await;
    // There are two seats per Replica, so the stream is on another.
    let (_bob, _) = connect(&running, "bob", "r").await;
    let mut stream = TcpStream::connect(running.local_addr()).await.unwrap();
    stream.write_all(b"GET /events?u=cid&room=r HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    let group = running.handle().group::<common::Pair>("r");
    group.call(&Ask::Answer).await.unwrap();
    assert!(group.call(&Ask::Fail).await.unwrap_err().is_handler());
    let mut waiting = group.call(&Ask::Wait);
    assert!(futures_util::poll!(&mut waiting).is_pending());
    let right = |metrics: &BTreeMap<String, f64>| counts(metrics) == [2.0, 1.0, 1.0, 3.0, 1.0];
    until("what has begun", || whole_metrics(admin), right).await;
    journal.gate.notify_one();
    waiting.await.unwrap();
    drop(stream);
    // The life of the Replica ends with its tasks.
    say(&mut ann, "panic").await;
    let right = |metrics: &BTreeMap<String, f64>| counts(metrics) == [0.0, 0.0, 0.0, 3.0, 1.0];
    until("what has ended", || whole_metrics(admin), right).await;
    // An event stream of a life that ends is counted no more either.
    let mut stream = TcpStream::connect(running.local_addr()).await.unwrap();
    stream.write_all(b"GET /events?u=dan&room=s HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    let open = |metrics: &BTreeMap<String, f64>| metrics["dog_event_streams"] == 1.0;
    until("the stream", || whole_metrics(admin), open).await;
    let (mut eve, _) = connect(&running, "eve", "s").await;
    say(&mut eve, "panic").await;
    let ended = |metrics: &BTreeMap<String, f64>| metrics["dog_event_streams"] == 0.0;
    until("its end", || whole_metrics(admin), ended).await;
    running.shutdown().await;
}

#[tokio::test]
async fn hibernating_objects_are_told_from_those_awake() {
    let (running, _) = start(|server| server.admin("127.0.0.1:0").hibernate_after(Duration::ZERO)).await;
    let admin = running.admin_addr().unwrap();
    let (_ann, _) = connect(&running, "ann", "r").await;
    let hibernates = |metrics: &BTreeMap<String, f64>| {
        metrics["dog_objects{class=\"pair\",kind=\"replica\",state=\"hibernating\"}"] == 1.0
            && metrics["dog_sockets{state=\"open\"}"] == 1.0
    };
    until("the hibernation", || whole_metrics(admin), hibernates).await;
    running.shutdown().await;
}

#[tokio::test]
async fn readiness_ends_with_the_drain_and_the_address_with_the_server() {
    let (running, _) = start(|server| server.admin("127.0.0.1:0")).await;
    let admin = running.admin_addr().unwrap();
    assert_eq!(get(admin, "/readyz").await, (200, "ready\n".into()));
    assert_eq!(get(admin, "/healthz").await, (200, "ok\n".into()));
    assert_eq!(get(admin, "/").await.0, 404);
    // This client never answers the close, so the shutdown takes all the time that it may.
    let (_client, _) = connect(&running, "ann", "r").await;
    let mut end = Box::pin(running.shutdown());
    assert!(futures_util::poll!(&mut end).is_pending());
    assert_eq!(get(admin, "/readyz").await, (503, "draining\n".into()));
    assert_eq!(get(admin, "/healthz").await.0, 200);
    end.await;
    assert!(TcpStream::connect(admin).await.is_err());
}

#[tokio::test]
async fn a_handler_that_keeps_its_thread_is_named() {
    let set = |server: Server<common::Test>| server.admin("127.0.0.1:0").stuck_after(Duration::from_secs(2));
    let (running, journal) = start(set).await;
    let admin = running.admin_addr().unwrap();
    let (mut client, replica) = connect(&running, "ann", "r").await;
    let let_go = journal.keep_the_next();
    say(&mut client, "keep").await;
    let (_, why) = until("the report", || get(admin, "/healthz"), |(status, _)| *status == 503).await;
    assert!(why.contains(&replica) && why.contains("\"pair\""), "{why} names {replica}");
    // The report has the figures of the other worker, and none for this one.
    until("the other worker", || metrics(admin), |metrics| metrics["dog_worker_up"] == 1.0).await;
    drop(let_go);
    until("its return", || get(admin, "/healthz"), |(status, _)| *status == 200).await;
    running.shutdown().await;
}

#[tokio::test]
async fn an_admin_address_in_use_is_told_in_one_line() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let server = Server::new(common::Test).bind("127.0.0.1:0").admin(&address);
    let error = server.start().await.expect_err("the address is taken");
    assert_eq!(error.to_string(), format!("admin: {address} is in use by another program"));
}
