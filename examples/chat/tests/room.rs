//! Tests of the room with the test kit: without ports and threads, on a virtual clock.

use std::time::Duration;

use chat::app::{Chat, Lobby};
use chat::backend::Secret;
use chat::door::Door;
use dog::{CloseCode, Env, Limit};
use dog_testing::{Builder, ClientSocket, Cluster};
use serde_json::{Value, json};

const LOBBY: &str = "lobby-id";

fn room(seats: u32) -> Cluster {
    builder(seats).start()
}

fn builder(seats: u32) -> Builder<Chat> {
    let secret = Secret::new("open sesame").expect("it is not empty");
    Cluster::builder(Chat).env(Env::new().with(Limit::new(seats)).with(Door::Open).with(secret))
}

/// How long it takes at most until a join is announced, and an exit: the grace time is part of it.
const JOINED: Duration = Duration::from_millis(300);
const LEFT: Duration = Duration::from_millis(1300);

fn enter(cluster: &Cluster, name: &str) -> ClientSocket {
    let socket = cluster.connect(&format!("/ws?u={name}"));
    cluster.advance(JOINED);
    socket
}

/// Takes the messages that have arrived, without their times and positions.
fn heard(socket: &ClientSocket) -> Vec<Value> {
    let mut heard = socket.received_json::<Value>();
    for value in &mut heard {
        let is_public = value["type"] == "user:msg" && value["meta"].is_null();
        let fields = value.as_object_mut().expect("an object");
        assert!(fields.remove("time").is_some(), "{fields:?} carries no time");
        let position = [fields.remove("epoch"), fields.remove("offset")].map(|part| part.is_some());
        assert!(position == [is_public; 2] || fields["type"] == "history", "{fields:?} and its position");
    }
    heard
}

/// Waits until nothing is announced any more, and drops all messages that have arrived.
fn hush(cluster: &Cluster, sockets: &[&ClientSocket]) {
    cluster.advance(LEFT);
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
    let types = |socket| heard(socket).into_iter().map(|message| (message["type"].clone(), message["from"].clone()));
    let joined = |name: &str| (json!("user:join"), json!(name));
    assert_eq!(
        types(&ann).collect::<Vec<_>>(),
        [(json!("history"), Value::Null), joined("ann"), joined("bob"), joined("cid")]
    );

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
    let list = heard(&ann).remove(0);
    assert_eq!(list["replicas"].as_array().map(Vec::len), Some(2), "{list}");
    cluster.advance(LEFT);
    assert_eq!(heard(&ann), [json!({ "type": "user:exit", "from": "bob" })]);
    ask_who_is_here(&cluster, &ann);
    assert_eq!(heard(&ann).remove(0)["list"], json!(["ann", "cid"]));
}

#[test]
fn a_user_leaves_a_second_after_the_last_socket_and_is_announced_once() {
    let cluster = room(1);
    let [ann, first, second] = ["ann", "bob", "bob"].map(|name| enter(&cluster, name));
    let joins = heard(&ann).into_iter().filter(|message| message["type"] == "user:join");
    assert_eq!(joins.map(|join| join["from"].clone()).collect::<Vec<_>>(), ["ann", "bob"]);
    first.close();
    cluster.advance(LEFT);
    assert_eq!(first.closed().unwrap().code(), CloseCode::NORMAL);
    second.vanish();
    cluster.advance(Duration::from_millis(700));
    // The page is loaded again.
    let third = enter(&cluster, "bob");
    cluster.advance(LEFT);
    assert_eq!(heard(&ann), [Value::Null; 0]);
    third.close();
    cluster.advance(Duration::from_millis(900));
    ask_users(&cluster, &["ann", "bob"]);
    cluster.advance(LEFT);
    assert_eq!(heard(&ann), [json!({ "type": "user:exit", "from": "bob" })]);
    ask_users(&cluster, &["ann"]);
    let _back = enter(&cluster, "bob");
    assert_eq!(heard(&ann).remove(0)["type"], "user:join");
}

/// `GET /users` agrees with what is announced.
fn ask_users(cluster: &Cluster, names: &[&str]) {
    let users = cluster.get("/users");
    let users: Value = serde_json::from_str(&cluster.read_text(users)).expect("JSON");
    let listed = users["users"].as_array().into_iter().flatten().map(|user| user["name"].as_str().unwrap_or_default());
    assert_eq!(listed.collect::<Vec<_>>(), names);
}

/// Nobody knows any more what was announced, only the storage of the Lobby does. Who was there has 35 s to come back.
#[test]
fn whatever_crashes_nobody_is_announced_twice() {
    let cluster = room(2);
    let [ann, bob, cid] = ["ann", "bob", "cid"].map(|name| enter(&cluster, name));
    for socket in [&ann, &cid] {
        cluster.crash_replica(socket.replica());
    }
    assert!(cluster.restart_group::<Lobby>(LOBBY));
    let back = enter(&cluster, "ann");
    cluster.advance(Duration::from_secs(3));
    assert!(!bob.is_open());
    let again = enter(&cluster, "bob");
    assert_eq!(heard(&back).into_iter().map(|message| message["type"].clone()).collect::<Vec<_>>(), ["history"]);
    cluster.advance(Duration::from_secs(50));
    assert_eq!(heard(&again).pop(), Some(json!({ "type": "user:exit", "from": "cid" })));
    assert_eq!(heard(&back), [json!({ "type": "user:exit", "from": "cid" })]);
    let _third = enter(&cluster, "cid");
    assert_eq!(heard(&back).len(), 1, "the join of cid");
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
    cluster.advance(Duration::from_secs(15));
    let announced = heard(&ann).into_iter().filter(|message| message["type"] != "history");
    assert_eq!(announced.map(|join| join["from"].clone()).collect::<Vec<_>>(), ["ann", "bob", "cid", "dan"]);
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
    cluster.advance(LEFT);
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
    cluster.advance(LEFT);
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
    cluster.advance(LEFT);
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
    assert_eq!(heard(&cid), [Value::Null; 0], "nobody has seen her leave");

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
    assert_eq!((&list["list"], &list["missing"]), (&json!(["ann", "bob", "cid"]), &json!(1)), "as far as is known");
    assert_eq!(list["replicas"].as_array().map(Vec::len), Some(2));

    cluster.heal();
    ask_who_is_here(&cluster, &ann);
    assert_eq!(heard(&ann).remove(0)["list"], json!(["ann", "bob", "cid"]));
}
