//! The chat room's protocol over real connections: every message, every command and every route.

use std::net::SocketAddr;

use chat::app::Chat;
use chat::door::Door;
use dog::{Env, Limit};
use dog_native::{Running, Server};
use dog_test_support::client::{Client, handshake, http};
use dog_test_support::command_line;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

async fn start() -> (Running, SocketAddr) {
    let server = Server::new(Chat).env(Env::new().with(Limit::new(2)).with(Door::Open)).bind("127.0.0.1:0").workers(2);
    let running = server.start().await.expect("a port is free");
    let address = running.local_addr();
    (running, address)
}

/// Joins and reads up to the user's own `user:join`. Returns the client and the Replica that this message names.
async fn join(address: SocketAddr, name: &str) -> (Client, String) {
    join_with(address, name, "").await
}

/// The same with more in the query, such as `&topic=cats`.
async fn join_with(address: SocketAddr, name: &str, query: &str) -> (Client, String) {
    let mut client = again(address, name, query).await;
    loop {
        let join = client.next_of("user:join").await;
        if join["from"] == name {
            let replica = join["replica"].as_str().expect("the message names a Replica").to_owned();
            return (client, replica);
        }
    }
}

async fn say(client: &mut Client, text: &str) {
    client.send(json!({ "type": "msg", "text": text, "user": "somebody-else", "uid": "somebody-else" })).await;
}

/// One more socket of a user who is here, which is announced to nobody.
async fn again(address: SocketAddr, name: &str, query: &str) -> Client {
    let mut client = Client::connect(address, &format!("/ws?u={name}{query}")).await;
    assert_eq!(client.next().await["type"], "history");
    client
}

/// Removes the type, the time and the position of a `user:msg`, after a check of both: what is said to everyone has a position.
fn said(mut message: Value) -> Value {
    assert!(message["time"].as_u64().is_some_and(|time| time > 1_600_000_000_000), "{message}");
    let is_public = message["type"] == "user:msg" && message.get("meta").is_none();
    let position = (message["epoch"].is_string(), message["offset"].is_u64());
    assert_eq!(position, (is_public, is_public), "{message}");
    let fields = message.as_object_mut().expect("the message is an object");
    fields.retain(|key, _| !["time", "type", "epoch", "offset"].contains(&key.as_str()));
    message
}

/// Connects three clients: ann and bob are on one Replica, cid is on another.
async fn three(address: SocketAddr) -> [Client; 3] {
    let (ann, first) = join(address, "ann").await;
    let (bob, second) = join(address, "bob").await;
    let (cid, third) = join(address, "cid").await;
    assert_eq!(first, second);
    assert_ne!(first, third);
    [ann, bob, cid]
}

#[tokio::test]
async fn who_joins_is_announced_to_everyone() {
    let (_running, address) = start().await;
    let [mut ann, _bob, mut cid] = three(address).await;
    for name in ["bob", "cid"] {
        let join = ann.next_of("user:join").await;
        assert_eq!(join["from"], name);
        assert!(join["time"].is_u64());
    }
    cid.send(json!({ "type": "req:connected", "user": "cid" })).await;
    for client in [&mut ann, &mut cid] {
        assert_eq!(said(client.next_of("user:connected").await), json!({ "from": "cid" }));
    }
}

#[tokio::test]
async fn the_user_list_names_everyone_once_and_says_where() {
    let (_running, address) = start().await;
    let [_ann, _bob, mut cid] = three(address).await;
    let _more = again(address, "ann", "").await;
    cid.send(json!({ "type": "req:user:list" })).await;
    let list = cid.next_of("user:list").await;
    assert_eq!(list["list"], json!(["ann", "bob", "cid"]));
    assert_eq!(list["missing"], 0);
    assert!(list["time"].is_u64());
    let replicas = list["replicas"].as_array().expect("a list");
    assert_eq!(replicas.len(), 2);
    assert_eq!(replicas[0]["replica"], list["replica"]);
    // ann's first Replica was full when her second socket came.
    assert_eq!(replicas[0]["users"], json!(["ann", "cid"]));
    assert_eq!(replicas[1]["users"], json!(["ann", "bob"]));
}

#[tokio::test]
async fn text_and_slash_a_go_to_everyone() {
    let (_running, address) = start().await;
    let mut clients = three(address).await;
    for text in ["hello", "/a hello", "/all hello", "  hello "] {
        say(&mut clients[0], text).await;
        for client in &mut clients {
            assert_eq!(said(client.next_of("user:msg").await), json!({ "from": "ann", "text": "hello" }));
        }
    }
}

#[tokio::test]
async fn slash_g_goes_to_the_replica_and_no_further() {
    let (_running, address) = start().await;
    let [mut ann, mut bob, mut cid] = three(address).await;
    for text in ["/g psst", "/group psst"] {
        say(&mut ann, text).await;
        for client in [&mut ann, &mut bob] {
            let message = said(client.next_of("user:msg").await);
            assert_eq!(message, json!({ "from": "ann", "text": "psst", "meta": "group" }));
        }
    }
    // Messages from ann arrive in order, so the earlier ones would have arrived before this one.
    say(&mut ann, "aloud").await;
    assert_eq!(cid.next_of("user:msg").await["text"], "aloud");
}

#[tokio::test]
async fn slash_w_goes_to_one_user_and_back_to_the_speaker() {
    let (_running, address) = start().await;
    let [mut ann, mut bob, mut cid] = three(address).await;
    for text in ["/w cid psst", "/msg cid psst"] {
        say(&mut ann, text).await;
        for client in [&mut ann, &mut cid] {
            let message = said(client.next_of("user:msg").await);
            assert_eq!(message, json!({ "from": "ann", "text": "psst", "meta": "whisper", "to": "cid" }));
        }
    }
    say(&mut ann, "aloud").await;
    assert_eq!(bob.next_of("user:msg").await["text"], "aloud");
}

#[tokio::test]
async fn a_whisper_reaches_every_socket_of_the_user_and_comes_once_to_oneself() {
    let (_running, address) = start().await;
    let [mut ann, mut bob, _cid] = three(address).await;
    let mut more = again(address, "ann", "").await;
    say(&mut bob, "/w ann both").await;
    for client in [&mut ann, &mut more] {
        assert_eq!(client.next_of("user:msg").await["text"], "both");
    }
    say(&mut ann, "/w ann memo").await;
    say(&mut ann, "after").await;
    for client in [&mut ann, &mut more] {
        assert_eq!(client.next_of("user:msg").await["text"], "memo");
        assert_eq!(client.next_of("user:msg").await["text"], "after");
    }
}

/// The topics and texts of all messages up to `last`, which is said to everyone.
async fn heard_before(client: &mut Client, last: &str) -> Vec<(String, String)> {
    let mut heard = Vec::new();
    loop {
        let message = said(client.next_of("user:msg").await);
        let field = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
        let (topic, text) = (field("topic"), field("text"));
        if text == last {
            return heard;
        }
        assert_eq!(message, json!({ "from": "ann", "text": text, "meta": "topic", "topic": topic }));
        heard.push((topic, text));
    }
}

#[tokio::test]
async fn slash_t_goes_to_the_subscribers_on_every_replica_and_to_nobody_else() {
    let (_running, address) = start().await;
    let (mut ann, first) = join(address, "ann").await;
    let (bob, _) = join_with(address, "bob", "&topic=cats").await;
    let (cid, second) = join_with(address, "cid", "&topic=dogs&topic=cats").await;
    let (dan, _) = join(address, "dan").await;
    let (eve, third) = join_with(address, "eve", "&topic=cats&topic=cats&topic=k%C3%BChe").await;
    assert!(first != second && second != third && first != third, "a Replica has two seats");
    // ann is subscribed with one of her sockets, and not with the one that speaks.
    let other = again(address, "ann", "&topic=dogs").await;
    for text in ["/t cats  purr all day", "/t dogs woof", "/t kühe muh", "/t birds sing"] {
        say(&mut ann, text).await;
    }
    say(&mut ann, "aloud").await;
    let (cats, dogs, cows) = (("cats", "purr all day"), ("dogs", "woof"), ("kühe", "muh"));
    let expected = [vec![], vec![cats], vec![cats, dogs], vec![], vec![cats, cows], vec![dogs]];
    let mut clients = [ann, bob, cid, dan, eve, other];
    for (client, expected) in clients.iter_mut().zip(expected) {
        let heard = heard_before(client, "aloud").await;
        let heard: Vec<_> = heard.iter().map(|(topic, text)| (topic.as_str(), text.as_str())).collect();
        assert_eq!(heard, expected);
    }
    // Who has subscribed hears what it says.
    let [.., other] = &mut clients;
    say(other, "/t dogs mine").await;
    assert_eq!(other.next_of("user:msg").await["text"], "mine");
}

#[tokio::test]
async fn a_bad_topic_is_refused_at_the_handshake_or_answered() {
    let (_running, address) = start().await;
    let many: String = (0..129).map(|number| format!("&topic={number}")).collect();
    for bad in ["&topic=", "&topic=a%0Ab", &format!("&topic=cats&topic={}", "x".repeat(257)), &many] {
        let path = format!("/ws?u=ann{bad}");
        assert_eq!(Client::open(handshake(address, &path)).await.err(), Some(400), "{bad}");
    }
    let (mut ann, _) = join_with(address, "ann", &many.replacen("&topic=128", "", 1)).await;
    for bad in ["/t", "/t cats", "/t \u{7f} text", &format!("/t {} text", "x".repeat(257))] {
        say(&mut ann, bad).await;
        assert_eq!(ann.next().await["type"], "error", "{bad}");
    }
    say(&mut ann, "/t 127 text").await;
    assert_eq!(ann.next().await["topic"], "127");
}

#[tokio::test]
async fn what_is_not_understood_is_answered_and_costs_nothing() {
    let (_running, address) = start().await;
    let (mut ann, _) = join(address, "ann").await;
    for bad in ["", "{", "null", "[]", "17", r#"{"type":"dance"}"#, r#"{"type":"msg"}"#, r#"{"type":"msg","text":7}"#] {
        ann.send_raw(Message::text(bad)).await;
        let error = ann.next().await;
        assert_eq!(error["type"], "error", "{bad}");
        assert!(error["text"].is_string() && error["time"].is_u64(), "{error}");
    }
    ann.send_raw(Message::binary(vec![0xff, 0xfe])).await;
    assert_eq!(ann.next().await["type"], "error");
    let too_long = "x".repeat(16 * 1024 + 1);
    for text in ["", "  ", "/g", "/w", "/w bob", "/w nobody psst", too_long.as_str()] {
        say(&mut ann, text).await;
        assert_eq!(ann.next().await["type"], "error", "{text}");
    }
    say(&mut ann, &format!("/w {} psst", "x".repeat(300))).await;
    assert_eq!(ann.next().await["type"], "error");
    say(&mut ann, "still here").await;
    assert_eq!(ann.next().await["text"], "still here");
}

#[tokio::test]
async fn a_ping_is_answered_to_its_sender() {
    let (_running, address) = start().await;
    let (mut ann, _) = join(address, "ann").await;
    ann.send_raw(Message::text("ping")).await;
    assert_eq!(ann.next_raw().await, Message::text("pong"));
}

#[tokio::test]
async fn a_user_exits_with_the_last_socket() {
    let (_running, address) = start().await;
    let [ann, mut bob, _cid] = three(address).await;
    let more = again(address, "ann", "").await;
    // The first of ann's sockets is on another Replica than the second.
    ann.close().await;
    say(&mut bob, "one left").await;
    loop {
        let message = bob.next().await;
        assert_ne!(message["type"], "user:exit");
        if message["type"] == "user:msg" {
            break;
        }
    }
    more.close().await;
    assert_eq!(said(bob.next_of("user:exit").await), json!({ "from": "ann" }));
    // There was only one `user:exit`: a second one would arrive before this message.
    say(&mut bob, "both left").await;
    assert_eq!(bob.next().await["text"], "both left");
}

#[tokio::test]
async fn the_http_routes_send_a_fixed_message() {
    let (_running, address) = start().await;
    let [mut ann, mut bob, mut cid] = three(address).await;

    assert_eq!(http(address, "GET", "/broadcast", "").await.status, 200);
    for client in [&mut ann, &mut bob, &mut cid] {
        let message = said(client.next_of("user:msg").await);
        assert_eq!((&message["from"], message.get("meta")), (&json!("HTTP"), None));
    }

    // cid's Replica has one seat left, which the request takes.
    assert_eq!(http(address, "GET", "/emit", "").await.status, 200);
    let message = said(cid.next_of("user:msg").await);
    assert_eq!((&message["from"], &message["meta"]), (&json!("HTTP"), &json!("group")));

    assert_eq!(http(address, "GET", "/whisper?target=bob", "").await.status, 200);
    let message = said(bob.next_of("user:msg").await);
    assert_eq!((&message["meta"], &message["to"]), (&json!("whisper"), &json!("bob")));
    say(&mut bob, "done").await;
    for client in [&mut ann, &mut cid] {
        assert_eq!(client.next_of("user:msg").await["text"], "done");
    }
    assert_eq!(http(address, "GET", "/whisper?target=nobody", "").await.status, 404);
    assert_eq!(http(address, "GET", "/whisper", "").await.status, 400);
}

#[tokio::test]
async fn the_page_is_served_and_may_load_nothing_from_elsewhere() {
    let (_running, address) = start().await;
    let page = http(address, "GET", "/", "").await;
    assert_eq!(page.status, 200);
    assert!(page.head.contains("content-type: text/html; charset=utf-8"), "{}", page.head);
    assert!(page.head.contains("content-security-policy: default-src 'none'"), "{}", page.head);
    assert!(page.body.contains("<title>DOG chat</title>"));
    assert_eq!(http(address, "GET", "/?u=ann", "").await.status, 200);
    let module = http(address, "GET", "/dog.js", "").await;
    assert!(module.head.contains("content-type: text/javascript; charset=utf-8"), "{}", module.head);
    assert_eq!(module.body, include_str!("../../../clients/js/dog.js"));
    for path in ["/", "/dog.js"] {
        let head = http(address, "HEAD", path, "").await;
        assert_eq!((head.status, head.body.as_str()), (200, ""));
    }
}

#[tokio::test]
async fn bad_requests_are_told_what_is_wrong() {
    let (_running, address) = start().await;
    assert_eq!(http(address, "GET", "/nowhere", "").await.status, 404);
    assert_eq!(http(address, "POST", "/nowhere", "").await.status, 404);
    for (path, allowed) in [
        ("/", "allow: get, head"),
        ("/dog.js", "allow: get, head"),
        ("/ws?u=ann", "allow: get"),
        ("/broadcast", "allow: get"),
    ] {
        let answer = http(address, "POST", path, "").await;
        assert_eq!(answer.status, 405, "{path}");
        assert!(answer.head.contains(allowed), "{path}: {}", answer.head);
    }
    let too_long = format!("/ws?u={}", "x".repeat(257));
    for path in ["/ws", "/ws?u=", "/emit?u=", &too_long] {
        let answer = http(address, "GET", path, "").await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.body.contains("client identifier"), "{path}: {}", answer.body);
        assert_eq!(Client::open(handshake(address, path)).await.err(), Some(400), "{path}");
    }
    assert_eq!(http(address, "GET", "/ws?u=ann", "").await.status, 426);
}

#[tokio::test]
async fn the_command_line_says_what_is_wrong() {
    let program = env!("CARGO_BIN_EXE_chat");
    command_line::check_command_line(program).await;
    command_line::misused(program, &["--limit", "0"], "--limit <SEATS>");
    command_line::refused(program, &["--workers", "0"], "workers");
}

#[tokio::test]
async fn its_operator_sees_it_and_ends_it() {
    command_line::check_operating(env!("CARGO_BIN_EXE_chat"), &["--open"], "/ws?u=user{}").await;
}

#[tokio::test]
async fn it_speaks_tls() {
    command_line::check_tls(env!("CARGO_BIN_EXE_chat")).await;
}
