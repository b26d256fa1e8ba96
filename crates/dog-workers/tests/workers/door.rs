//! Tokens that end and tokens that are revoked: the Worker in `tests/door-worker`.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dog::{ClientId, Timestamp};
use dog_door::Sessions;
use dog_test_support::client::{Client, http, next_second};
use dog_test_support::workerd::{Disk, Worker, Workerd, any_port};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

const EXPIRED: (u16, &str) = (4401, "the token has expired: get another one");
const REVOKED: (u16, &str) = (4403, "the token was revoked: log in again");

fn start(disk: &Disk) -> Workerd {
    let worker = Worker { folder: "door-worker", groups: &["Lobby"], variables: &[("SECRET", SECRET)], wrapper: None };
    worker.start(disk, any_port())
}

/// A token of this client that ends in `seconds`, with this id.
fn token(client: &str, id: &str, seconds: u64) -> String {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock that is right");
    let now = Timestamp::from_millis(u64::try_from(since_1970.as_millis()).expect("a clock that is right"));
    let sessions = Sessions::new(SECRET.as_bytes()).expect("it is long enough").lifetime(Duration::from_secs(seconds));
    let client = ClientId::new(client).expect("a valid name");
    sessions.token(&client, &json!({ "jti": id }), now).expect("valid claims")
}

async fn open(entry: SocketAddr, token: &str) -> Client {
    Client::connect(entry, &format!("/ws?token={token}")).await
}

/// The code and the reason with which the next message closes the socket.
async fn closed(client: &mut Client) -> (u16, String) {
    match client.next_raw().await {
        Message::Close(Some(close)) => (close.code.into(), close.reason.to_string()),
        other => panic!("no close but {other:?}"),
    }
}

async fn is_closed(client: &mut Client, (code, reason): (u16, &str)) {
    assert_eq!(closed(client).await, (code, reason.to_owned()));
}

/// Asserts that the handshake is accepted and closed at once.
async fn is_refused(entry: SocketAddr, token: &str, with: (u16, &str)) {
    is_closed(&mut open(entry, token).await, with).await;
}

async fn said(client: &mut Client, text: &str) -> String {
    client.send_raw(Message::text(text)).await;
    match client.next_raw().await {
        Message::Text(text) => text.to_string(),
        other => panic!("no text but {other:?}"),
    }
}

/// The number of messages in this life of its Replica, with this one.
async fn messages(client: &mut Client) -> u32 {
    said(client, "how many?").await.parse().expect("a number")
}

/// Waits until the Replica of a client has left memory: it does so ten seconds after its last event. Another question would keep it.
async fn hibernate(client: &mut Client) {
    messages(client).await;
    tokio::time::sleep(Duration::from_secs(13)).await;
}

async fn revoke(entry: SocketAddr, what: &str) {
    let answer = http(entry, "POST", &format!("/revoke?{what}"), "").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "0"), "{what}: every Replica has answered");
}

#[tokio::test]
async fn what_is_revoked_is_closed_and_refused_also_after_the_end_of_the_process() {
    let disk = Disk::new();
    let workerd = start(&disk);
    let entry = workerd.address();
    let tokens =
        [("ann", "a-1"), ("ann", "a-2"), ("bob", "b-1"), ("cid", "c-1")].map(|(name, id)| token(name, id, 3600));
    let [mut first, mut second] = [open(entry, &tokens[0]).await, open(entry, &tokens[1]).await];
    let [mut bob, mut cid] = [open(entry, &tokens[2]).await, open(entry, &tokens[3]).await];
    // Two seats per Replica: ann's and those of the others are on two, and both leave memory.
    hibernate(&mut first).await;
    revoke(entry, "id=a-1").await;
    is_closed(&mut first, REVOKED).await;
    assert_eq!(messages(&mut second).await, 1, "it began another life to close the socket");
    revoke(entry, "client=bob").await;
    is_closed(&mut bob, REVOKED).await;
    assert_eq!(messages(&mut cid).await, 1);
    is_refused(entry, &tokens[0], REVOKED).await;
    is_refused(entry, &tokens[2], REVOKED).await;

    drop(workerd);
    let workerd = start(&disk);
    let entry = workerd.address();
    is_refused(entry, &tokens[0], REVOKED).await;
    is_refused(entry, &tokens[2], REVOKED).await;
    next_second().await;
    for admitted in [&tokens[1], &tokens[3], &token("bob", "b-2", 3600)] {
        assert!(messages(&mut open(entry, admitted).await).await > 0, "it is open");
    }
}

#[tokio::test]
async fn who_is_revoked_between_the_admission_and_the_socket_has_none() {
    let disk = Disk::new();
    let workerd = start(&disk);
    let (entry, ann) = (workerd.address(), token("ann", "a-1", 3600));
    let mut bob = open(entry, &token("bob", "b-1", 3600)).await;
    is_closed(&mut open(entry, &format!("{ann}&late=1")).await, REVOKED).await;
    is_refused(entry, &ann, REVOKED).await;
    assert_eq!(messages(&mut bob).await, 1);
}

#[tokio::test]
async fn a_socket_closes_when_its_token_ends_also_if_its_replica_has_left_memory() {
    let disk = Disk::new();
    let workerd = start(&disk);
    let entry = workerd.address();
    let (old, begun) = (token("ann", "a-1", 16), tokio::time::Instant::now());
    let mut ann = open(entry, &old).await;
    let mut bob = open(entry, &token("bob", "b-1", 16)).await;
    assert_eq!(said(&mut ann, "renew x").await, "the token is not valid: get another one");
    assert_eq!(said(&mut bob, &format!("renew {}", token("bob", "b-2", 3600))).await, "renewed");
    hibernate(&mut ann).await;
    is_closed(&mut ann, EXPIRED).await;
    // The end of a token has whole seconds, rounded down, and the grace is one second.
    assert!(begun.elapsed() >= Duration::from_secs(16), "{:?}", begun.elapsed());
    assert_eq!(messages(&mut bob).await, 1, "the alarm began another life, which knows what was renewed");
    is_refused(entry, &old, EXPIRED).await;
}
