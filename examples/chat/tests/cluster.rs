//! A user who was removed, on two nodes over NATS.

use std::time::{Duration, Instant};

use dog_test_support::nats::{NatsServers, Settings};
use program::{Program, closed};

mod program;

#[tokio::test]
async fn who_was_removed_at_one_node_is_out_of_every_node_within_a_second() {
    let (servers, folder) = (NatsServers::start(1, Settings::default()), tempfile::tempdir().expect("a folder"));
    let url = servers.url();
    let flags = ["--cluster", &url, "--limit", "1"];
    let nodes = [Program::start(folder.path(), &flags), Program::start(folder.path(), &flags)];
    // One seat per Replica, so ann has two of them.
    let ann = nodes[0].log_in("ann").await;
    let bob = nodes[1].log_in("bob").await;
    let mut sockets = Vec::new();
    for node in &nodes {
        sockets.push(node.enter(&ann).await.expect("a session counts on every node"));
    }
    // A user who comes and goes within a tick of the presence is not announced.
    assert_eq!(sockets[0].next_of("user:join").await["from"], "ann");
    let mut stays = nodes[0].enter(&bob).await.expect("a session");

    assert_eq!(nodes[1].remove("ann").await, r#"{"sockets":2}"#);
    let told = Instant::now();
    for socket in &mut sockets {
        assert_eq!(closed(socket).await, 4003);
    }
    for node in &nodes {
        assert_eq!(node.enter(&ann).await.err(), Some(4403));
    }
    assert!(told.elapsed() < Duration::from_secs(1), "{:?}", told.elapsed());
    assert_eq!(stays.next_of("user:exit").await["from"], "ann");
}
