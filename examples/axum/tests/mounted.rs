//! Real WebSockets through an axum router that also has its own routes.

use std::net::SocketAddr;

use dog_native::Server;
use dog_test_support::client::{Client, http};
use dog_test_support::command_line;
use mounted_in_axum::{Rooms, router};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

async fn start() -> SocketAddr {
    let server = Server::new(Rooms).workers(2);
    let handle = server.handle();
    let application = router(server.service().expect("the configuration is valid"), handle);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("an address");
    let application = application.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, application).await });
    address
}

/// Enters a room and reads its welcome message.
async fn enter(address: SocketAddr, room: &str, name: &str) -> Client {
    let mut client = Client::connect(address, &format!("/rooms/{room}?u={name}")).await;
    assert_eq!(client.next_raw().await, Message::text(format!("welcome, {name} from 127.0.0.1")));
    client
}

#[tokio::test]
async fn axum_keeps_its_own_routes() {
    let address = start().await;
    let answer = http(address, "GET", "/health", "").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    assert_eq!(http(address, "GET", "/elsewhere", "").await.status, 404);
}

#[tokio::test]
async fn rooms_talk_through_axum() {
    let address = start().await;
    // A Replica has two seats, so cid is on another one.
    let mut ann = enter(address, "kitchen", "ann").await;
    let mut bob = enter(address, "kitchen", "bob").await;
    let mut cid = enter(address, "kitchen", "cid").await;
    let mut dee = enter(address, "garden", "dee").await;
    let mut eve = enter(address, "garden", "eve").await;
    ann.send_raw(Message::text("tea?")).await;
    for client in [&mut bob, &mut cid] {
        assert_eq!(client.next_raw().await, Message::text("ann: tea?"));
    }
    dee.send_raw(Message::text("rain")).await;
    assert_eq!(eve.next_raw().await, Message::text("dee: rain"));
    bob.send_raw(Message::text("yes")).await;
    assert_eq!(ann.next_raw().await, Message::text("bob: yes"));
    cid.close().await;
}

#[tokio::test]
async fn a_handler_of_axum_announces_to_a_room() {
    let address = start().await;
    let mut ann = enter(address, "kitchen", "ann").await;
    let mut bob = enter(address, "kitchen", "bob").await;
    let mut cid = enter(address, "kitchen", "cid").await;
    let mut dee = enter(address, "garden", "dee").await;
    let answer = http(address, "POST", "/announce/kitchen", "dinner").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "3 sockets have it\n"));
    for client in [&mut ann, &mut bob, &mut cid] {
        assert_eq!(client.next_raw().await, Message::text("announcement: dinner"));
    }
    let answer = http(address, "POST", "/announce/cellar", "boo").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "0 sockets have it\n"));
    let answer = http(address, "POST", "/announce/garden", "rain").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "1 sockets have it\n"));
    assert_eq!(dee.next_raw().await, Message::text("announcement: rain"), "all that dee hears");
}

#[tokio::test]
async fn what_is_wrong_is_told_through_axum_too() {
    let address = start().await;
    let answer = http(address, "GET", "/rooms/kitchen", "").await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("client identifier"), "{}", answer.body);
    assert_eq!(http(address, "GET", "/rooms/kitchen?u=ann", "").await.status, 426);
    assert_eq!(http(address, "POST", "/rooms/kitchen?u=ann", "").await.status, 405);
}

#[tokio::test]
async fn the_command_line_says_what_is_wrong() {
    let program = env!("CARGO_BIN_EXE_mounted-in-axum");
    command_line::check_command_line(program).await;
}
