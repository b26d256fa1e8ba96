//! How Caddy spreads clients over nodes.

use std::collections::BTreeSet;

use dog_test_support::client::http;

use crate::entering::{Socket, enter, heard, say};
use crate::fleet::Fleet;

/// The clients of each node, if they are spread evenly.
const EACH: u64 = 4;

/// Opens sockets, says something with the first, and checks that everybody hears it. Returns the sockets.
async fn everybody_enters(fleet: &Fleet) -> Vec<Socket> {
    let mut sockets = Vec::new();
    for number in 0..EACH * fleet.nodes.len() as u64 {
        sockets.push(enter(fleet.entry, &format!("user-{number}"), None).await.socket);
    }
    say(&mut sockets[0], "hello").await;
    for socket in &mut sockets {
        assert_eq!(heard(socket).await, "hello");
    }
    sockets
}

/// How many connections each node has accepted while something was done.
async fn accepted<T>(fleet: &Fleet, doing: impl Future<Output = T>) -> (Vec<u64>, T) {
    let before = fleet.connections().await;
    let done = doing.await;
    let after = fleet.connections().await;
    (after.iter().zip(&before).map(|(after, before)| after - before).collect(), done)
}

#[tokio::test]
async fn without_stickiness_each_node_has_as_many_sockets_as_the_others_and_all_hear_each_other() {
    let fleet = Fleet::start("even").await;
    let (accepted, _sockets) = accepted(&fleet, everybody_enters(&fleet)).await;
    // More where a handshake was refused: it was tried again.
    assert!(accepted.iter().all(|count| *count >= EACH), "{accepted:?}: {}", fleet.logged());
    let answer = http(fleet.entry, "GET", "/session", "").await;
    assert!(!answer.head.contains("set-cookie"), "{}", answer.head);
}

#[tokio::test]
async fn with_stickiness_a_client_comes_back_to_its_node_by_a_cookie_that_the_handshake_gives_it() {
    let fleet = Fleet::start("sticky").await;
    let _sockets = everybody_enters(&fleet).await;
    // Each new client goes to the node with the fewest sockets.
    let (mut cookies, mut sockets) = (BTreeSet::new(), Vec::new());
    for number in 0..fleet.nodes.len() {
        let entered = enter(fleet.entry, &format!("new-{number}"), None).await;
        cookies.insert(entered.cookie.expect("a cookie"));
        sockets.push(entered.socket);
    }
    assert_eq!(cookies.len(), fleet.nodes.len(), "one cookie per node: {}", fleet.logged());
    for cookie in cookies {
        let (mut accepted, ()) = accepted(&fleet, comes_back(&fleet, &cookie)).await;
        accepted.sort_unstable();
        assert!(matches!(accepted[..], [0, 0, count] if count >= EACH), "{cookie}: {accepted:?}: {}", fleet.logged());
    }
}

/// Opens sockets with this cookie, and closes them.
async fn comes_back(fleet: &Fleet, cookie: &str) {
    for number in 0..EACH {
        let mut entered = enter(fleet.entry, &format!("back-{number}"), Some(cookie)).await;
        entered.socket.close(None).await.unwrap();
    }
}
