//! What was said to everyone: where it stands, what sockets begin with, and what those get that come back. On a virtual clock.

use std::time::Duration;

use chat::app::{Chat, Lobby};
use chat::backend::Secret;
use chat::door::Door;
use dog::{Env, Limit, ROOM};
use dog_testing::{ClientSocket, Cluster};
use serde_json::{Value, json};

const LOBBY: &str = "lobby-id";

fn room(seats: u32) -> Cluster {
    Cluster::builder(Chat).env(env(seats)).start()
}

fn env(seats: u32) -> Env {
    let secret = Secret::new("open sesame").expect("it is not empty");
    Env::new().with(Limit::new(seats)).with(Door::Open).with(secret)
}

fn enter(cluster: &Cluster, query: &str) -> ClientSocket {
    let socket = cluster.connect(&format!("/ws?u={query}"));
    cluster.advance(Duration::from_millis(300));
    socket
}

fn say(cluster: &Cluster, socket: &ClientSocket, text: &str) {
    socket.send_json(&json!({ "type": "msg", "text": text }));
    cluster.run();
}

/// What has come, without announcements.
fn heard(socket: &ClientSocket) -> Vec<Value> {
    let all = socket.received_json::<Value>().into_iter();
    all.filter(|message| !matches!(message["type"].as_str(), Some("user:join" | "user:exit"))).collect()
}

fn texts(messages: &Value) -> Vec<&str> {
    messages.as_array().into_iter().flatten().filter_map(|message| message["text"].as_str()).collect()
}

/// The position of a message.
fn position(message: &Value) -> (String, u64) {
    (message["epoch"].as_str().expect("an epoch").to_owned(), message["offset"].as_u64().expect("an offset"))
}

#[test]
fn a_socket_begins_with_the_newest_fifty_and_goes_on_from_there() {
    let cluster = room(2);
    let ann = enter(&cluster, "ann");
    let empty = heard(&ann).remove(0);
    assert_eq!((&empty["type"], &empty["offset"], &empty["messages"]), (&json!("history"), &json!(0), &json!([])));
    (1..=60).for_each(|number| say(&cluster, &ann, &number.to_string()));
    let live = heard(&ann);
    for (message, offset) in live.iter().zip(1..) {
        assert_eq!(position(message), (position(&empty).0, offset));
    }
    say(&cluster, &ann, "/g not kept");
    let bob = enter(&cluster, "bob");
    let cid = enter(&cluster, "cid");
    assert_ne!(bob.replica(), cid.replica());
    for socket in [&bob, &cid] {
        let history = heard(socket).remove(0);
        assert_eq!((position(&history), &history["messages"]), ((position(&empty).0, 60), &json!(live[10..])));
    }
    say(&cluster, &bob, "61");
    for socket in [&bob, &cid] {
        assert_eq!(position(&heard(socket)[0]).1, 61);
    }
}

#[test]
fn who_comes_back_gets_what_was_missed_or_a_reason_and_a_history() {
    let cluster = room(1);
    let ann = enter(&cluster, "ann");
    let epoch = position(&heard(&ann)[0]).0;
    (1..=1004).for_each(|number| say(&cluster, &ann, &number.to_string()));
    let live = heard(&ann);
    for missed in [0, 1, 7] {
        let bob = enter(&cluster, &format!("bob&since={epoch}:{}", 1004 - missed));
        let mut heard = heard(&bob);
        let told = heard.remove(0);
        let told = ["type", "recovered", "count"].map(|field| told[field].clone());
        assert_eq!(told, [json!("resumed"), json!(true), json!(missed)]);
        assert_eq!(heard, live[1004 - missed..], "the same as those who were here");
    }
    for (since, reason) in [
        (format!("{epoch}:3"), "expired"),
        (format!("{epoch}:1005"), "future"),
        (format!("{epoch}:9999999999999999"), "future"),
        ("another:7".to_owned(), "epoch_unknown"),
    ] {
        let bob = enter(&cluster, &format!("bob&since={since}"));
        let heard = heard(&bob);
        let told = ["type", "recovered", "reason"].map(|field| heard[0][field].clone());
        assert_eq!(told, [json!("resumed"), json!(false), json!(reason)], "{since}");
        assert_eq!((heard.len(), position(&heard[1])), (2, (epoch.clone(), 1004)));
        assert_eq!(heard[1]["messages"], json!(live[954..]));
    }
}

#[test]
fn what_is_no_position_is_refused_before_anything_comes_to_life() {
    let cluster = room(2);
    let long = format!("{}:1", "x".repeat(33));
    for bad in
        ["", ":", "e", "e:", ":1", "e:-1", "e:1x", "e:+1", "e%20f:1", "%C3%BC:1", "e:1:2", "e:12345678901234567", &long]
    {
        let refused = cluster.open(dog_testing::websocket(&format!("/ws?u=ann&since={bad}"))).err();
        assert_eq!(refused.map(|response| response.status().as_u16()), Some(400), "{bad}");
    }
    assert_eq!(cluster.objects_in_memory(), 0);
}

#[test]
fn what_is_not_kept_is_not_sent_and_its_sender_knows() {
    let cluster = room(2);
    let [ann, bob] = ["ann", "bob"].map(|name| enter(&cluster, name));
    drop([heard(&ann), heard(&bob)]);
    cluster.fail_writes(true);
    say(&cluster, &ann, "hello");
    cluster.advance(Duration::from_secs(4));
    let error = heard(&ann).remove(0);
    assert!(error["text"].as_str().is_some_and(|text| text.contains("not sent")), "{error}");
    assert_eq!((&error["type"], heard(&bob).len()), (&json!("error"), 0));
    assert_eq!(cluster.get("/broadcast").status(), 503);
    cluster.fail_writes(false);
    say(&cluster, &ann, "hello again");
    assert_eq!(position(&heard(&bob)[0]).1, 1);
}

#[test]
fn when_the_log_is_lost_everybody_is_told_and_begins_again() {
    let cluster = room(2);
    let people = ["ann", "bob", "cid"].map(|name| enter(&cluster, name));
    say(&cluster, &people[0], "before");
    people.iter().for_each(|socket| drop(socket.received()));
    cluster.wait_for(cluster.group::<Lobby>(LOBBY).reset_log(ROOM)).expect("it is reset");
    cluster.run();
    say(&cluster, &people[1], "after");
    for socket in &people {
        let heard = heard(socket);
        let types: Vec<_> = heard.iter().map(|message| message["type"].as_str().unwrap_or_default()).collect();
        assert_eq!(types, ["lost", "history", "user:msg"]);
        assert_eq!((&heard[0]["reason"], texts(&heard[1]["messages"])), (&json!("epoch_unknown"), vec![]));
        assert_eq!(position(&heard[2]), (position(&heard[1]).0, 1));
    }
}

#[test]
fn a_thousand_that_come_at_once_cost_the_lobby_two_questions() {
    let cluster = Cluster::builder(Chat).env(env(1001)).count_traffic().start();
    let ann = enter(&cluster, "ann");
    (1..=60).for_each(|number| say(&cluster, &ann, &number.to_string()));
    drop(cluster.take_traffic());
    let begin = |number| cluster.begin(dog_testing::websocket(&format!("/ws?u=user{number}")));
    let requests: Vec<_> = (0..1000).map(begin).collect();
    cluster.run();
    let traffic = cluster.take_traffic();
    assert!(traffic.get("Log").is_some_and(|calls| calls.messages <= 2), "{traffic:?}");
    assert!(traffic.get("Tail").is_none_or(|calls| calls.messages <= 1), "{traffic:?}");
    for request in &requests {
        let Some(Ok(socket)) = request.answer() else { panic!("there is no socket") };
        assert_eq!(texts(&heard(&socket).remove(0)["messages"]).len(), 50);
    }
}
