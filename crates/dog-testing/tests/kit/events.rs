//! Event streams.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use dog::CloseCode;
use dog::http::{Request, StatusCode};
use dog_testing::Cluster;

use super::app::{HALL, Hall, builder, enter, hall, tell};

#[test]
fn an_event_stream_hears_every_verb_beside_websockets_and_in_order() {
    let cluster = hall(2);
    let [ann] = enter(&cluster, ["ann"]);
    let near = cluster.open_events("/events?u=near");
    let far = cluster.open_events("/events?u=far");
    let lines = cluster.open_events("/lines?u=lines");
    for command in ["all 1", "sure 2", "whisper near", "whisper lines", "all two\nlines", "all 3"] {
        ann.send(command);
    }
    cluster.run();
    assert_eq!(ann.received_texts(), ["1", "2", "two\nlines", "3"]);
    assert_eq!(near.received_texts(), ["1", "2", "psst", "two\nlines", "3"]);
    assert_eq!(far.received_texts(), ["1", "2", "two\nlines", "3"]);
    assert_eq!(lines.received_texts(), ["1", "2", "psst", "two lines", "3"]);
    assert_eq!(near.headers()["content-type"], "text/event-stream");
    assert_eq!(near.headers()["cache-control"], "no-cache");
    assert_eq!(lines.headers()["content-type"], "application/x-ndjson");
}

#[test]
fn an_event_stream_holds_a_seat_until_it_ends() {
    let cluster = hall(2);
    let [ann] = enter(&cluster, ["ann"]);
    let bob = cluster.open_events("/events?u=bob");
    assert_eq!(cluster.seats(ann.replica()), 2);
    let [cid] = enter(&cluster, ["cid"]);
    assert_ne!(cid.replica(), ann.replica(), "two seats per Replica");
    bob.vanish();
    cluster.run();
    assert_eq!(ann.received_texts(), ["bob is lost"]);
    assert_eq!(cluster.seats(ann.replica()), 1);
    cluster.advance(Duration::from_secs(2));
    let [dan] = enter(&cluster, ["dan"]);
    assert_eq!(dan.replica(), ann.replica());
    let seats: Vec<u32> = cluster.members::<Hall>(HALL).unwrap().iter().map(|member| member.occupied).collect();
    assert_eq!(seats, [2, 1]);
}

#[test]
fn a_closed_event_stream_gets_everything_and_then_the_code() {
    let cluster = hall(9);
    let [ann] = enter(&cluster, ["ann"]);
    let bob = cluster.open_events("/events?u=bob");
    let lines = cluster.open_events("/lines?u=cid");
    ann.send("all last words");
    ann.send("kick bob");
    ann.send("kick cid");
    cluster.run();
    assert_eq!(bob.received_texts(), ["last words"]);
    let closed = bob.closed().unwrap();
    assert_eq!((closed.code(), closed.reason()), (CloseCode::POLICY, "kicked"));
    assert_eq!(lines.received_texts(), ["last words", "bob closed with 1008 kicked"]);
    assert_eq!(lines.closed().unwrap().code(), CloseCode::ABNORMAL, "lines have no place for a code");
    assert_eq!(
        ann.received_texts(),
        ["last words", "bob closed with 1008 kicked", "cid closed with 1008 kicked"],
        "each end is handled once"
    );
    assert_eq!(cluster.seats(ann.replica()), 1);
}

#[test]
fn an_event_stream_that_is_not_read_is_closed_with_1013() {
    let cluster = builder(9).max_outbox(10_000).start();
    let [ann] = enter(&cluster, ["ann"]);
    let (slow, quick) = (cluster.open_events("/events?u=slow"), cluster.open_events("/events?u=quick"));
    slow.stop_reading();
    let text = "x".repeat(1000);
    for _ in 0..12 {
        tell(&cluster, &ann, &format!("all {text}"));
    }
    assert_eq!(ann.received_texts(), [""; 0]);
    slow.read_on();
    cluster.run();
    assert_eq!(slow.closed().unwrap().code(), CloseCode::TRY_AGAIN);
    assert_eq!(slow.received_texts(), [""; 0], "what waited is dropped");
    let quick = quick.received_texts();
    assert_eq!(quick.iter().filter(|heard| **heard == text).count(), 12);
    assert_eq!(quick.iter().filter(|heard| *heard == "slow was too slow").count(), 1);
}

#[test]
fn an_event_stream_stays_open_while_its_replica_hibernates_and_ends_when_it_crashes() {
    let cluster = builder(9).hibernate_after(Duration::ZERO).start();
    let [ann] = enter(&cluster, ["ann"]);
    let bob = cluster.open_events("/events?u=bob");
    assert!(!cluster.is_awake(ann.replica()));
    ann.send("all still here");
    ann.send("names");
    cluster.run();
    assert_eq!(bob.received_texts(), ["still here"]);
    assert_eq!(ann.received_texts(), ["still here", "a stream"], "the attachment is kept");
    assert!(cluster.crash_replica(ann.replica()));
    cluster.run();
    assert_eq!(bob.closed().unwrap().code(), CloseCode::ABNORMAL);
}

#[test]
fn a_panic_closes_event_streams_with_1011() {
    let cluster = hall(9);
    let [ann] = enter(&cluster, ["ann"]);
    let bob = cluster.open_events("/events?u=bob");
    ann.send("panic on purpose");
    cluster.run();
    assert_eq!(bob.closed().unwrap().code(), CloseCode::HANDLER_FAILED);
}

#[test]
fn only_get_opens_an_event_stream() {
    let cluster = hall(1);
    let request = Request::post("/events?u=bob").body(dog::Body::empty()).unwrap();
    let response = cluster.fetch(request);
    assert_eq!(
        (response.status(), &response.headers()["allow"]),
        (StatusCode::METHOD_NOT_ALLOWED, &"GET".parse().unwrap())
    );
    cluster.advance(Duration::from_secs(2));
    let [ann] = enter(&cluster, ["ann"]);
    assert_eq!(cluster.replicas::<Hall>(HALL), [ann.replica()], "the seat is free");
}

/// What the body has now, as text.
fn read_now(cluster: &Cluster, body: &mut dog::Body) -> String {
    cluster.run();
    let mut read = String::new();
    let mut context = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(Ok(frame))) = http_body::Body::poll_frame(Pin::new(body), &mut context) {
        read += std::str::from_utf8(&frame.into_data().unwrap()).unwrap();
    }
    read
}

#[test]
fn silence_is_broken_by_a_comment_within_twenty_seconds() {
    let cluster = hall(9);
    let [ann] = enter(&cluster, ["ann"]);
    let mut body = cluster.get("/events?u=bob").into_body();
    assert_eq!(read_now(&cluster, &mut body), "");
    cluster.advance(Duration::from_secs(20));
    assert_eq!(read_now(&cluster, &mut body), ":\n\n");
    tell(&cluster, &ann, "all hello");
    assert_eq!(read_now(&cluster, &mut body), "data: hello\n\n");
    cluster.advance(Duration::from_secs(10));
    assert_eq!(read_now(&cluster, &mut body), "", "it was not silent");
    cluster.advance(Duration::from_secs(10));
    assert_eq!(read_now(&cluster, &mut body), ":\n\n");
    drop(body);
    cluster.run();
    assert_eq!(ann.received_texts(), ["bob is lost"]);
}

#[test]
fn a_stream_of_bytes_is_opened_with_post_and_has_what_is_sent_and_nothing_else() {
    let cluster = hall(9);
    let [ann] = enter(&cluster, ["ann"]);
    let response = cluster.fetch(Request::post("/bytes?u=talker").body("hello".into()).unwrap());
    assert_eq!(response.headers()["content-type"], "application/octet-stream");
    assert_eq!(response.headers()["x-greeting"], "hello");
    let mut body = response.into_body();
    let session = read_now(&cluster, &mut body);
    assert_eq!(deliver(&cluster, HALL, &session, "all from the stream"), 202);
    tell(&cluster, &ann, "all two\nlines");
    tell(&cluster, &ann, "all ");
    assert_eq!(read_now(&cluster, &mut body), "from the streamtwo\nlines");
    cluster.advance(Duration::from_secs(60));
    assert_eq!(read_now(&cluster, &mut body), "", "silence is silent");
    tell(&cluster, &ann, "all end");
    assert_eq!(read_now(&cluster, &mut body), "end");
    let refused = cluster.fetch(Request::put("/bytes?u=bob").body("hello".into()).unwrap());
    assert_eq!(
        (refused.status(), &refused.headers()["allow"]),
        (StatusCode::METHOD_NOT_ALLOWED, &"GET, POST".parse().unwrap())
    );
}

/// What the App answers when a client delivers a text for its session.
pub(crate) fn deliver(cluster: &Cluster, group: &str, session: &str, text: impl Into<dog::Body>) -> u16 {
    let path = format!("/deliver?group={group}&session={session}");
    cluster.fetch(Request::post(path).body(text.into()).unwrap()).status().as_u16()
}

#[test]
fn what_the_client_of_a_stream_delivers_is_handled_in_order_and_takes_no_seat() {
    let cluster = hall(2);
    let [ann] = enter(&cluster, ["ann"]);
    let stream = cluster.open_events("/events?u=talker");
    let session = stream.received_texts().remove(0);
    for command in ["all 1", "names", "name mine", "names", "all 2", "count"] {
        assert_eq!(deliver(&cluster, HALL, &session, command), 202);
    }
    cluster.run();
    assert_eq!(stream.received_texts(), ["1", "a stream", "mine", "2", "6"]);
    assert_eq!(ann.received_texts(), ["1", "2"]);
    assert_eq!((cluster.seats(ann.replica()), cluster.replicas::<Hall>(HALL).len()), (2, 1));
    assert_eq!(deliver(&cluster, HALL, &session, "bye now"), 202);
    cluster.run();
    assert_eq!(stream.closed().unwrap().reason(), "now");
    assert_eq!(deliver(&cluster, HALL, &session, "all 3"), 404, "the stream has ended");
    cluster.run();
    assert_eq!(ann.received_texts(), ["talker closed with 1008 now"]);
}

#[test]
fn a_session_that_is_not_one_is_404_and_brings_nothing_to_life() {
    let cluster = hall(2);
    let [ann] = enter(&cluster, ["ann"]);
    let stream = cluster.open_events("/events?u=talker");
    let session = stream.received_texts().remove(0);
    let mut forged = vec![String::new(), "x".into(), "0".repeat(112), format!("{session}0")];
    for at in [0, 63, 64, 79, 80, 111] {
        let mut digits = session.clone().into_bytes();
        digits[at] = if digits[at] == b'0' { b'1' } else { b'0' };
        forged.push(String::from_utf8(digits).unwrap());
    }
    for session in &forged {
        assert_eq!(deliver(&cluster, HALL, session, "all 1"), 404, "{session}");
    }
    assert_eq!(deliver(&cluster, "elsewhere", &session, "all 1"), 404, "another Group");
    cluster.run();
    assert!(cluster.members::<Hall>("elsewhere").is_none() && cluster.replicas::<Hall>("elsewhere").is_empty());
    assert_eq!(cluster.replicas::<Hall>(HALL), [ann.replica()], "no Replica of a forged name");
    assert_eq!((ann.received_texts(), stream.received_texts()), (vec![], vec![]));
}

/// The simulation has found that such a life stayed in memory for ever: it has had no event, and nothing else ended it.
#[test]
fn a_life_that_begins_for_a_session_of_the_one_before_leaves_memory() {
    let delay = Duration::from_millis(10);
    let cluster = builder(2).hibernate_after(Duration::from_secs(1)).network_delay(delay, delay).start();
    let [ann] = enter(&cluster, ["ann"]);
    let stream = cluster.open_events("/events?u=talker");
    cluster.advance(delay);
    let session = stream.received_texts().remove(0);
    // It is on its way from the Group to the Replica when that panics.
    let path = format!("/deliver?group={HALL}&session={session}");
    let delivered = cluster.begin(Request::post(path).body("all 1".into()).unwrap());
    cluster.advance(delay * 3 / 2);
    ann.send("panic now");
    cluster.advance(Duration::from_secs(10));
    let Some(Err(refused)) = delivered.answer() else { panic!("the message was taken") };
    assert_eq!(refused.status(), StatusCode::NOT_FOUND);
    assert!(!ann.is_open() && !stream.is_open());
    assert_eq!(cluster.objects_in_memory(), 1, "the Group alone");
}

#[test]
fn what_is_delivered_has_a_size_and_a_queue_with_a_bound() {
    let cluster = hall(2);
    let stream = cluster.open_events("/events?u=talker");
    let session = stream.received_texts().remove(0);
    assert_eq!(deliver(&cluster, HALL, &session, vec![b'x'; dog::MAX_DELIVERED + 1]), 413);
    assert_eq!(deliver(&cluster, HALL, &session, vec![b'x'; dog::MAX_DELIVERED]), 202);
    assert_eq!(deliver(&cluster, HALL, &session, "wait"), 202);
    assert_eq!(deliver(&cluster, HALL, &session, vec![b'x'; dog::MAX_DELIVERED]), 202);
    assert_eq!(deliver(&cluster, HALL, &session, "count"), 503, "a handler is busy, and enough waits for it");
    assert!(stream.is_open());
}
