//! A client that sends as fast as it can, in a room whose members all read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::app::Hall;
use crate::client::{Client, frame};

/// Starts a client that sends without end and reads what comes. Returns the number of bytes that it has sent, which
/// grows.
async fn flood(clients: &mut JoinSet<()>, address: SocketAddr) -> Arc<AtomicUsize> {
    let written = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&written);
    let client = Client::open(address, "loud", "flooder").await;
    let (reading, mut writing) = tokio::io::split(client.into_stream());
    clients.spawn(async move {
        let frames = frame(0x82, &[7; 200]).repeat(300);
        while writing.write_all(&frames).await.is_ok() {
            counted.fetch_add(frames.len(), Ordering::Relaxed);
        }
    });
    clients.spawn(read(reading));
    written
}

/// Reads until the connection ends. It yields after each read, so that all readers of this thread get their turn.
async fn read(mut stream: impl AsyncRead + Unpin) {
    let mut buffer = vec![0; 64 * 1024];
    while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
        tokio::task::yield_now().await;
    }
}

/// Starts a member of the loud room that reads all that it receives.
async fn listen(clients: &mut JoinSet<()>, address: SocketAddr, name: &str) {
    let client = Client::open(address, "loud", name).await;
    clients.spawn(read(client.into_stream()));
}

#[tokio::test]
async fn a_flood_keeps_nobody_waiting_but_its_sender() {
    let mut hall = Hall::open(1000, |server| server).await;
    let address = hall.running.local_addr();
    let mut quiet = Client::open(address, "quiet", "quiet").await;
    let mut clients = JoinSet::new();
    for at in 0..40 {
        listen(&mut clients, address, &format!("reader{at}")).await;
    }
    let written = flood(&mut clients, address).await;
    let before = written.load(Ordering::Relaxed);
    // The flood has no end. If the server served it first, the answers to the quiet client would never come.
    for _ in 0..30 {
        quiet.say("ping").await;
        assert_eq!(quiet.hear().await, "pong");
    }
    let mut request = TcpStream::connect(address).await.unwrap();
    request.write_all(b"GET /hello HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(crate::PATIENCE, request.read_to_string(&mut answer)).await;
    read.expect("an answer in time").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    quiet.say("alarm").await;
    assert_eq!(quiet.hear().await, "rang");
    assert!(written.load(Ordering::Relaxed) > before, "the flood has stopped");
    assert_eq!(hall.seen(), Vec::<String>::new(), "a socket was closed");
    clients.shutdown().await;
    hall.running.shutdown().await;
}
