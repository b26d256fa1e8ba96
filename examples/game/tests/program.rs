//! The game over real connections.

use std::net::SocketAddr;
use std::time::Duration;

use dog::{Env, Limit};
use dog_native::{Running, Server};
use dog_test_support::client::{Client, http, within};
use dog_test_support::command_line;
use game::app::Arcade;
use tokio_tungstenite::tungstenite::Message;

/// Starts a server that would wait for an hour until it ends tasks.
async fn start() -> (Running, SocketAddr) {
    let server = Server::new(Arcade)
        .drain_within(Duration::from_secs(3600))
        .env(Env::new().with(Limit::new(4)))
        .bind("127.0.0.1:0")
        .workers(2);
    let running = server.start().await.expect("a port is free");
    let address = running.local_addr();
    (running, address)
}

/// The next snapshot.
async fn snapshot(client: &mut Client) -> Vec<u8> {
    loop {
        if let Message::Binary(bytes) = client.next_raw().await {
            return bytes.to_vec();
        }
    }
}

/// Where the first player is.
fn first(snapshot: &[u8]) -> u16 {
    u16::from_le_bytes([snapshot[9], snapshot[10]])
}

#[tokio::test]
async fn two_players_see_each_other_run() {
    let (_running, address) = start().await;
    let mut ann = Client::connect(address, "/ws?u=ann").await;
    assert_eq!(ann.next_of("you").await["slot"], 0);
    let mut bob = Client::connect(address, "/ws?u=bob").await;
    assert_eq!(bob.next_of("you").await["slot"], 1);
    let before = first(&snapshot(&mut bob).await);
    // To the side where there is more room.
    let (key, is_on): (u8, fn(u16, u16) -> bool) =
        if before < 400 { (8, |x, from| x > from) } else { (4, |x, from| x < from) };
    ann.send_raw(Message::binary(vec![key])).await;
    for client in [&mut ann, &mut bob] {
        while !is_on(first(&snapshot(client).await), before) {}
    }
}

#[tokio::test]
async fn the_loop_does_not_hold_up_the_end_of_the_server() {
    let (running, address) = start().await;
    let mut ann = Client::connect(address, "/ws?u=ann").await;
    snapshot(&mut ann).await;
    let closed = async move { while !matches!(ann.next_raw().await, Message::Close(_)) {} };
    within("the end of the server", async { tokio::join!(running.shutdown(), closed) }).await;
}

#[tokio::test]
async fn the_page_is_there() {
    let (_running, address) = start().await;
    let page = http(address, "GET", "/", "").await;
    assert!(page.body.contains("canvas"), "{page:?}");
    let module = http(address, "GET", "/dog.js", "").await;
    assert!(module.head.contains("content-type: text/javascript; charset=utf-8"), "{}", module.head);
    assert_eq!(module.body, include_str!("../../../clients/js/dog.js"));
}

#[tokio::test]
async fn it_speaks_tls() {
    command_line::check_tls(env!("CARGO_BIN_EXE_game")).await;
}
