//! The room's own tests, in process: no port, no thread, and time by hand.

use std::time::Duration;

use chat::app::{Chat, Lobby};
use dog::{CloseCode, Env, Limit};
use dog_sim::{ClientSocket, Cluster};
use serde_json::{Value, json};

const LOBBY: &str = "lobby-id";

fn room(seats: u32) -> Cluster {
    Cluster::builder(Chat).env(Env::new().with(Limit::new(seats))).start()
}

fn enter(cluster: &Cluster, name: &str) -> ClientSocket {
    cluster.connect(&format!("/ws?u={name}"))
}

/// What has come, without the time, which is another each.
fn heard(socket: &ClientSocket) -> Vec<Value> {
    let without_time = |message: dog::Message| {
        let mut value: Value = message.to_json().unwrap();
        assert!(value.as_object_mut().unwrap().remove("time").is_some(), "{value} carries no time");
        value
    };
    socket.received().into_iter().map(without_time).collect()
}

/// Lets the room get quiet, and forgets what was said until then.
fn hush(cluster: &Cluster, sockets: &[&ClientSocket]) {
    cluster.run();
    sockets.iter().for_each(|socket| drop(socket.received()));
}

fn say(socket: &ClientSocket, text: &str) {
    socket.send(json!({ "type": "msg", "text": text }).to_string());
}

fn said(from: &str, text: &str) -> Value {
    json!({ "type": "user:msg", "from": from, "text": text })
}

#[test]
fn the_third_of_two_to_a_replica_is_on_another_and_all_hear_each_other() {
    let cluster = room(2);
    let [ann, bob, cid] = ["ann", "bob", "cid"].map(|name| enter(&cluster, name));
    assert_eq!(ann.replica(), bob.replica());
    assert_ne!(ann.replica(), cid.replica());
    let joined: Vec<Value> = heard(&ann).into_iter().map(|message| message["from"].clone()).collect();
    assert_eq!(joined, ["ann", "bob", "cid"]);

    hush(&cluster, &[&bob, &cid]);
    say(&cid, "hello");
    cluster.run();
    for socket in [&ann, &bob, &cid] {
        assert_eq!(heard(socket), [said("cid", "hello")]);
    }
}

#[test]
fn what_is_said_to_the_group_stays_on_its_replica() {
    let cluster = room(2);
    let [ann, bob, cid] = ["ann", "bob", "cid"].map(|name| enter(&cluster, name));
    hush(&cluster, &[&ann, &bob, &cid]);
    say(&ann, "/g psst");
    cluster.run();
    let psst = json!({ "type": "user:msg", "from": "ann", "text": "psst", "meta": "group" });
    assert_eq!(heard(&ann), [psst.clone()]);
    assert_eq!(heard(&bob), [psst]);
    assert_eq!(heard(&cid), [Value::Null; 0]);
}

#[test]
fn a_whisper_finds_its_target_on_every_replica_and_comes_back_to_who_whispered() {
    let cluster = room(1);
    let [ann, bob, cid] = ["ann", "bob", "cid"].map(|name| enter(&cluster, name));
    let again = enter(&cluster, "cid");
    hush(&cluster, &[&ann, &bob, &cid, &again]);
    say(&ann, "/w cid only you");
    cluster.run();
    let whispered = json!({ "type": "user:msg", "from": "ann", "text": "only you", "meta": "whisper", "to": "cid" });
    for socket in [&ann, &cid, &again] {
        assert_eq!(heard(socket), [whispered.clone()]);
    }
    assert_eq!(heard(&bob), [Value::Null; 0]);

    say(&ann, "/w dan anybody?");
    cluster.run();
    assert_eq!(heard(&ann), [json!({ "type": "error", "text": "dan is not here" })]);
}

#[test]
fn the_list_names_everyone_once_and_who_is_missing() {
    let cluster = room(1);
    let [ann, bob, _cid] = ["ann", "bob", "cid"].map(|name| enter(&cluster, name));
    hush(&cluster, &[&ann]);
    ann.send(r#"{"type":"req:user:list"}"#);
    cluster.run();
    let list = heard(&ann).remove(0);
    assert_eq!((&list["list"], &list["missing"]), (&json!(["ann", "bob", "cid"]), &json!(0)));

    // A crashed Replica begins a new life when it is asked, and nobody is there any more.
    cluster.crash_replica(bob.replica());
    hush(&cluster, &[&ann]);
    ann.send(r#"{"type":"req:user:list"}"#);
    cluster.run();
    assert_eq!(heard(&ann).remove(0)["list"], json!(["ann", "cid"]));
}

#[test]
fn a_user_leaves_with_the_last_socket() {
    let cluster = room(1);
    let [ann, first, second] = ["ann", "bob", "bob"].map(|name| enter(&cluster, name));
    hush(&cluster, &[&ann]);
    first.close();
    cluster.run();
    assert_eq!(first.closed().unwrap().code(), CloseCode::NORMAL);
    assert_eq!(heard(&ann), [Value::Null; 0]);
    second.vanish();
    cluster.run();
    assert_eq!(heard(&ann), [json!({ "type": "user:exit", "from": "bob" })]);
}

#[test]
fn bad_input_is_answered_and_not_punished() {
    let cluster = room(2);
    let ann = enter(&cluster, "ann");
    hush(&cluster, &[&ann]);
    for bad in ["{", "[]", r#"{"type":"nonsense"}"#, r#"{"type":"msg"}"#] {
        ann.send(bad);
        cluster.run();
        assert_eq!(heard(&ann)[0]["type"], "error", "{bad}");
    }
    assert!(ann.is_open());
}

#[test]
fn a_restart_of_the_lobby_splits_no_room() {
    let cluster = room(2);
    let [ann, bob, cid] = ["ann", "bob", "cid"].map(|name| enter(&cluster, name));
    assert!(cluster.restart_group::<Lobby>(LOBBY));
    let dan = enter(&cluster, "dan");
    assert_eq!(dan.replica(), cid.replica(), "the seat that is left, and no third Replica");
    assert_eq!(cluster.replicas::<Lobby>(LOBBY).len(), 2);
    hush(&cluster, &[&ann, &bob, &cid, &dan]);
    say(&dan, "hello");
    cluster.run();
    for socket in [&ann, &bob, &cid, &dan] {
        assert_eq!(heard(socket), [said("dan", "hello")]);
    }
}

#[test]
fn who_comes_back_within_a_minute_finds_the_same_replica() {
    let cluster = room(2);
    let [_ann, bob, cid] = ["ann", "bob", "cid"].map(|name| enter(&cluster, name));
    let before = cid.replica();
    [bob, cid].iter().for_each(ClientSocket::close);
    cluster.advance(Duration::from_secs(50));
    assert_eq!(enter(&cluster, "cid").replica(), before);
}

#[test]
fn requests_without_a_socket_speak_to_the_room() {
    let cluster = room(3);
    let [ann, bob] = ["ann", "bob"].map(|name| enter(&cluster, name));
    hush(&cluster, &[&ann, &bob]);
    assert_eq!(cluster.get("/broadcast").status(), 200);
    assert_eq!(cluster.get("/whisper?target=bob").status(), 200);
    cluster.run();
    assert_eq!((heard(&ann).len(), heard(&bob).len()), (1, 2));

    assert_eq!(cluster.get("/whisper?target=dan").status(), 404);
    assert_eq!(cluster.get("/ws").status(), 400, "nobody is asking");
    assert_eq!(cluster.get("/ws?u=ann").status(), 426, "no WebSocket");
    assert_eq!(cluster.get("/elsewhere").status(), 404);
    let page = cluster.get("/");
    assert_eq!(page.status(), 200);
    assert!(cluster.read(page).starts_with(b"<!"));
}
