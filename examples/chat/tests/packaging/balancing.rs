//! How Caddy spreads clients over nodes.

use std::collections::BTreeSet;

use dog_test_support::client::{Client, handshake, http, within};
use serde_json::json;
use tokio_tungstenite::connect_async;

use crate::fleet::Fleet;

/// The clients of each node, if they are spread evenly.
const EACH: usize = 4;

/// Opens sockets that stay, says something with the first, and checks that everybody hears it.
async fn enter(fleet: &Fleet) {
    let mut clients = Vec::new();
    for number in 0..EACH * fleet.nodes.len() {
        clients.push(Client::connect(fleet.entry, &format!("/ws?u=user-{number}")).await);
    }
    clients[0].send(json!({ "type": "msg", "text": "hello" })).await;
    for client in &mut clients {
        assert_eq!(client.next_of("user:msg").await["text"], "hello");
    }
}

#[tokio::test]
async fn without_stickiness_each_node_has_as_many_sockets_as_the_others_and_all_hear_each_other() {
    let fleet = Fleet::start("even").await;
    let before = fleet.connections().await;
    enter(&fleet).await;
    let after = fleet.connections().await;
    let opened: Vec<u64> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
    assert_eq!(opened, [EACH as u64; 3], "{}", fleet.logged());
    let answer = http(fleet.entry, "GET", "/session", "").await;
    assert!(!answer.head.contains("set-cookie"), "{}", answer.head);
}

#[tokio::test]
async fn with_stickiness_a_client_comes_back_to_its_node_by_a_cookie_that_the_handshake_gives_it() {
    let fleet = Fleet::start("sticky").await;
    enter(&fleet).await;
    let mut cookies = BTreeSet::new();
    // Each new client goes to the node with the fewest sockets.
    let mut sockets = Vec::new();
    for number in 0..fleet.nodes.len() {
        let request = handshake(fleet.entry, &format!("/ws?u=new-{number}"));
        let (socket, response) = within("the handshake", connect_async(request)).await.unwrap();
        let cookie = response.headers()["set-cookie"].to_str().unwrap();
        cookies.insert(cookie.split(';').next().unwrap().to_owned());
        sockets.push(socket);
    }
    assert_eq!(cookies.len(), fleet.nodes.len(), "one cookie per node: {}", fleet.logged());
    for cookie in cookies {
        comes_back(&fleet, &cookie).await;
    }
}

/// Checks that every connection with this cookie goes to one node.
async fn comes_back(fleet: &Fleet, cookie: &str) {
    const TIMES: u64 = 5;
    let before = fleet.connections().await;
    for number in 0..TIMES {
        let mut request = handshake(fleet.entry, &format!("/ws?u=back-{number}"));
        request.headers_mut().insert("cookie", cookie.parse().unwrap());
        Client::open(request).await.unwrap().close().await;
    }
    let after = fleet.connections().await;
    let mut opened: Vec<u64> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
    opened.sort_unstable();
    assert_eq!(opened, [0, 0, TIMES], "{cookie}: {}", fleet.logged());
}
