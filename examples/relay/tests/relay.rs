//! The relay's protocol: everyone in the room receives every message unchanged, and no one else does.

use std::net::SocketAddr;

use dog::{Env, Limit};
use dog_native::{Running, Server};
use dog_test_support::client::{Client, http};
use dog_test_support::command_line;
use relay::Relay;
use tokio_tungstenite::tungstenite::Message;

async fn start(limit: u32) -> (Running, SocketAddr) {
    let server = Server::new(Relay).env(Env::new().with(Limit::new(limit))).bind("127.0.0.1:0").workers(2);
    let running = server.start().await.expect("a port is free");
    let address = running.local_addr();
    (running, address)
}

/// Opens a socket of one room for each path. Returns when all sockets are in the room: a client may complete the
/// handshake before the room has its socket, and would then miss messages.
async fn gather(address: SocketAddr, paths: &[&str]) -> Vec<Client> {
    let mut room = Vec::new();
    for path in paths {
        let mut client = Client::connect(address, path).await;
        let here = Message::text(format!("here: {}", room.len()));
        client.send_raw(here.clone()).await;
        room.push(client);
        for client in &mut room {
            while client.next_raw().await != here {}
        }
    }
    room
}

/// Returns text and binary messages with lengths around each step of the frame header.
fn messages() -> Vec<Message> {
    [0, 1, 125, 126, 127, 65_535, 65_536, 200_000]
        .into_iter()
        .flat_map(|length| [Message::text("ä".repeat(length / 2)), Message::binary(vec![0xfe; length])])
        .collect()
}

#[tokio::test]
async fn everyone_in_the_room_gets_every_message_the_sender_too() {
    // All on one Replica, two per Replica, and one per Replica.
    for limit in [100, 2, 1] {
        let (_running, address) = start(limit).await;
        let paths = ["a", "b", "b", "c", "d"].map(|client| format!("/ws?u={client}&room=one"));
        let mut room = gather(address, &paths.each_ref().map(String::as_str)).await;
        let mut outside = Client::connect(address, "/ws?u=a&room=two").await;
        for message in messages() {
            room[1].send_raw(message.clone()).await;
            for client in &mut room {
                assert_eq!(client.next_raw().await, message);
            }
        }
        outside.send_raw(Message::text("alone")).await;
        assert_eq!(outside.next_raw().await, Message::text("alone"));
    }
}

#[tokio::test]
async fn what_one_sends_arrives_in_order() {
    let (_running, address) = start(1).await;
    let mut room = gather(address, &["/ws?u=ann&room=one", "/ws?u=bob&room=one"]).await;
    for number in 0..500 {
        room[0].send_raw(Message::text(number.to_string())).await;
    }
    for client in &mut room {
        for number in 0..500 {
            assert_eq!(client.next_raw().await, Message::text(number.to_string()));
        }
    }
}

#[tokio::test]
async fn without_a_room_it_is_an_echo() {
    let (_running, address) = start(100).await;
    let mut ann = Client::connect(address, "/ws").await;
    let mut bob = Client::connect(address, "/ws").await;
    for message in messages() {
        ann.send_raw(message.clone()).await;
        assert_eq!(ann.next_raw().await, message);
    }
    bob.send_raw(Message::text("bob's own")).await;
    assert_eq!(bob.next_raw().await, Message::text("bob's own"));
}

#[tokio::test]
async fn without_an_identifier_everyone_is_somebody_else() {
    let (_running, address) = start(1).await;
    let mut room = gather(address, &["/ws?room=one", "/ws?room=one"]).await;
    room[0].send_raw(Message::text("hello")).await;
    for client in &mut room {
        assert_eq!(client.next_raw().await, Message::text("hello"));
    }
}

#[tokio::test]
async fn bad_requests_are_told_what_is_wrong() {
    let (_running, address) = start(1).await;
    let too_long = format!("/ws?u={}", "x".repeat(257));
    for (method, path, status) in [
        ("GET", "/", 404),
        ("GET", "/ws?u=&room=one", 400),
        ("GET", &too_long, 400),
        ("GET", "/ws", 426),
        ("POST", "/ws", 405),
    ] {
        assert_eq!(http(address, method, path, "").await.status, status, "{method} {path}");
    }
}

#[tokio::test]
async fn the_command_line_says_what_is_wrong() {
    let program = env!("CARGO_BIN_EXE_relay");
    command_line::check_command_line(program).await;
    command_line::misused(program, &["--limit", "0"], "--limit <SEATS>");
    command_line::refused(program, &["--workers", "0"], "workers");
    command_line::refused(program, &["--max-message", "0"], "max_message");
    command_line::refused(program, &["--max-outbox", "0"], "max_outbox");
}

#[tokio::test]
async fn its_operator_sees_it_and_ends_it() {
    command_line::check_operating(env!("CARGO_BIN_EXE_relay"), &[], "/ws?u=user{}&room=r").await;
}

#[tokio::test]
async fn it_speaks_tls() {
    command_line::check_tls(env!("CARGO_BIN_EXE_relay")).await;
}
