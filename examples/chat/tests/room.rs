//! Tests of the room with the test kit: without ports and threads, on a virtual clock.

use std::time::Duration;

use chat::app::{Chat, Lobby};
use chat::door::Door;
use dog::{CloseCode, Env, Limit};
use dog_testing::{Builder, ClientSocket, Cluster};
use serde_json::{Value, json};

const LOBBY: &str = "lobby-id";

fn room(seats: u32) -> Cluster {
    builder(seats).start()
}

fn builder(seats: u32) -> Builder<Chat> {
    Cluster::builder(Chat).env(Env::new().with(Limit::new(seats)).with(Door::Open))
}

fn enter(cluster: &Cluster, name: &str) -> ClientSocket {
    cluster.connect(&format!("/ws?u={name}"))
}

/// Takes the messages that have arrived, without their times.
fn heard(socket: &ClientSocket) -> Vec<Value> {
    let mut heard = socket.received_json::<Value>();
    for value in &mut heard {
        let time = value.as_object_mut().and_then(|fields| fields.remove("time"));
        assert!(time.is_some(), "{value} carries no time");
    }
    heard
}

/// Runs the room until nothing happens, and drops all messages that have arrived.
fn hush(cluster: &Cluster, sockets: &[&ClientSocket]) {
    cluster.run();
    sockets.iter().for_each(|socket| drop(socket.received()));
}

fn say(socket: &ClientSocket, text: &str) {
    socket.send_json(&json!({ "type": "msg", "text": text }));
}

/// Requests the list of users.
fn ask_who_is_here(cluster: &Cluster, socket: &ClientSocket) {
    hush(cluster, &[socket]);
    socket.send_json(&json!({ "type": "req:user:list" }));
    cluster.run();
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
    assert_eq!((heard(&ann), heard(&bob)), (vec![psst.clone()], vec![psst]));
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
        assert_eq!(heard(socket), std::slice::from_ref(&whispered));
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
    ask_who_is_here(&cluster, &ann);
    let list = heard(&ann).remove(0);
    assert_eq!((&list["list"], &list["missing"]), (&json!(["ann", "bob", "cid"]), &json!(0)));

    // When the crashed Replica gets a question, it begins a new life, which has no sockets.
    cluster.crash_replica(bob.replica());
    ask_who_is_here(&cluster, &ann);
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
fn what_is_said_to_a_topic_reaches_its_subscribers_everywhere_and_nobody_else() {
    let cluster = room(2);
    let [ann, bob, cid, dan] =
        ["ann", "bob&topic=cats", "cid&topic=dogs&topic=cats", "dan"].map(|name| enter(&cluster, name));
    assert_ne!(bob.replica(), cid.replica());
    let all = [&ann, &bob, &cid, &dan];
    hush(&cluster, &all);
    let about = |topic: &str, text: &str| json!({ "type": "user:msg", "from": "ann", "text": text, "meta": "topic", "topic": topic });
    say(&ann, "/t cats hello you");
    say(&ann, "/t dogs woof");
    cluster.run();
    let (cats, dogs) = (about("cats", "hello you"), about("dogs", "woof"));
    assert_eq!(all.map(heard), [vec![], vec![cats.clone()], vec![cats, dogs], vec![]]);
    say(&cid, "/t dogs mine");
    cluster.run();
    assert_eq!(heard(&cid).len(), 1, "who has subscribed hears what it says");
    for bad in ["/t", "/t cats", "/t \u{7f} text", &format!("/t {} text", "x".repeat(257))] {
        say(&ann, bad);
        cluster.run();
        assert_eq!(heard(&ann)[0]["type"], "error", "{bad}");
    }
    hush(&cluster, &all);
    assert!(cluster.evict_replica(bob.replica()) && cluster.restart_group::<Lobby>(LOBBY));
    say(&ann, "/t cats still there?");
    cluster.run();
    assert_eq!(all.map(|socket| heard(socket).len()), [0, 1, 1, 0]);
}

#[test]
fn a_bad_topic_is_refused_before_a_seat_is_taken() {
    let cluster = room(2);
    let many: String = (0..129).map(|number| format!("&topic={number}")).collect();
    for bad in ["&topic=", "&topic=a%0Ab", &format!("&topic={}", "x".repeat(257)), &many] {
        let refused = cluster.open(dog_testing::websocket(&format!("/ws?u=ann{bad}"))).err();
        assert_eq!(refused.map(|response| response.status().as_u16()), Some(400), "{bad}");
    }
    assert_eq!(cluster.replicas::<Lobby>(LOBBY), []);
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
    assert_eq!(dan.replica(), cid.replica(), "dan gets the free seat, without a third Replica");
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
    assert_eq!(cluster.get("/ws").status(), 400, "the request names no client");
    assert_eq!(cluster.get("/ws?u=ann").status(), 426, "the request is no WebSocket handshake");
    assert_eq!(cluster.get("/elsewhere").status(), 404);
    let page = cluster.get("/");
    assert_eq!(page.status(), 200);
    assert!(cluster.read(page).starts_with(b"<!"));
}

#[test]
fn a_room_that_has_left_memory_still_knows_who_is_here() {
    let cluster = room(2);
    let [ann, bob, cid] = ["ann", "bob", "cid"].map(|name| enter(&cluster, name));
    assert!(cluster.evict_replica(ann.replica()) && cluster.evict_replica(cid.replica()));
    assert!(!cluster.is_awake(ann.replica()) && !cluster.is_awake(cid.replica()));

    // The request wakes one Replica, and its gossip wakes the other.
    ask_who_is_here(&cluster, &bob);
    assert_eq!(heard(&bob).remove(0)["list"], json!(["ann", "bob", "cid"]));
    assert!(cluster.is_awake(ann.replica()) && cluster.is_awake(cid.replica()));

    // A client that leaves a hibernating room is announced too.
    assert!(cluster.evict_replica(ann.replica()));
    bob.vanish();
    hush(&cluster, &[&ann]);
    cluster.run();
    assert_eq!(heard(&cid).pop(), Some(json!({ "type": "user:exit", "from": "bob" })));
    assert_eq!(cluster.failures(), [""; 0]);
}

#[test]
fn a_room_that_rests_after_every_event_is_the_same_room() {
    let cluster = builder(1).hibernate_after(Duration::ZERO).start();
    let [ann, bob] = ["ann", "bob"].map(|name| enter(&cluster, name));
    hush(&cluster, &[&ann, &bob]);
    say(&ann, "/w bob hello");
    cluster.run();
    assert!(!cluster.is_awake(ann.replica()) && !cluster.is_awake(bob.replica()));
    assert_eq!(heard(&ann), heard(&bob));
    bob.close();
    cluster.run();
    assert_eq!(heard(&ann), [json!({ "type": "user:exit", "from": "bob" })]);
}

#[test]
fn who_does_not_read_is_shown_out_and_holds_nobody_up() {
    let cluster = builder(2).max_outbox(64 * 1024).start();
    let [ann, slow, cid] = ["ann", "slow", "cid"].map(|name| enter(&cluster, name));
    hush(&cluster, &[&ann, &slow, &cid]);
    slow.stop_reading();
    for _ in 0..5 {
        say(&ann, &"x".repeat(15 * 1024));
        cluster.run();
    }
    let heard = heard(&cid);
    assert_eq!(heard.iter().filter(|message| message["type"] == "user:msg").count(), 5);
    assert_eq!(heard[5], json!({ "type": "user:exit", "from": "slow" }));
    slow.read_on();
    assert_eq!(slow.closed().unwrap().code(), CloseCode::TRY_AGAIN, "the client should come back later");
}

#[test]
fn a_crash_of_one_replica_is_felt_there_alone_and_its_people_come_back() {
    let cluster = room(2);
    let [ann, bob, cid] = ["ann", "bob", "cid"].map(|name| enter(&cluster, name));
    cluster.crash_replica(ann.replica());
    hush(&cluster, &[&cid]);
    assert!(!ann.is_open() && !bob.is_open() && cid.is_open());
    assert!(ann.closed().unwrap().code().should_retry());

    say(&cid, "/w ann are you there?");
    cluster.run();
    assert_eq!(heard(&cid), [json!({ "type": "error", "text": "ann is not here" })]);
    let again = enter(&cluster, "ann");
    assert_eq!(again.replica(), cid.replica(), "as far as the lobby knows, this Replica has room");
    assert_eq!(heard(&cid).pop().unwrap()["type"], "user:join");

    // No one has told the lobby about the crash. It asks members that were silent for long, and then frees the seats of
    // the crashed Replica.
    cluster.advance(Duration::from_secs(40));
    let members = cluster.members::<Lobby>(LOBBY).unwrap();
    let taken: Vec<_> = members.iter().map(|member| (member.replica, member.occupied)).collect();
    assert_eq!(taken, [(ann.replica(), 0), (cid.replica(), 2)]);
    assert_eq!(enter(&cluster, "bob").replica(), bob.replica());
}

#[test]
fn a_list_without_a_silent_replica_says_that_one_is_missing() {
    let cluster = room(1);
    let [ann, bob, _cid] = ["ann", "bob", "cid"].map(|name| enter(&cluster, name));
    cluster.cut_off_replica(bob.replica());
    ask_who_is_here(&cluster, &ann);
    assert_eq!(heard(&ann), [Value::Null; 0], "the answer waits for the missing Replica");
    cluster.advance(Duration::from_secs(3));
    let list = heard(&ann).remove(0);
    assert_eq!((&list["list"], &list["missing"]), (&json!(["ann", "cid"]), &json!(1)));

    cluster.heal();
    ask_who_is_here(&cluster, &ann);
    assert_eq!(heard(&ann).remove(0)["list"], json!(["ann", "bob", "cid"]));
}
