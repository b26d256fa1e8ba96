//! The requests of other programs: announcing, listing and removing. In one process on a virtual clock, and on the native server.

use std::time::Duration;

use chat::app::{Chat, Lobby};
use chat::backend::Secret;
use chat::door::Door;
use dog::http::header;
use dog::{Body, Env, Limit, Request};
use dog_door::Sessions;
use dog_native::Server;
use dog_test_support::client::{Client, http_with};
use dog_testing::{ClientSocket, Cluster, refused_after_upgrade};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

const SECRET: &str = "open sesame";

/// How long it takes at most until a join is announced, or a removal.
const TOLD: Duration = Duration::from_millis(300);

fn env() -> Env {
    Env::new().with(Limit::new(2)).with(Door::Open).with(Secret::new(SECRET).expect("it is not empty"))
}

fn room() -> Cluster {
    Cluster::builder(Chat).env(env()).start()
}

fn request(method: &str, path: &str, secret: Option<&str>, body: impl Into<Body>) -> Request {
    let mut request = dog::http::Request::builder().method(method).uri(path);
    if let Some(secret) = secret {
        request = request.header(header::AUTHORIZATION, format!("Bearer {secret}"));
    }
    request.body(body.into()).expect("a valid request")
}

/// The status and the body of the response.
fn ask(cluster: &Cluster, request: Request) -> (u16, Value) {
    let response = cluster.fetch(request);
    let (status, text) = (response.status().as_u16(), cluster.read_text(response));
    cluster.run();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

fn status(cluster: &Cluster, request: Request) -> u16 {
    ask(cluster, request).0
}

fn enter<const N: usize>(cluster: &Cluster, names: [&str; N]) -> [ClientSocket; N] {
    let sockets = names.map(|name| cluster.connect(&format!("/ws?u={name}")));
    cluster.advance(TOLD);
    sockets.iter().for_each(|socket| drop(socket.received()));
    sockets
}

#[test]
fn an_announcement_reaches_every_socket_and_counts_them() {
    let cluster = room();
    let sockets = enter(&cluster, ["ann", "bob", "cid", "ann"]);
    let answer = ask(&cluster, request("POST", "/announce", Some(SECRET), "tea at five"));
    assert_eq!(answer, (200, json!({ "sockets": 4 })));
    for socket in &sockets {
        let mut heard = socket.received_json::<Value>();
        let said = heard.pop().expect("the announcement");
        assert!(said["time"].is_u64(), "{said}");
        assert_eq!(
            (&said["type"], &said["from"], &said["text"]),
            (&json!("user:msg"), &json!("HTTP"), &json!("tea at five"))
        );
    }
}

#[test]
fn an_announcement_in_an_empty_room_is_kept_for_those_who_come() {
    let cluster = room();
    let answer = ask(&cluster, request("POST", "/announce", Some(SECRET), "is anybody there?"));
    assert_eq!(answer, (200, json!({ "sockets": 0 })));
    assert_eq!(ask(&cluster, request("GET", "/users", None, "")), (200, json!({ "users": [] })));
    let history = cluster.connect("/ws?u=ann").received_json::<Value>().remove(0);
    assert_eq!((&history["offset"], &history["messages"][0]["text"]), (&json!(1), &json!("is anybody there?")));
}

#[test]
fn a_user_who_is_removed_loses_every_socket_and_the_others_see_it() {
    let cluster = room();
    let [ann, bob, again, _cid] = enter(
        &cluster,
        ["ann ü", "bob", "ann ü", "cid"].map(|name| match name {
            "ann ü" => "ann%20%C3%BC",
            name => name,
        }),
    );
    assert_ne!(ann.replica(), again.replica());
    let users = json!({ "users": [
        { "name": "ann ü", "sockets": 2 }, { "name": "bob", "sockets": 1 }, { "name": "cid", "sockets": 1 },
    ] });
    assert_eq!(ask(&cluster, request("GET", "/users", None, "")), (200, users));
    let remove = || request("DELETE", "/users/ann%20%C3%BC", Some(SECRET), "");
    assert_eq!(ask(&cluster, remove()), (200, json!({ "sockets": 2 })));
    for socket in [&ann, &again] {
        let close = socket.closed().expect("its socket is closed");
        assert_eq!((close.code().as_u16(), close.reason()), (4003, "removed"));
    }
    assert_eq!(status(&cluster, remove()), 404, "nobody is left to remove");
    cluster.advance(TOLD);
    assert!(bob.received_json::<Value>().iter().any(|message| message["type"] == "user:exit"));
    let (_, users) = ask(&cluster, request("GET", "/users", None, ""));
    assert_eq!(users["users"].as_array().map(Vec::len), Some(2));
}

/// A session as the browser sends it.
fn log_in(cluster: &Cluster, name: &str) -> String {
    let answer = cluster.fetch(request("POST", "/login", None, name.to_owned()));
    let cookie = answer.headers()[header::SET_COOKIE].to_str().expect("ASCII");
    cookie.split(';').next().expect("name=value").to_owned()
}

/// Enters with a session. `Err` is the close code of the refusal.
fn enter_with(cluster: &Cluster, session: &str) -> Result<ClientSocket, u16> {
    let mut request = dog_testing::websocket("/ws");
    request.headers_mut().insert(header::COOKIE, session.parse().expect("a value"));
    cluster.open(request).map_err(|refusal| refused_after_upgrade(&refusal).expect("a close").code().as_u16())
}

fn session_of(cluster: &Cluster, session: &str) -> Value {
    let mut asked = request("GET", "/session", None, "");
    asked.headers_mut().insert(header::COOKIE, session.parse().expect("a value"));
    ask(cluster, asked).1["name"].clone()
}

#[test]
fn the_sessions_of_a_user_who_is_removed_are_over_for_good_and_a_new_login_is_not() {
    let sessions = Sessions::new(&[7; 32]).expect("it is long enough");
    let env = Env::new().with(Door::login(sessions)).with(Secret::new(SECRET).expect("it is not empty"));
    let cluster = Cluster::builder(Chat).env(env).hibernate_after(Duration::from_secs(5)).start();
    let [ann, bob, cid] = ["ann", "bob", "cid"].map(|name| log_in(&cluster, name));
    let sockets = [&ann, &ann, &bob].map(|session| enter_with(&cluster, session).expect("a session"));
    cluster.advance(Duration::from_secs(60));
    assert!(!cluster.is_awake(sockets[0].replica()), "who hibernates is closed too");
    let remove = |name: &str| ask(&cluster, request("DELETE", &format!("/users/{name}"), Some(SECRET), ""));
    assert_eq!(remove("ann"), (200, json!({ "sockets": 2 })));
    // Who is not here has a session all the same.
    assert_eq!(remove("cid"), (200, json!({ "sockets": 0 })));
    let codes = sockets.each_ref().map(|socket| socket.closed().map(|close| close.code().as_u16()));
    assert_eq!(codes, [Some(4003), Some(4003), None]);
    let renewed = |session: &String| session_of(&cluster, session);
    assert_eq!([&ann, &bob, &cid].map(renewed), [json!(null), json!("bob"), json!(null)], "none is renewed");
    cluster.restart_group::<Lobby>("lobby-id");
    let enters = |session: &String| enter_with(&cluster, session).err();
    assert_eq!([&ann, &bob, &cid].map(enters), [Some(4403), None, Some(4403)]);
    cluster.advance(Duration::from_secs(1));
    let again = log_in(&cluster, "ann");
    assert!(enter_with(&cluster, &again).is_ok());
    // Until the list answers, nobody knows who was removed.
    cluster.cut_off_group::<Lobby>("lobby-id");
    assert_eq!(enter_with(&cluster, &bob).err(), Some(1013));
    assert_eq!(cluster.failures(), [""; 0]);
}

/// Each message takes 10 ms, so a handshake and a removal are some of these long. The one begins at each step of the other.
#[test]
fn a_user_who_is_removed_while_entering_is_not_in_the_room() {
    let ms = Duration::from_millis;
    for seed in 0..4 {
        let mut refused_at = 0;
        for offset in (0_u64..400).step_by(5) {
            let sessions = Sessions::new(&[7; 32]).expect("it is long enough");
            let env = Env::new().with(Door::login(sessions)).with(Secret::new(SECRET).expect("it is not empty"));
            let cluster = Cluster::builder(Chat).env(env).nodes(3).seed(seed).network_delay(ms(10), ms(10)).start();
            let session = log_in(&cluster, "ann");
            let mut handshake = dog_testing::websocket("/ws");
            handshake.headers_mut().insert(header::COOKIE, session.parse().expect("a value"));
            let remove = request("DELETE", "/users/ann", Some(SECRET), "");
            // From a removal that is long over to a handshake that is long over.
            let (first, second) = if offset < 200 { (remove, handshake) } else { (handshake, remove) };
            let begun = cluster.begin(first);
            cluster.advance(ms(offset.abs_diff(200)));
            let pending = [begun, cluster.begin(second)];
            // As long as a user stays after the last socket, and some more.
            cluster.advance(Duration::from_secs(2));
            let answers = pending.map(|pending| pending.answer().expect("an answer"));
            for answer in answers {
                match answer {
                    Ok(socket) => assert!(socket.closed().is_some(), "seed {seed}, {offset}: the socket stays"),
                    Err(answer) if answer.status() == 101 => refused_at += 1,
                    Err(answer) => assert_eq!(answer.status(), 200, "seed {seed}, {offset}"),
                }
            }
            let (_, users) = ask(&cluster, request("GET", "/users", None, ""));
            assert_eq!(users, json!({ "users": [] }), "seed {seed}, {offset}");
            assert_eq!(cluster.failures(), [""; 0]);
        }
        assert!((1..80).contains(&refused_at), "both orders: {refused_at}");
    }
}

#[test]
fn the_secret_is_asked_for_before_anything_else() {
    let cluster = room();
    let long = "x".repeat(16 * 1024 + 1);
    for wrong in [None, Some(""), Some("open sesam"), Some("open sesamE"), Some("open sesame ")] {
        assert_eq!(status(&cluster, request("POST", "/announce", wrong, long.clone())), 401, "{wrong:?}");
        assert_eq!(status(&cluster, request("DELETE", "/users/%FF", wrong, "")), 401, "{wrong:?}");
    }
    let mut basic = request("POST", "/announce", None, "hello");
    basic.headers_mut().insert(header::AUTHORIZATION, "Basic b3BlbiBzZXNhbWU=".parse().expect("a header"));
    assert_eq!(status(&cluster, basic), 401);
    assert_eq!(cluster.objects_in_memory(), 0);
}

#[test]
fn a_bad_request_is_refused_and_reaches_nobody() {
    let cluster = room();
    let [ann] = enter(&cluster, ["ann"]);
    let announce = |body: Vec<u8>| request("POST", "/announce", Some(SECRET), body);
    assert_eq!(status(&cluster, announce(vec![b'x'; 16 * 1024 + 1])), 413);
    assert_eq!(status(&cluster, announce(Vec::new())), 400);
    assert_eq!(status(&cluster, announce(vec![0xFF, 0xFE])), 400);
    for (name, expected) in [("", 400), ("%FF", 400), (&*"x".repeat(257), 400), ("a%2Fb", 404), ("nobody", 404)] {
        assert_eq!(
            status(&cluster, request("DELETE", &format!("/users/{name}"), Some(SECRET), "")),
            expected,
            "{name}"
        );
    }
    assert!(ann.is_open() && ann.received().is_empty());
    assert_eq!(status(&cluster, announce(vec![b'x'; 16 * 1024])), 200);
    assert_eq!(ann.received().len(), 1);
}

#[test]
fn other_methods_are_told_which_one_there_is() {
    let cluster = room();
    for (path, others, allowed) in [
        ("/announce", ["GET", "PUT"], "POST"),
        ("/users", ["POST", "DELETE"], "GET"),
        ("/users/ann", ["GET", "POST"], "DELETE"),
    ] {
        for method in others {
            let response = cluster.fetch(request(method, path, Some(SECRET), ""));
            assert_eq!(response.status(), 405, "{method} {path}");
            assert_eq!(response.headers()[header::ALLOW], allowed);
        }
    }
}

#[test]
fn without_a_secret_there_is_nothing() {
    assert!(Secret::new("").is_none());
    let cluster = Cluster::new(Chat);
    for (method, path) in [("POST", "/announce"), ("GET", "/users"), ("DELETE", "/users/ann"), ("GET", "/announce")] {
        assert_eq!(status(&cluster, request(method, path, Some(SECRET), "hello")), 404, "{method} {path}");
    }
}

#[tokio::test]
async fn the_native_server_answers_other_programs() {
    let server = Server::new(Chat).env(env()).bind("127.0.0.1:0").workers(2);
    let running = server.start().await.expect("a port is free");
    let address = running.local_addr();
    let known = format!("authorization: Bearer {SECRET}\r\n");
    let send = async |method, path, headers: &str, body: &str| {
        let answer = http_with(address, method, path, headers, body).await;
        (answer.status, answer.body)
    };
    let announce = async |headers: &str, body: &str| send("POST", "/announce", headers, body).await;
    let sockets = |count: u32| (200, json!({ "sockets": count }).to_string());
    assert_eq!(announce(&known, "hello").await, sockets(0));
    let mut ann = Client::connect(address, "/ws?u=ann").await;
    let mut cid = Client::connect(address, "/ws?u=cid").await;
    let _bob = Client::connect(address, "/ws?u=ann").await;
    // Who comes and goes within a tick is not announced at all.
    while cid.next_of("user:join").await["from"] != "cid" {}
    for (headers, body, status) in [
        ("", "hello", 401),
        (&*format!("authorization: Bearer {}\r\n", "x".repeat(200_000)), "hello", 431),
        (&known, "", 400),
        (&known, &"x".repeat(16 * 1024 + 1), 413),
    ] {
        assert_eq!(announce(headers, body).await.0, status);
    }
    assert_eq!(announce(&known, "hello").await, sockets(3));
    for client in [&mut ann, &mut cid] {
        assert_eq!(client.next_of("user:msg").await["text"], "hello");
    }
    let listed = json!({ "users": [{ "name": "ann", "sockets": 2 }, { "name": "cid", "sockets": 1 }] });
    assert_eq!(send("GET", "/users", "", "").await, (200, listed.to_string()));
    assert_eq!(send("DELETE", "/users/ann", "", "").await.0, 401);
    assert_eq!(send("DELETE", "/users/ann", &known, "").await, sockets(2));
    assert_eq!(cid.next_of("user:exit").await["from"], "ann");
    let close = loop {
        if let Message::Close(close) = ann.next_raw().await {
            break close.expect("a code");
        }
    };
    assert_eq!((u16::from(close.code), close.reason.as_str()), (4003, "removed"));
    assert_eq!(send("DELETE", "/users/ann", &known, "").await.0, 404);
}
