//! What rooms cost: rooms that nobody enters, and more rooms than the server may have.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{PATIENCE, connect, start};
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Error;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::{Layer, registry};

/// Counts the log lines of level WARN and above.
struct Loud(Arc<AtomicUsize>);

impl<S: tracing::Subscriber> Layer<S> for Loud {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() <= tracing::Level::WARN {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Requests a socket, and resets the connection before the server can answer.
async fn abandon(address: SocketAddr, client: String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /?u={client}&room=r HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

async fn figure(admin: SocketAddr, name: &str) -> f64 {
    let mut stream = TcpStream::connect(admin).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let samples = text.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit_once(' '));
    samples.map(|(_, value)| value.parse::<f64>().unwrap()).sum()
}

#[tokio::test]
async fn abandoned_handshakes_leave_neither_tickets_nor_a_crowd_of_replicas() {
    const TOGETHER: usize = 40;
    let loud = Arc::<AtomicUsize>::default();
    tracing::subscriber::set_global_default(registry().with(Loud(Arc::clone(&loud)))).unwrap();
    let (running, journal) = start(|server| server.admin("127.0.0.1:0")).await;
    let loud_before = loud.load(Ordering::Relaxed);
    for wave in 0..75 {
        let address = running.local_addr();
        join_all((0..TOGETHER).map(|at| abandon(address, format!("client-{wave}-{at}")))).await;
        // The next wave begins when this one is done with. The size of the cluster depends on how many clients are
        // there at once.
        let admin = running.admin_addr().unwrap();
        let done = async {
            while figure(admin, "dog_tickets").await + figure(admin, "dog_seats").await > 0.0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(8), done).await.expect("unused tickets and seats become free at once");
    }
    let made = journal.clusterized.load(Ordering::Relaxed);
    assert!(made <= 4 * TOGETHER, "{made} Replicas were made for clients that left");
    assert_eq!(loud.load(Ordering::Relaxed), loud_before, "a client that leaves causes no warning");
    running.shutdown().await;
}

#[tokio::test]
async fn beyond_the_most_objects_new_rooms_are_refused_and_those_that_are_there_go_on() {
    let (running, journal) = start(|server| server.workers(1).max_objects(6).admin("127.0.0.1:0")).await;
    let mut here = Vec::new();
    for room in ["a", "b", "c"] {
        here.push(connect(&running, "ann", room).await);
    }
    // The first needs a new room. The second needs one more Replica of a room that exists.
    here.push(connect(&running, "bob", "a").await);
    for (client, room) in [("ann", "d"), ("cid", "a")] {
        let url = format!("ws://{}/?u={client}&room={room}", running.local_addr());
        let Err(Error::Http(refusal)) = connect_async(url).await else { panic!("the request was not refused") };
        assert_eq!(refusal.status(), 503);
        assert_eq!(refusal.headers()["retry-after"], "5");
    }
    assert_eq!(figure(running.admin_addr().unwrap(), "dog_objects_refused_total").await, 2.0);
    // A client is let in where a room that exists has a free seat.
    connect(&running, "dan", "b").await;
    journal.sees("open dan").await;
    drop(here);
    tokio::time::timeout(PATIENCE, running.shutdown()).await.unwrap();
}
