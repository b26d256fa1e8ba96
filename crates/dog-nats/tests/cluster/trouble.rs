//! What is wrong with a NATS, said in one line.

use std::time::Duration;

use dog_conformance::app::TestApp;
use dog_native::{Error, Server};
use dog_nats::Nats;

use crate::server::NatsServers;

async fn refused(nats: Nats) -> Error {
    let server = Server::new(TestApp).bind("127.0.0.1:0").workers(1).cluster(nats.patience(Duration::from_secs(2)));
    server.start().await.expect_err("it cannot join")
}

fn says(error: &Error, words: &str) {
    assert!(error.is_cluster() && error.to_string().contains(words), "{error}");
    assert!(!error.to_string().contains('\n'), "{error}");
}

#[tokio::test]
async fn a_nats_that_is_not_there_is_waited_for_and_named() {
    says(&refused(Nats::connect("nats://127.0.0.1:1")).await, "NATS at nats://127.0.0.1:1 cannot be reached");
    says(&refused(Nats::connect("nonsense://x:y")).await, "is no address: give nats://HOST:PORT");
}

#[tokio::test]
async fn settings_that_cannot_be_right_are_named() {
    says(&refused(Nats::connect("nats://127.0.0.1:1").prefix("a.b")).await, "prefix: \"a.b\" is none");
    let lease = Duration::from_millis(1500);
    says(&refused(Nats::connect("nats://127.0.0.1:1").lease(lease)).await, "lease: 1.5s is out of range");
}

#[tokio::test]
async fn jetstream_that_is_off_is_named() {
    let nats = NatsServers::start(1, "# no jetstream");
    says(&refused(Nats::connect(nats.url())).await, "JetStream is off in NATS: start nats-server with -js");
}

#[tokio::test]
async fn whoever_is_not_let_in_is_told() {
    let users = "authorization { users: [ { user: dog, password: right }, { user: reader, password: right, \
        permissions: { publish: [\"$JS.API.INFO\"], subscribe: [\"_INBOX.>\"] } } ] }";
    let nats = NatsServers::start(1, users);
    says(&refused(Nats::connect(nats.url()).user_and_password("dog", "wrong")).await, "does not let this node in");
    says(&refused(Nats::connect(nats.url()).user_and_password("reader", "right")).await, "NATS gives no permission");
}
