//! How fast the client of a socket may send.

use std::time::Duration;

use dog::{Env, Limit, MessageRate, OverRate};
use dog_testing::{ClientSocket, Cluster};

use super::app::{HALL, House, enter};
use super::events::deliver;

const RATE: MessageRate = MessageRate::per_second(10);

fn hall(rate: MessageRate) -> Cluster {
    Cluster::builder(House).env(Env::new().with(Limit::new(3)).with(rate)).start()
}

/// Sends the numbers of `messages`. The first word of each is said to everyone.
fn say(cluster: &Cluster, socket: &ClientSocket, messages: std::ops::Range<usize>) {
    for number in messages {
        socket.send(format!("all {number}"));
    }
    cluster.run();
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[test]
fn what_is_over_the_rate_waits_and_nobody_else_does() {
    let cluster = hall(RATE);
    let [ann, bob] = enter(&cluster, ["ann", "bob"]);
    say(&cluster, &ann, 0..13);
    assert_eq!(bob.received_texts(), numbers(0..10), "a burst of one second");
    say(&cluster, &bob, 50..52);
    assert_eq!(bob.received_texts(), numbers(50..52));
    cluster.advance(Duration::from_millis(100));
    assert_eq!(bob.received_texts(), numbers(10..11));
    cluster.advance(Duration::from_millis(99));
    assert_eq!(bob.received_texts(), [""; 0]);
    cluster.advance(Duration::from_secs(1));
    assert_eq!(bob.received_texts(), numbers(11..13));
    assert_eq!(ann.received_texts().len(), 15);
    cluster.advance(Duration::from_secs(10));
    say(&cluster, &ann, 20..40);
    assert_eq!(bob.received_texts(), numbers(20..30), "no more than a burst is saved up");
}

#[test]
fn what_a_client_has_sent_before_its_close_is_handled() {
    let cluster = hall(RATE);
    let [ann, bob] = enter(&cluster, ["ann", "bob"]);
    say(&cluster, &ann, 0..12);
    ann.close();
    cluster.advance(Duration::from_secs(1));
    let mut heard = numbers(0..12);
    heard.push("ann closed with 1000 ".into());
    assert_eq!(bob.received_texts(), heard);
    assert_eq!(cluster.seats(bob.replica()), 1);
}

#[test]
fn an_object_with_messages_that_wait_does_not_hibernate() {
    let env = Env::new().with(Limit::new(3)).with(RATE);
    let cluster = Cluster::builder(House).env(env).hibernate_after(Duration::from_millis(1)).start();
    let [ann, bob] = enter(&cluster, ["ann", "bob"]);
    say(&cluster, &ann, 0..13);
    cluster.advance(Duration::from_millis(1));
    let heard = bob.received_texts();
    assert!((10..=11).contains(&heard.len()), "{heard:?}: the message that wakes a Replica is not counted");
    cluster.advance(Duration::from_secs(1));
    assert_eq!([heard, bob.received_texts()].concat(), numbers(0..13));
    assert!(ann.is_open());
}

#[test]
fn bytes_have_a_rate_too() {
    let cluster = hall(MessageRate::per_second(1000).bytes(100));
    let [ann, bob] = enter(&cluster, ["ann", "bob"]);
    let large = "x".repeat(500);
    for text in [&large, "after"] {
        ann.send(format!("all {text}"));
    }
    cluster.run();
    assert_eq!(
        bob.received_texts(),
        [large],
        "one that is larger than the burst passes when nothing was sent before it"
    );
    cluster.advance(Duration::from_secs(4));
    assert_eq!(bob.received_texts(), [""; 0]);
    cluster.advance(Duration::from_secs(1));
    assert_eq!(bob.received_texts(), ["after"]);
}

#[test]
fn what_is_over_the_rate_can_be_dropped() {
    let cluster = hall(RATE.burst(Duration::from_secs(2)).over(OverRate::Drop));
    let [ann, bob] = enter(&cluster, ["ann", "bob"]);
    say(&cluster, &ann, 0..30);
    assert_eq!(bob.received_texts(), numbers(0..20));
    cluster.advance(Duration::from_millis(100));
    say(&cluster, &ann, 40..42);
    assert_eq!(bob.received_texts(), numbers(40..41));
    say(&cluster, &bob, 50..52);
    assert_eq!(bob.received_texts(), numbers(50..52));
    assert!(ann.is_open());
}

#[test]
fn a_socket_over_the_rate_can_be_closed() {
    let cluster = hall(RATE.over(OverRate::Close));
    let [ann, bob] = enter(&cluster, ["ann", "bob"]);
    say(&cluster, &ann, 0..12);
    let close = ann.closed().expect("it is over the rate");
    assert_eq!((close.code().as_u16(), close.reason()), (1008, "too many messages"));
    let mut heard = numbers(0..10);
    heard.push("ann was too fast".into());
    assert_eq!(bob.received_texts(), heard);
    assert_eq!(cluster.seats(bob.replica()), 1, "its seat is free");
    let [again] = enter(&cluster, ["ann"]);
    say(&cluster, &again, 60..70);
    assert_eq!(bob.received_texts(), numbers(60..70), "another socket of the client begins again");
}

#[test]
fn what_the_client_of_an_event_stream_delivers_has_the_rate_of_its_socket() {
    let cluster = hall(RATE.over(OverRate::Drop));
    let stream = cluster.open_events("/events?u=talker");
    let session = stream.received_texts().remove(0);
    let [bob] = enter(&cluster, ["bob"]);
    for number in 0..12 {
        assert_eq!(deliver(&cluster, HALL, &session, format!("all {number}")), 202);
    }
    cluster.run();
    assert_eq!(bob.received_texts(), numbers(0..10));
}
