//! The way into a room whose users log in: what the cookie says, who is refused, and what is not there without an open door.

use std::io::Write as _;
use std::time::Duration;

use chat::app::Chat;
use chat::door::Door;
use dog::http::{Method, header};
use dog::{Body, Env, Request, Response};
use dog_door::Sessions;
use dog_test_support::command_line::{misused, refused};
use dog_testing::{ClientSocket, Cluster, refused_after_upgrade};
use serde_json::{Value, json};

const SECRET: &[u8] = &[7; 32];
const PROGRAM: &str = env!("CARGO_BIN_EXE_chat");

fn sessions() -> Sessions {
    Sessions::new(SECRET).expect("it is long enough")
}

fn room(sessions: Sessions) -> Cluster {
    let builder = Cluster::builder(Chat).env(Env::new().with(Door::login(sessions)));
    builder.hibernate_after(Duration::from_secs(60)).start()
}

fn request(method: Method, path: &str, headers: &[(header::HeaderName, &str)], body: &str) -> Request {
    let mut request = dog::http::Request::builder().method(method).uri(path).header(header::HOST, "chat.example");
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    request.body(Body::from(body.to_owned())).expect("a valid request")
}

fn log_in(cluster: &Cluster, name: &str) -> Response {
    cluster.fetch(request(Method::POST, "/login", &[(header::ORIGIN, "https://chat.example")], name))
}

/// What the browser sends back.
fn cookie(response: &Response) -> String {
    let cookie = response.headers()[header::SET_COOKIE].to_str().expect("a cookie in ASCII");
    cookie.split(';').next().expect("name=value").to_owned()
}

/// Opens the WebSocket. `Err` is the close code of the refusal, or its status.
fn enter(cluster: &Cluster, path: &str, headers: &[(header::HeaderName, &str)]) -> Result<String, u16> {
    let mut request = dog_testing::websocket(path);
    request.headers_mut().insert(header::HOST, "chat.example".parse().expect("a host"));
    for (name, value) in headers {
        request.headers_mut().insert(name, value.parse().expect("a value"));
    }
    let code = |refusal: &Response| match refused_after_upgrade(refusal) {
        Some(close) => close.code().as_u16(),
        None => refusal.status().as_u16(),
    };
    let socket = cluster.open(request).map_err(|refusal| code(&refusal))?;
    socket.send_json(&json!({ "type": "req:connected" }));
    cluster.run();
    let connected = socket.received_json::<Value>().pop().expect("the answer");
    Ok(connected["from"].as_str().expect("a name").to_owned())
}

#[test]
fn who_has_logged_in_enters_under_that_name_and_no_other() {
    let cluster = room(sessions());
    assert_eq!(enter(&cluster, "/ws", &[]), Err(4401));
    assert_eq!(enter(&cluster, "/ws?u=ann", &[]), Err(4401), "the address names nobody");
    let welcome = log_in(&cluster, "ann");
    assert_eq!(welcome.status(), 204);
    let set = welcome.headers()[header::SET_COOKIE].to_str().expect("a cookie").to_owned();
    assert!(set.starts_with("__Host-session=") && set.ends_with("; HttpOnly; SameSite=Lax; Secure"), "{set}");
    let ann = cookie(&welcome);
    assert_eq!(enter(&cluster, "/ws?u=bob", &[(header::COOKIE, &ann)]).as_deref(), Ok("ann"));

    // Every part of the cookie counts, and so does the secret.
    let mut changed = ann.clone();
    let last = changed.pop().expect("a character");
    changed.push(if last == 'A' { 'Q' } else { 'A' });
    let other = room(Sessions::new(&[8; 32]).expect("it is long enough"));
    for forged in [changed, cookie(&log_in(&other, "ann")), "__Host-session=ann".to_owned()] {
        assert_eq!(enter(&cluster, "/ws", &[(header::COOKIE, &forged)]), Err(4401), "{forged}");
    }
    cluster.advance(Duration::from_secs(8 * 24 * 3600));
    assert_eq!(enter(&cluster, "/ws", &[(header::COOKIE, &ann)]), Err(4401), "a week is over");
    assert_eq!(cluster.failures(), [""; 0]);
}

#[test]
fn pages_of_other_servers_neither_enter_nor_log_anybody_in_or_out() {
    let cluster = room(sessions());
    let ann = cookie(&log_in(&cluster, "ann"));
    let evil = (header::ORIGIN, "https://evil.example");
    assert_eq!(enter(&cluster, "/ws", &[(header::COOKIE, &ann), evil.clone()]), Err(4403));
    assert_eq!(enter(&cluster, "/ws", &[(header::COOKIE, &ann), (header::ORIGIN, "null")]), Err(4403));
    for path in ["/login", "/logout"] {
        assert_eq!(
            cluster.fetch(request(Method::POST, path, std::slice::from_ref(&evil), "eve")).status(),
            403,
            "{path}"
        );
    }
    let mine = (header::ORIGIN, "https://chat.example");
    assert_eq!(enter(&cluster, "/ws", &[(header::COOKIE, &ann), mine]).as_deref(), Ok("ann"));
}

/// Opens the WebSocket of a user who has logged in.
fn socket(cluster: &Cluster, name: &str) -> ClientSocket {
    enter_as(cluster, &cookie(&log_in(cluster, name)))
}

fn enter_as(cluster: &Cluster, cookie: &str) -> ClientSocket {
    let mut request = dog_testing::websocket("/ws");
    for (field, value) in [(header::HOST, "chat.example"), (header::COOKIE, cookie)] {
        request.headers_mut().insert(field, value.parse().expect("a value"));
    }
    cluster.open(request).expect("a session")
}

fn texts(socket: &ClientSocket) -> Vec<String> {
    heard(socket, "user:msg")
}

/// The texts of the messages of one type since the last time.
fn heard(socket: &ClientSocket, kind: &str) -> Vec<String> {
    let heard = socket.received_json::<Value>().into_iter().filter(|heard| heard["type"] == kind);
    heard.map(|heard| heard["text"].as_str().expect("a text").to_owned()).collect()
}

#[test]
fn who_sends_too_fast_waits_and_the_others_do_not() {
    let cluster = room(sessions());
    let [ann, bob] = ["ann", "bob"].map(|name| socket(&cluster, name));
    let all: Vec<String> = (0..105).map(|number| number.to_string()).collect();
    for text in &all {
        ann.send(json!({ "type": "msg", "text": text }).to_string());
    }
    cluster.run();
    assert_eq!(texts(&bob), all[..100], "five seconds at once");
    bob.send(json!({ "type": "msg", "text": "slow down" }).to_string());
    cluster.run();
    assert_eq!(texts(&bob), ["slow down"]);
    cluster.advance(Duration::from_secs(1));
    assert_eq!(texts(&bob), all[100..]);
    assert!(ann.is_open());
}

/// What `GET /session` answers, and the cookie that it sets.
fn session(cluster: &Cluster, cookie: &str) -> (Value, Option<String>) {
    let answer = cluster.fetch(request(Method::GET, "/session", &[(header::COOKIE, cookie)], ""));
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()[header::CACHE_CONTROL]),
        (200, &"no-store".parse().expect("a value"))
    );
    let cookie = answer.headers().contains_key(header::SET_COOKIE).then(|| self::cookie(&answer));
    (serde_json::from_str(&cluster.read_text(answer)).expect("JSON"), cookie)
}

/// A session lasts a week, and the socket a minute longer.
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
const SECOND: Duration = Duration::from_secs(1);

/// The code and the reason with which it was closed.
fn ended(socket: &ClientSocket) -> Option<(u16, String)> {
    socket.closed().map(|close| (close.code().as_u16(), close.reason().to_owned()))
}

fn expired() -> Option<(u16, String)> {
    Some((4401, "the token has expired: get another one".to_owned()))
}

#[test]
fn a_socket_closes_when_its_session_ends_and_its_room_hibernates_until_then() {
    let cluster = room(sessions());
    let ann = socket(&cluster, "ann");
    cluster.advance(Duration::from_secs(3600));
    let bob = socket(&cluster, "bob");
    assert_eq!(ann.replica(), bob.replica());
    cluster.advance(WEEK - Duration::from_secs(3600 - 59));
    assert!(ann.is_open() && !cluster.is_awake(ann.replica()));
    cluster.advance(SECOND);
    assert_eq!(ended(&ann), expired());
    cluster.advance(Duration::from_secs(3599));
    assert!(bob.is_open());
    cluster.advance(SECOND);
    assert_eq!(ended(&bob), expired());
    assert_eq!(cluster.failures(), [""; 0]);
}

#[test]
fn who_renews_the_session_stays_without_a_new_socket() {
    let cluster = room(sessions());
    let mut cookie = cookie(&log_in(&cluster, "ann"));
    let ann = enter_as(&cluster, &cookie);
    let begun = cookie.clone();
    for _ in 0..4 {
        cluster.advance(WEEK / 2);
        let (found, new) = session(&cluster, &cookie);
        cookie = new.expect("another cookie");
        assert_eq!((&found["name"], &found["seconds"]), (&json!("ann"), &json!(WEEK.as_secs())));
        ann.send(json!({ "type": "req:renew", "token": found["renewal"] }).to_string());
        cluster.run();
    }
    assert!(ann.is_open() && heard(&ann, "error").is_empty());
    assert_eq!(session(&cluster, &begun), (json!({ "open": false, "name": null }), None));
    // The renewals survive hibernation, and end too.
    cluster.advance(WEEK + 59 * SECOND);
    assert!(ann.is_open());
    cluster.advance(SECOND);
    assert_eq!(ended(&ann), expired());
    assert_eq!(cluster.failures(), [""; 0]);
}

#[test]
fn a_renewal_is_good_for_its_own_user_and_for_nothing_else() {
    let cluster = room(sessions());
    let mine = cookie(&log_in(&cluster, "ann"));
    let ann = enter_as(&cluster, &mine);
    let renewal = |cookie: &str| session(&cluster, cookie).0["renewal"].as_str().expect("a token").to_owned();
    let of_ann = renewal(&mine);
    for name in ["session", "renewal"] {
        assert_eq!(enter(&cluster, "/ws", &[(header::COOKIE, &format!("__Host-{name}={of_ann}"))]), Err(4401));
    }
    cluster.advance(WEEK / 2);
    let of_bob = renewal(&cookie(&log_in(&cluster, "bob")));
    let session_itself = mine.split_once('=').expect("name=value").1;
    for wrong in [&*of_bob, session_itself, "a.b.c", ""] {
        ann.send(json!({ "type": "req:renew", "token": wrong }).to_string());
        cluster.run();
        assert_eq!(heard(&ann, "error").len(), 1, "{wrong}");
    }
    cluster.advance(WEEK / 2 + 60 * SECOND);
    assert_eq!(ended(&ann), expired(), "nothing was renewed");
}

#[test]
fn the_page_learns_whether_to_log_in_and_who_it_is() {
    let cluster = room(sessions());
    assert_eq!(session(&cluster, ""), (json!({ "open": false, "name": null }), None));
    let (found, renewed) = session(&cluster, &cookie(&log_in(&cluster, "änn")));
    assert_eq!((&found["open"], &found["name"]), (&json!(false), &json!("änn")));
    assert!(renewed.is_some());
    let gone = cluster.fetch(request(Method::POST, "/logout", &[], ""));
    assert!(gone.headers()[header::SET_COOKIE].to_str().expect("a cookie").contains("Max-Age=0"));
    let open = Cluster::builder(Chat).env(Env::new().with(Door::Open)).start();
    assert_eq!(session(&open, ""), (json!({ "open": true }), None));
}

#[test]
fn bad_logins_and_what_only_an_open_room_has_are_refused() {
    let cluster = room(sessions());
    let ann = cookie(&log_in(&cluster, "ann"));
    for (name, status) in [("", 400), (&*"x".repeat(257), 413)] {
        assert_eq!(log_in(&cluster, name).status(), status, "{name}");
    }
    for path in ["/broadcast", "/emit", "/whisper?target=ann"] {
        let answer = cluster.fetch(request(Method::GET, path, &[(header::COOKIE, &ann)], ""));
        assert_eq!(answer.status(), 404, "{path}: a link would be enough to send it");
    }
    for path in ["/login", "/logout"] {
        assert_eq!(cluster.get(path).status(), 405, "{path}");
        let open = Cluster::builder(Chat).env(Env::new().with(Door::Open)).start();
        assert_eq!(open.fetch(request(Method::POST, path, &[], "ann")).status(), 404, "{path}");
    }
    // Nobody enters a room whose program has forgotten the door.
    let without = Cluster::new(Chat);
    assert_eq!(without.get("/ws?u=ann").status(), 500);
    assert!(without.failures()[0].contains("Door"));
}

#[test]
fn the_command_line_says_what_a_door_needs() {
    misused(PROGRAM, &["--open", "--session-lasts", "3600"], "cannot be used with");
    misused(PROGRAM, &["--session-lasts", "59"], "59 is not in 60..");
    misused(PROGRAM, &["--cluster", "nats://127.0.0.1:1"], "not provided");
    misused(PROGRAM, &["--open", "--session-secret", "file"], "cannot be used with");
    misused(PROGRAM, &["--open", "--https"], "cannot be used with");
    refused(PROGRAM, &["--session-secret", "/no/such/file"], "/no/such/file");
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(b"short\n").expect("space");
    refused(PROGRAM, &["--session-secret", file.path().to_str().expect("a path in UTF-8")], "give 32 random ones");
}
