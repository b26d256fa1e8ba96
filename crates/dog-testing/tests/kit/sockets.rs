//! Client sockets and requests of the test kit.

use dog::http::{Request, StatusCode};
use dog::{Body, CloseCode, Message};
use dog_testing::{Cluster, websocket};
use serde_json::{Value, json};

use super::app::{House, builder, enter, hall, tell};

#[test]
fn a_message_is_text_binary_or_json_and_taken_once() {
    let cluster = hall(2);
    let [ann] = enter(&cluster, ["ann"]);
    ann.send("all hello");
    ann.send(vec![1, 2, 3]);
    ann.send_json(&json!("no command"));
    ann.send(r#"json {"a":1}"#);
    assert_eq!(ann.received(), [], "nothing happens before the cluster runs");
    cluster.run();
    assert_eq!(ann.next(), Some(Message::text("hello")));
    assert_eq!(ann.received(), [Message::binary([1, 2, 3]), Message::text(r#"{"a":1}"#)]);
    assert_eq!(ann.next(), None);

    ann.send(r#"json {"a":2}"#);
    cluster.run();
    assert_eq!(ann.received_json::<Value>(), [json!({ "a": 2 })]);
}

#[test]
#[should_panic(expected = "received a binary message of 3 bytes")]
fn reading_a_binary_message_as_text_panics() {
    let cluster = hall(2);
    let [ann] = enter(&cluster, ["ann"]);
    ann.send(vec![1, 2, 3]);
    cluster.run();
    let _ = ann.received_texts();
}

#[test]
#[should_panic(expected = "expected JSON of u32")]
fn reading_json_of_another_type_panics() {
    let cluster = hall(2);
    let [ann] = enter(&cluster, ["ann"]);
    ann.send("all hello");
    cluster.run();
    let _ = ann.received_json::<u32>();
}

#[test]
fn a_socket_knows_its_client_and_its_replica() {
    let cluster = hall(1);
    let [ann, bob] = enter(&cluster, ["ann", "bob"]);
    assert_eq!((ann.client().as_str(), bob.client().as_str()), ("ann", "bob"));
    assert_ne!(ann.replica(), bob.replica());
    assert!(format!("{ann:?}").contains("ann"));
}

#[test]
fn the_code_and_reason_of_a_close_reach_the_other_side() {
    let cluster = hall(4);
    let [ann, bob, cid, dan] = enter(&cluster, ["ann", "bob", "cid", "dan"]);
    bob.close();
    cid.close_with(CloseCode::GOING_AWAY, "home");
    dan.vanish();
    assert!(bob.is_open() && !dan.is_open(), "a close takes effect when the cluster runs, a cable is cut at once");
    cluster.run();
    assert_eq!(ann.received_texts(), ["bob closed with 1000 ", "cid closed with 1001 home", "dan is lost"]);
    assert_eq!(bob.closed().unwrap().code(), CloseCode::NORMAL);
    assert_eq!(dan.closed().unwrap().code(), CloseCode::ABNORMAL);

    assert_eq!(ann.closed(), None);
    ann.send("bye for now");
    cluster.run();
    let closed = ann.closed().unwrap();
    assert_eq!((closed.code(), closed.reason()), (CloseCode::POLICY, "for now"));
    assert!(!ann.is_open());
    assert_eq!(tell(&cluster, &ann, "all hello"), [""; 0], "a socket that has ended sends nothing");
}

#[test]
fn a_client_that_stops_reading_gets_messages_later_or_is_closed_as_too_slow() {
    let cluster = builder(2).max_outbox(10_000).start();
    let [ann, bob] = enter(&cluster, ["ann", "bob"]);
    ann.stop_reading();
    assert_eq!(tell(&cluster, &bob, "all one").len(), 1);
    assert_eq!(tell(&cluster, &ann, "flood 9"), [""; 0]);
    ann.read_on();
    assert_eq!(ann.received().len(), 10);
    assert_eq!(tell(&cluster, &ann, "flood 20").len(), 20, "the limit does not apply to a client that reads");

    ann.stop_reading();
    ann.send("flood 11");
    cluster.run();
    assert_eq!(bob.received_texts(), ["ann was too slow"]);
    ann.read_on();
    assert_eq!((ann.received().len(), ann.closed().unwrap().code()), (11, CloseCode::TRY_AGAIN));
}

#[test]
fn requests_carry_headers_and_bodies() {
    let cluster = Cluster::new(House);
    let request = Request::post("/echo").header("content-type", "text/plain").body(Body::from("hello")).unwrap();
    let response = cluster.fetch(request);
    assert_eq!(
        (response.status(), &response.headers()["content-type"]),
        (StatusCode::OK, &"text/plain".parse().unwrap())
    );
    assert_eq!(cluster.read_text(response), "hello");
    let request = Request::post("/echo").body(Body::from(vec![1, 2])).unwrap();
    let response = cluster.fetch(request);
    assert_eq!(cluster.read(response)[..], [1, 2]);
    assert_eq!(cluster.get("/elsewhere?u=ann").status(), StatusCode::NOT_FOUND);

    let mut request = websocket("/ws");
    request.headers_mut().insert("x-user", "ann".parse().unwrap());
    assert_eq!(cluster.open(request).unwrap().client().as_str(), "ann");
    assert_eq!(
        cluster.open(websocket("/ws")).unwrap_err().status(),
        StatusCode::BAD_REQUEST,
        "the request names no client"
    );
}

#[test]
fn a_request_that_is_not_answered_keeps_its_seat_and_gives_it_back() {
    let cluster = hall(1);
    let waits = cluster.begin(Request::get("/never?u=ann").body(Body::empty()).unwrap());
    let socket = cluster.begin(websocket("/ws?u=bob"));
    assert!(socket.answer().is_none());
    cluster.run();
    assert!(waits.answer().is_none());
    let bob = socket.answer().unwrap().unwrap();
    assert!(socket.answer().is_none(), "an answer can be taken only once");
    assert_eq!(
        cluster.replicas::<super::app::Hall>(super::app::HALL).len(),
        2,
        "a request in progress fills one of them"
    );
    assert_eq!(tell(&cluster, &bob, "all hello"), ["hello"]);

    let gone = cluster.begin(websocket("/ws?u=cid"));
    gone.vanish();
    cluster.run();
    assert!(gone.answer().is_none());
    assert_eq!(bob.received_texts(), ["cid is lost"], "the socket of a client that has vanished ends at once");
}

#[test]
#[should_panic(expected = "is not a valid path")]
fn an_invalid_path_panics() {
    let _ = Cluster::new(House).get("no path");
}

#[test]
#[should_panic(expected = "/ws was answered with 400 Bad Request")]
fn a_refused_connect_says_what_was_answered() {
    let _ = Cluster::new(House).connect("/ws");
}

#[test]
#[should_panic(expected = "use `open` or `connect`")]
fn a_fetch_that_opens_a_socket_panics() {
    let _ = Cluster::new(House).fetch(websocket("/ws?u=ann"));
}
