//! The protocol of the task pools: which requests are accepted, and who receives which messages.

use std::net::SocketAddr;

use dog::{Env, Limit};
use dog_native::{Running, Server};
use dog_test_support::client::{Client, handshake, http};
use dog_test_support::command_line;
use serde_json::{Value, json};
use tasks::Tasks;
use tokio_tungstenite::tungstenite::Message;

async fn start() -> (Running, SocketAddr) {
    let server = Server::new(Tasks).env(Env::new().with(Limit::new(1))).bind("127.0.0.1:0").workers(2);
    let running = server.start().await.expect("a port is free");
    let address = running.local_addr();
    (running, address)
}

/// Opens a socket. Returns when it is in the pool: a client may complete the handshake before that.
async fn join(address: SocketAddr, path: &str) -> Client {
    let mut client = Client::connect(address, path).await;
    client.send_raw(Message::text("am I here?")).await;
    client.next_of("error").await;
    client
}

fn done(mut message: Value) -> Value {
    assert!(message["time"].is_u64(), "{message}");
    message.as_object_mut().expect("the message is an object").remove("time");
    message
}

#[tokio::test]
async fn everyone_in_the_pool_is_told_when_a_task_is_done_and_nobody_else() {
    let (_running, address) = start().await;
    // A Replica has one seat, so the pool has two Replicas.
    let mut ann = join(address, "/tasks/reports/ws?u=ann").await;
    let mut bob = join(address, "/tasks/reports/ws?u=bob").await;
    let mut cid = join(address, "/tasks/letters/ws?u=cid").await;
    ann.send(json!({ "type": "count:words", "task": "first", "text": "the dog and the other dog" })).await;
    let expected = json!({
        "type": "task:done", "task": "first", "from": "ann", "words": 6, "common": [["dog", 2], ["the", 2], ["and", 1]],
    });
    assert_eq!(done(ann.next().await), expected);
    assert_eq!(done(bob.next().await), expected);

    // The first message that cid receives is from cid's own pool.
    cid.send(json!({ "type": "count:words", "task": "mine", "text": "" })).await;
    let first = cid.next().await;
    assert_eq!((&first["task"], &first["from"], &first["words"]), (&json!("mine"), &json!("cid"), &json!(0)));
}

#[tokio::test]
async fn the_tasks_of_one_socket_are_done_in_order() {
    let (_running, address) = start().await;
    let mut ann = join(address, "/tasks/reports/ws?u=ann").await;
    for task in 0..20 {
        let text = "word ".repeat((20 - task) * 500);
        ann.send(json!({ "type": "count:words", "task": task.to_string(), "text": text })).await;
    }
    for task in 0..20 {
        let message = ann.next().await;
        assert_eq!((&message["task"], &message["words"]), (&json!(task.to_string()), &json!((20 - task) * 500)));
    }
}

#[tokio::test]
async fn a_task_may_be_posted() {
    let (_running, address) = start().await;
    let mut ann = join(address, "/tasks/reports/ws?u=ann").await;
    let answer = http(address, "POST", "/tasks/reports?u=bob&task=posted", "one two two").await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
    let told = ann.next().await;
    assert_eq!(serde_json::from_str::<Value>(&answer.body).unwrap(), told);
    assert_eq!((&told["task"], &told["from"], &told["words"]), (&json!("posted"), &json!("HTTP"), &json!(3)));
    assert_eq!(http(address, "POST", "/tasks/reports?u=bob", &"x".repeat(300_000)).await.status, 413);
}

#[tokio::test]
async fn the_identifier_comes_from_the_header_or_the_query() {
    let (_running, address) = start().await;
    let mut request = handshake(address, "/tasks/reports/ws?u=query");
    request.headers_mut().insert("x-request-id", "header".parse().unwrap());
    let mut client = Client::open(request).await.map_err(|status| panic!("status {status}")).unwrap();
    client.send(json!({ "type": "count:words", "task": "", "text": "" })).await;
    assert_eq!(client.next().await["from"], "header");
}

#[tokio::test]
async fn bad_requests_are_told_what_is_wrong() {
    let (_running, address) = start().await;
    for (method, path, status) in [
        ("GET", "/", 404),
        ("GET", "/tasks", 404),
        ("GET", "/tasks/", 400),
        ("GET", "/tasks//ws?u=ann", 400),
        ("GET", "/tasks/%20/ws?u=ann", 400),
        ("GET", "/tasks/reports/ws", 400),
        ("GET", "/tasks/reports/ws?u=", 400),
        ("GET", "/tasks/reports/nothing?u=ann", 404),
        ("GET", "/tasks/reports?u=ann", 405),
        ("GET", "/tasks/reports/ws?u=ann", 426),
        ("POST", "/tasks/reports/ws?u=ann", 405),
    ] {
        assert_eq!(http(address, method, path, "").await.status, status, "{method} {path}");
    }
}

#[tokio::test]
async fn bad_input_is_answered() {
    let (_running, address) = start().await;
    let mut ann = join(address, "/tasks/reports/ws?u=ann").await;
    for bad in ["", "{}", r#"{"type":"crawl:moon"}"#, r#"{"type":"count:words","task":1,"text":""}"#] {
        ann.send_raw(Message::text(bad)).await;
        assert_eq!(ann.next().await["type"], "error", "{bad}");
    }
    ann.send(json!({ "type": "count:words", "task": "long", "text": "x".repeat(256 * 1024 + 1) })).await;
    assert_eq!(ann.next().await["type"], "error");
}

#[tokio::test]
async fn the_command_line_says_what_is_wrong() {
    let program = env!("CARGO_BIN_EXE_tasks");
    command_line::check_command_line(program).await;
    command_line::misused(program, &["--limit", "0"], "--limit <SEATS>");
    command_line::refused(program, &["--workers", "0"], "workers");
}

#[tokio::test]
async fn its_operator_sees_it_and_ends_it() {
    command_line::check_operating(env!("CARGO_BIN_EXE_tasks"), "/tasks/reports/ws?u=user{}").await;
}
