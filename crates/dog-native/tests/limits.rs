//! What one address may do per second or minute: connections, requests, activations of Groups.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod common;

use common::{connect, start};
use dog_native::{Rate, Running};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::connect_async;

/// The head of the answer to a request for the address of its client.
async fn ask(running: &Running, forwarded_for: &str) -> String {
    let request =
        format!("GET /?whence HTTP/1.1\r\nhost: a\r\nx-forwarded-for: {forwarded_for}\r\nconnection: close\r\n\r\n");
    let mut stream = TcpStream::connect(running.local_addr()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(common::PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer.to_ascii_lowercase()
}

#[tokio::test]
async fn requests_over_the_rate_of_their_address_are_refused_before_the_app() {
    let proxy = "127.0.0.0/8".parse().unwrap();
    let (running, _) =
        start(|server| server.requests_per_address(Rate::per_minute(1).burst(3)).trusted_proxies([proxy])).await;
    for host in ["2001:db8:1:2::1", "2001:db8:1:2:ffff::2", "2001:db8:1:2::3"] {
        let answer = ask(&running, host).await;
        assert!(answer.contains(" 200 "), "{answer}");
    }
    let refused = ask(&running, "2001:db8:1:2::4").await;
    assert!(refused.contains(" 429 ") && refused.contains("\r\nretry-after: "), "{refused}");
    assert!(ask(&running, "2001:db8:1:3::4").await.contains(" 200 "), "another network");
    assert!(ask(&running, "192.0.2.1").await.contains(" 200 "));
    running.shutdown().await;
}

#[tokio::test]
async fn connections_over_the_rate_of_their_address_are_refused() {
    let (running, _) = start(|server| server.connections_per_address(Rate::per_minute(1).burst(2))).await;
    let (_ann, _) = connect(&running, "ann", "r").await;
    assert!(ask(&running, "x").await.contains(" 200 "));
    let mut third = TcpStream::connect(running.local_addr()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(common::PATIENCE, third.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 429 ") && answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
    running.shutdown().await;
}

#[tokio::test]
async fn an_address_brings_two_groups_to_life_and_goes_on_in_those() {
    let (running, _) = start(|server| server.groups_per_address(Rate::per_minute(1).burst(2))).await;
    let (_ann, _) = connect(&running, "ann", "first").await;
    let (_bob, _) = connect(&running, "bob", "second").await;
    let refused = connect_async(format!("ws://{}/?u=cid&room=third", running.local_addr())).await.unwrap_err();
    let tokio_tungstenite::tungstenite::Error::Http(refused) = refused else { panic!("{refused}") };
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["retry-after"], "5");
    let (_cid, _) = connect(&running, "cid", "first").await;
    running.shutdown().await;
}
