//! The errors of a node that cannot join a cluster. Each is one line.

use std::time::Duration;

use dog_conformance::app::TestApp;
use dog_native::{Error, Server};
use dog_nats::Nats;
use dog_test_support::nats::free_port;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::Rooms;
use crate::server::NatsServers;

async fn refused(nats: Nats) -> Error {
    let server = Server::new(TestApp).bind("127.0.0.1:0").workers(1).cluster(nats.patience(Duration::from_secs(2)));
    server.start().await.expect_err("the node cannot join")
}

fn says(error: &Error, words: &str) {
    assert!(error.is_cluster() && error.to_string().contains(words), "{error}");
    assert!(!error.to_string().contains('\n'), "{error}");
}

#[tokio::test]
async fn a_nats_that_cannot_be_reached_is_retried_and_named() {
    says(&refused(Nats::connect("nats://127.0.0.1:1")).await, "NATS at nats://127.0.0.1:1 cannot be reached");
    says(
        &refused(Nats::connect("nonsense://x:y")).await,
        "address 1 of 1 of NATS: it is not valid: give nats://HOST:PORT",
    );
}

#[tokio::test]
async fn settings_out_of_range_are_named() {
    says(&refused(Nats::connect("nats://127.0.0.1:1").prefix("a.b")).await, "prefix: \"a.b\" is not valid");
    let lease = Duration::from_millis(1500);
    says(&refused(Nats::connect("nats://127.0.0.1:1").lease(lease)).await, "lease: 1.5s is out of range");
}

#[tokio::test]
async fn jetstream_that_is_off_is_named() {
    let nats = NatsServers::start(1, "# no jetstream");
    says(&refused(Nats::connect(nats.url())).await, "JetStream is off in NATS: start nats-server with -js");
}

#[tokio::test]
async fn a_rejected_login_and_a_denied_permission_are_named() {
    let users = "authorization { users: [ { user: dog, password: right }, { user: reader, password: right, \
        permissions: { publish: [\"$JS.API.INFO\"], subscribe: [\"_INBOX.>\"] } } ] }";
    let nats = NatsServers::start(1, users);
    says(&refused(Nats::connect(nats.url()).user_and_password("dog", "wrong")).await, "rejects the login of this node");
    says(&refused(Nats::connect(nats.url()).user_and_password("reader", "right")).await, "NATS denies a permission");
}

#[tokio::test]
async fn unauthenticated_connections_to_a_node_are_closed() {
    let nats = NatsServers::start(1, "");
    let address = format!("127.0.0.1:{}", free_port());
    let server =
        Server::new(Rooms).bind("127.0.0.1:0").workers(1).advertise(&address).cluster(Nats::connect(nats.url()));
    let node = server.start().await.expect("the node starts");
    for said in [&[0; 64][..], b"GET / HTTP/1.1\r\nhost: dog\r\ndog-head: AA==\r\n\r\n0123456789abcdefghijklmnop"] {
        let mut stranger = TcpStream::connect(&address).await.expect("the node listens");
        let mut challenge = [0; 32];
        stranger.read_exact(&mut challenge).await.expect("the node sends a challenge");
        stranger.write_all(said).await.expect("the node listens");
        let mut heard = Vec::new();
        // The node closes the connection. This fails if the node has not read everything before.
        let _ = stranger.read_to_end(&mut heard).await;
        assert_eq!(heard, b"", "{said:?}");
    }
    node.shutdown().await;
}
