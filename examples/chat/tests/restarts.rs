//! The real program is killed and started again with the same folder: nothing that was said is missing, and nobody is announced twice.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use dog_test_support::client::Client;
use dog_test_support::command_line::address_after;
use dog_test_support::process::Process;
use serde_json::{Value, json};

/// Starts it with what is in the folder.
fn start(data: &Path) -> (Process, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat"));
    command.args(["--open", "--workers", "2", "--listen", "127.0.0.1:0", "--data"]).arg(data);
    let running = Process::start(command.stdin(Stdio::null())).expect("it starts");
    let address = address_after(&running, "listening on http://");
    (running, address)
}

async fn enter(address: SocketAddr, query: &str) -> Client {
    Client::connect(address, &format!("/ws?u={query}")).await
}

/// Says something and waits until everybody knows it. Returns its position.
async fn say(client: &mut Client, text: &str) -> (Value, Value) {
    client.send(json!({ "type": "msg", "text": text })).await;
    let said = client.next_of("user:msg").await;
    assert_eq!(said["text"], text);
    (said["epoch"].clone(), said["offset"].clone())
}

#[tokio::test]
async fn what_was_said_outlives_kill_9_and_everybody_goes_on() {
    let data = tempfile::tempdir().expect("a folder");
    let (mut server, mut address) = start(data.path());
    // The position of a room in which nothing was said yet is worth as much as any other.
    let mut ann = enter(address, "ann").await;
    let empty = ann.next().await;
    let epoch = empty["epoch"].as_str().expect("an epoch").to_owned();
    assert_eq!(empty["offset"], 0);
    for round in 0..3 {
        server.kill();
        (server, address) = start(data.path());
        let mut ann = enter(address, &format!("ann&since={epoch}:{}", 2 * round)).await;
        let resumed = ann.next().await;
        assert_eq!((&resumed["recovered"], &resumed["count"]), (&json!(true), &json!(0)), "{resumed}");
        for number in 1..=2 {
            let offset = 2 * round + number;
            assert_eq!(say(&mut ann, &offset.to_string()).await, (json!(epoch), json!(offset)));
        }
    }
    server.kill();
    (server, address) = start(data.path());
    let mut bob = enter(address, &format!("bob&since={epoch}:1")).await;
    assert_eq!(bob.next().await["count"], 5);
    for offset in 2..=6 {
        let said = bob.next_of("user:msg").await;
        assert_eq!((&said["offset"], &said["text"]), (&json!(offset), &json!(offset.to_string())));
    }
    let history = enter(address, "cid").await.next().await;
    assert_eq!(history["messages"].as_array().map(Vec::len), Some(6));
    server.kill();
}

#[tokio::test]
async fn nobody_is_announced_twice_although_the_server_was_killed() {
    let data = tempfile::tempdir().expect("a folder");
    let (mut server, mut address) = start(data.path());
    let mut bob = enter(address, "bob").await;
    assert_eq!(bob.next_of("user:join").await["from"], "bob");
    let _ann = enter(address, "ann").await;
    assert_eq!(bob.next_of("user:join").await["from"], "ann");
    server.kill();
    (server, address) = start(data.path());
    let mut bob = enter(address, "bob").await;
    let mut ann = enter(address, "ann").await;
    say(&mut ann, "all are back").await;
    // cid is new, and is announced after both could have been.
    let _cid = enter(address, "cid").await;
    for client in [&mut bob, &mut ann] {
        let announced = loop {
            let message = client.next().await;
            if matches!(message["type"].as_str(), Some("user:join" | "user:exit")) {
                break message;
            }
        };
        assert_eq!((&announced["type"], &announced["from"]), (&json!("user:join"), &json!("cid")));
    }
    server.kill();
}
