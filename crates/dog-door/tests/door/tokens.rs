//! Tokens that are forged, meant for another service, or revoked; and pages of other sites.

use dog_test_support::client::{Client, handshake};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::app::{PUBLIC, claims, now, path, signed, token};
use crate::served::{DATA, Served};

/// The JSON of a part of a token, in its form there.
fn part(token: &str, at: usize) -> &str {
    token.split('.').nth(at).unwrap()
}

fn but(name: &str, value: Value) -> String {
    let mut claims = claims("ann", "a");
    claims[name] = value;
    signed(&claims)
}

/// What must not open the gate.
fn forged() -> Vec<(&'static str, String)> {
    let (ann, bob) = (token("ann", "a"), token("bob", "b"));
    let hmac = |secret: &[u8]| {
        let key = EncodingKey::from_secret(secret);
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims("ann", "a"), &key).unwrap()
    };
    // {"alg":"none"} in its two usual spellings.
    let none = ["eyJhbGciOiJub25lIn0", "eyJ0eXAiOiJKV1QiLCJhbGciOiJOb25lIn0"];
    vec![
        ("nobody's signature", format!("{}.{}.{}", part(&ann, 0), part(&ann, 1), part(&bob, 2))),
        ("no signature", format!("{}.{}.", part(&ann, 0), part(&ann, 1))),
        ("alg none", format!("{}.{}.", none[0], part(&ann, 1))),
        ("alg None, signed", format!("{}.{}.{}", none[1], part(&ann, 1), part(&ann, 2))),
        ("the public key as a secret", hmac(PUBLIC.as_bytes())),
        ("the public key as a secret, without its last line end", hmac(PUBLIC.trim_end().as_bytes())),
        ("a secret of its own", hmac(&[0; 32])),
        ("expired", but("exp", json!(now() - 3600))),
        ("not valid yet", but("nbf", json!(now() + 3600))),
        ("another audience", but("aud", json!("mail"))),
        ("another issuer", but("iss", json!("them"))),
        ("without an end", but("exp", Value::Null)),
        ("nobody", but("sub", json!(""))),
        ("too long", format!("{ann}{}", "a".repeat(9000))),
        ("no token", "x".to_owned()),
    ]
}

#[tokio::test]
async fn forged_tokens_and_pages_of_other_sites_reach_nobody() {
    let served = Served::start(&[]).await;
    let (steady, before) = (served.steady().await, served.resident());
    for _ in 0..20 {
        for (what, token) in forged() {
            assert_eq!(served.refusal(&token).await, Some(401), "{what}");
        }
    }
    let ann = token("ann", "a");
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1.evil.example"] {
        // A browser sends the cookie of the victim along.
        let mut request = handshake(served.address, "/ws");
        request.headers_mut().insert("cookie", format!("token={ann}").parse().unwrap());
        request.headers_mut().insert("origin", origin.parse().unwrap());
        assert_eq!(Client::open(request).await.err(), Some(403), "{origin}");
    }
    let mut own = handshake(served.address, "/ws");
    own.headers_mut().insert("cookie", format!("token={ann}").parse().unwrap());
    own.headers_mut().insert("origin", format!("http://{}", served.address).parse().unwrap());
    drop(Client::open(own).await.expect("a page of this server"));
    served.weigh(before, 0, "300 forged tokens");
    steady.end("forged tokens").await;
    served.end();
}

/// Waits for the close, and checks its code: `dog_door::FORBIDDEN`.
pub(crate) async fn is_told_not_to_come_back(client: &mut Client) {
    loop {
        if let Message::Close(close) = client.next_raw().await {
            return assert_eq!(u16::from(close.unwrap().code), 4403);
        }
    }
}

#[tokio::test]
async fn what_is_revoked_loses_its_sockets_and_does_not_come_back_after_a_restart_either() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [(DATA, folder.path().to_str().unwrap())];
    let served = Served::start(&settings).await;
    let steady = served.steady().await;
    let (first, second, bob) = (token("ann", "a-1"), token("ann", "a-2"), token("bob", "b-1"));
    let mut ann = [served.enter(&first).await, served.enter(&second).await];
    let mut others = served.enter(&bob).await;
    served.revoke("id=a-1").await;
    is_told_not_to_come_back(&mut ann[0]).await;
    assert_eq!(served.refusal(&first).await, Some(403));
    ann[1].send_raw(Message::text("here")).await;
    assert_eq!(ann[1].next_raw().await, Message::text("here"), "another token of the same client counts");
    served.revoke("client=ann").await;
    is_told_not_to_come_back(&mut ann[1]).await;
    assert_eq!(served.refusal(&second).await, Some(403));
    others.send_raw(Message::text("still here")).await;
    while others.next_raw().await != Message::text("still here") {}
    steady.end("revoked tokens").await;
    drop(others);
    served.end();

    let served = Served::start(&settings).await;
    drop(served.enter(&bob).await);
    for token in [first, second] {
        assert_eq!(served.refusal(&token).await, Some(403), "{}", path(&token));
    }
    served.end();
}
