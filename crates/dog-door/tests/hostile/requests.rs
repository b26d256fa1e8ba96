//! Requests to a gate.

use dog::http::Request as HttpRequest;
use dog::{Body, ClientId, Failure, Request, Timestamp};
use dog_door::{Admitted, ComeBack, Denied, Gate, NoClaims, Origins, Sessions, TokenSource};
use jsonwebtoken::Algorithm;
use serde_json::json;

use crate::issuer::{NOW, SECRET, at_once, claims, now, signed, verifier};

fn gate() -> Gate {
    let sources = [
        TokenSource::Bearer,
        TokenSource::Cookie("t".into()),
        TokenSource::Subprotocol("bearer.".into()),
        TokenSource::Query("token".into()),
    ];
    Gate::new(verifier(Algorithm::HS256), sources)
}

fn request(path: &str, fields: &[(&str, &str)]) -> Request {
    let request = HttpRequest::get(path).header("host", "chat.example");
    let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(Body::empty()).unwrap()
}

fn admit(gate: &Gate, path: &str, fields: &[(&str, &str)]) -> Result<Admitted, Denied> {
    at_once(gate.admit(&request(path, fields), now()))
}

fn token() -> String {
    signed(Algorithm::HS256, &claims())
}

#[test]
fn a_valid_token_comes_in_from_each_place() {
    let token = token();
    for (path, name, value) in [
        ("/ws", "authorization", format!("bEaReR {token}")),
        ("/ws", "cookie", format!("a=b; t={token}")),
        ("/ws", "sec-websocket-protocol", format!("chat, bearer.{token}")),
        (&*format!("/ws?token={token}"), "x-nothing", String::new()),
    ] {
        let admitted = admit(&gate(), path, &[(name, &value)]).unwrap();
        assert_eq!(admitted.client(), &ClientId::new("ann").unwrap(), "{name}");
    }
}

#[test]
fn a_refusal_says_what_to_do_and_nothing_about_the_server() {
    let forged = format!("Bearer {}x", token());
    let (cookie, other) = (format!("t={0}; t={0}", token()), format!("Basic {}", token()));
    let page = ("origin", "https://evil.example");
    let authorised = format!("Bearer {}", token());
    for (fields, status, come_back) in [
        (vec![], 401, ComeBack::WithAnotherToken),
        (vec![("authorization", &*forged)], 401, ComeBack::WithAnotherToken),
        (vec![("authorization", "Bearer ")], 401, ComeBack::WithAnotherToken),
        (vec![("authorization", &*other)], 401, ComeBack::WithAnotherToken),
        (vec![("cookie", &*cookie)], 401, ComeBack::WithAnotherToken),
        (vec![("authorization", &*authorised), page], 403, ComeBack::Never),
    ] {
        let refusal = admit(&gate(), "/ws", &fields).unwrap_err();
        assert_eq!((refusal.status().as_u16(), refusal.come_back()), (status, come_back), "{refusal}");
        let response = refusal.response();
        assert_eq!(response.headers().contains_key("www-authenticate"), status == 401);
        assert_eq!(refusal.close_code().as_u16(), 4000 + status);
        assert!(!refusal.close_code().should_retry());
        let text = refusal.text();
        assert!(text.contains(':') && !text.contains("evil") && !text.contains("HS256"), "{text}");
        let failure = Failure::from(refusal.clone());
        let error: &dog::Error = failure.downcast_ref().unwrap();
        assert_eq!((error.status().as_u16(), error.is_refused()), (status, true));
    }
}

#[test]
fn a_bad_token_in_the_first_place_is_not_saved_by_a_good_one_in_the_second() {
    let fields = [("authorization", "Bearer a.b.c"), ("cookie", &*format!("t={}", token()))];
    assert_eq!(admit(&gate(), "/ws", &fields).unwrap_err().status(), 401);
}

#[test]
fn a_token_that_names_nobody_is_refused() {
    for subject in [json!(null), json!(""), json!("x".repeat(257)), json!("\u{0}=1-1")] {
        let mut claims = claims();
        claims["sub"] = subject.clone();
        let bearer = format!("Bearer {}", signed(Algorithm::HS256, &claims));
        assert_eq!(admit(&gate(), "/ws", &[("authorization", &bearer)]).unwrap_err().status(), 401, "{subject}");
    }
    let gate = gate().client_by(|token| ClientId::new(format!("user {}", token.id().unwrap_or_default())));
    let admitted = admit(&gate, "/ws", &[("authorization", &format!("Bearer {}", token()))]).unwrap();
    assert_eq!(admitted.client().as_str(), "user 1");
}

#[test]
fn other_pages_come_in_if_they_are_named() {
    let gate = gate().origins(Origins::same().allow("https://app.example").unwrap());
    let bearer = format!("Bearer {}", token());
    for (origin, comes_in) in [
        ("https://app.example", true),
        ("https://chat.example", true),
        ("https://evil.example", false),
        ("null", false),
    ] {
        let fields = [("authorization", &*bearer), ("origin", origin)];
        assert_eq!(admit(&gate, "/ws", &fields).is_ok(), comes_in, "{origin}");
    }
}

/// The part of a `Set-Cookie` that a browser sends back.
fn pair(cookie: &dog::http::HeaderValue) -> String {
    cookie.to_str().unwrap().split(';').next().unwrap().to_owned()
}

#[test]
fn a_session_comes_in_until_it_ends_and_under_its_name_only() {
    let sessions = Sessions::new(SECRET).unwrap();
    let ann = ClientId::new("ann").unwrap();
    let cookie = sessions.cookie(&ann, &NoClaims {}, now()).unwrap();
    let text = cookie.to_str().unwrap();
    assert!(text.starts_with("__Host-session=ey"), "{text}");
    assert!(text.ends_with("; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax; Secure"), "{text}");

    let gate: Gate = sessions.gate();
    let at = |gate: &Gate, cookie: &str, seconds: u64| {
        let time = Timestamp::from_millis((NOW + seconds) * 1000);
        at_once(gate.admit(&request("/ws", &[("cookie", cookie)]), time))
    };
    let sent = pair(&cookie);
    assert_eq!(at(&gate, &sent, 604_000).unwrap().client(), &ann);
    assert_eq!(at(&gate, &sent, 604_831).unwrap_err().status(), 401);
    let value = sent.split_once('=').unwrap().1;
    let insecure = Sessions::new(SECRET).unwrap().name("admin").unwrap().insecure();
    assert_eq!(insecure.cookie_name(), "admin");
    let renamed = at(&insecure.gate(), &format!("admin={value}"), 0);
    assert_eq!(renamed.unwrap_err().status(), 401, "a session of one name is none of another");
    let unsigned = at(&gate, "__Host-session=ann", 0);
    assert_eq!(unsigned.unwrap_err().status(), 401);
    let ended = sessions.end();
    assert!(pair(&ended) == "__Host-session=" && ended.to_str().unwrap().contains("Max-Age=0;"));
    assert_eq!(at(&gate, &pair(&ended), 0).unwrap_err().status(), 401);
}

#[test]
fn a_session_that_cannot_work_is_an_error() {
    let sessions = Sessions::new(SECRET).unwrap();
    let ann = ClientId::new("ann").unwrap();
    assert!(Sessions::new(b"short").is_err());
    for name in ["", "a b", "a;b", "a=b", "ä"] {
        assert!(sessions.clone().name(name).is_err(), "{name:?}");
    }
    assert!(sessions.cookie(&ann, &json!({ "sub": "bob" }), now()).is_err());
    assert!(sessions.cookie(&ann, &json!("bob"), now()).is_err());
    assert!(sessions.cookie(&ann, &json!({ "x": "x".repeat(4000) }), now()).is_err());
    assert!(sessions.cookie(&ann, &json!({ "x": "x".repeat(2000) }), now()).is_ok());
    assert!(!format!("{sessions:?}").contains("thirty"));
}
