//! What is not a valid token.

use std::sync::LazyLock;

use dog_door::{NoClaims, TokenKey, Verifier};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::issuer::{NOW, RSA_PUBLIC, SECRET, at_once, check, claims, key, now, signed, signed_as, verifier};

const ALGORITHMS: [Algorithm; 4] = [Algorithm::HS256, Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base64 for URLs without padding, so that a test can write what `jsonwebtoken` does not.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number = chunk.iter().chain(&[0, 0]).take(3).fold(0, |number, byte| number << 8 | usize::from(*byte));
        text.extend((0..=chunk.len()).map(|digit| char::from(DIGITS[number >> (18 - 6 * digit) & 63])));
    }
    text
}

/// A token with this header, and the signature of a valid one.
fn with_header(header: &Value, signature: &str) -> String {
    format!("{}.{}.{signature}", base64(header.to_string().as_bytes()), base64(claims().to_string().as_bytes()))
}

/// A token that is valid but for one claim.
fn but(name: &str, value: Value) -> String {
    let mut claims = claims();
    claims[name] = value;
    signed(Algorithm::HS256, &claims)
}

fn without(name: &str) -> String {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    signed(Algorithm::HS256, &claims)
}

#[track_caller]
fn is_refused(verifier: &Verifier, token: &str) -> &'static str {
    let refusal = check(verifier, token).unwrap_err();
    assert_eq!((refusal.status().as_u16(), refusal.close_code().as_u16()), (401, 4401), "{refusal}");
    assert!(refusal.text().len() <= 123, "it fits into a close");
    refusal.text()
}

#[test]
fn a_valid_token_of_each_algorithm_is_taken_by_its_own_key_only() {
    for signer in ALGORITHMS {
        let token = signed(signer, &claims());
        for checker in ALGORITHMS {
            if signer == checker {
                let token = check(&verifier(checker), &token).unwrap();
                assert_eq!((token.subject(), token.id()), (Some("ann"), Some("1")));
                assert_eq!(token.expires().as_millis(), (NOW + 60) * 1000);
            } else {
                is_refused(&verifier(checker), &token);
            }
        }
    }
}

#[test]
fn a_public_key_is_no_secret() {
    for public in [RSA_PUBLIC, RSA_PUBLIC.trim_end()] {
        let forged = EncodingKey::from_secret(public.as_bytes());
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims(), &forged).unwrap();
        is_refused(&verifier(Algorithm::RS256), &token);
        let both = Verifier::any_of([key(Algorithm::RS256), key(Algorithm::HS256)]).issuer("us").audience("chat");
        is_refused(&both, &token);
    }
}

#[test]
fn no_header_switches_the_check_off() {
    let valid = signed(Algorithm::HS256, &claims());
    let signature = valid.rsplit('.').next().unwrap();
    for alg in ["none", "None", "NONE", "", "hs256", "HS512", "RS256", "dir"] {
        for signature in ["", signature] {
            is_refused(&verifier(Algorithm::HS256), &with_header(&json!({ "alg": alg, "typ": "JWT" }), signature));
        }
    }
    for header in [json!({ "typ": "JWT" }), json!({ "alg": null }), json!([]), json!("HS256")] {
        is_refused(&verifier(Algorithm::HS256), &with_header(&header, signature));
    }
    // A key that the token brings along counts for nothing.
    let mut header = Header::new(Algorithm::HS256);
    header.jku = Some("https://evil.example/jwks.json".to_owned());
    assert!(check(&verifier(Algorithm::HS256), &signed_as(&header, &claims())).is_ok(), "it is not read");
    header.crit = Some(vec!["exp".to_owned()]);
    is_refused(&verifier(Algorithm::HS256), &signed_as(&header, &claims()));
}

#[test]
fn a_token_of_another_secret_or_issuer_or_audience_is_refused() {
    let other = EncodingKey::from_secret(b"another secret of thirty-two bytes");
    let forged = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims(), &other).unwrap();
    let texts = [
        forged,
        but("iss", json!("them")),
        but("iss", json!(["us"])),
        without("iss"),
        but("aud", json!("mail")),
        but("aud", json!(["mail", "news"])),
        but("aud", json!({ "chat": true })),
        but("aud", json!([])),
        without("aud"),
    ]
    .map(|token| is_refused(&verifier(Algorithm::HS256), &token));
    assert!(texts.iter().all(|text| *text == texts[0]), "who tries learns nothing from the text: {texts:?}");

    assert!(check(&verifier(Algorithm::HS256), &but("aud", json!(["mail", "chat"]))).is_ok());
    let nobody = Verifier::new(key(Algorithm::HS256));
    is_refused(&nobody, &signed(Algorithm::HS256, &claims()));
    assert!(check(&nobody, &without("aud")).is_ok());
}

#[test]
fn a_token_counts_from_its_begin_to_its_end() {
    let hs256 = verifier(Algorithm::HS256);
    // With a leeway of 30 s, and to the millisecond.
    for (name, value, is_valid) in [
        ("exp", json!(NOW - 29), true),
        ("exp", json!(NOW - 30), false),
        ("exp", json!(NOW as f64 - 29.5), true),
        ("exp", json!(0), false),
        ("exp", json!(-1), false),
        ("exp", json!(-1.5), false),
        ("exp", json!((NOW + 60).to_string()), false),
        ("exp", json!(null), false),
        ("exp", json!(u64::MAX), true),
        ("exp", json!(1e300), true),
        ("nbf", json!(NOW + 30), true),
        ("nbf", json!(NOW + 31), false),
        ("nbf", json!("soon"), false),
        ("nbf", json!(-1), false),
        ("sub", json!(7), false),
    ] {
        assert_eq!(check(&hs256, &but(name, value.clone())).is_ok(), is_valid, "{name} is {value}");
    }
    assert!(is_refused(&hs256, &but("exp", json!(NOW - 60))).contains("expired"));
    assert!(is_refused(&hs256, &but("nbf", json!(NOW + 60))).contains("not valid yet"));
    is_refused(&hs256, &without("exp"));
    assert!(check(&hs256, &without("nbf")).is_ok());
}

#[test]
fn a_token_without_an_end_counts_only_where_it_is_allowed() {
    let endless = verifier(Algorithm::HS256).allow_endless();
    assert!(check(&endless, &without("exp")).unwrap().is_endless());
    assert!(!check(&endless, &but("exp", json!(NOW + 60))).unwrap().is_endless());
    assert!(check(&endless, &but("exp", json!(NOW - 60))).unwrap_err().is_expired());
    is_refused(&endless, &but("exp", json!("never")));
}

#[test]
fn only_a_token_that_is_right_but_too_old_has_expired() {
    let hs256 = verifier(Algorithm::HS256);
    let old = but("exp", json!(NOW - 30));
    assert!(check(&hs256, &old).unwrap_err().is_expired());
    let mut of_others = vec![but("exp", json!("now")), but("nbf", json!(NOW + 60)), without("exp"), format!("{old}A")];
    for (name, value) in [("iss", json!("them")), ("aud", json!("game")), ("nbf", json!(NOW + 60))] {
        let mut claims = claims();
        claims["exp"] = json!(NOW - 30);
        claims[name] = value;
        of_others.push(signed(Algorithm::HS256, &claims));
    }
    for token in of_others {
        assert!(!check(&hs256, &token).unwrap_err().is_expired(), "{token}");
    }
}

#[test]
fn a_claim_that_is_there_twice_is_refused() {
    // Two readers could each believe another one.
    let payload = format!(r#"{{"sub":"bob","sub":"ann","iss":"us","aud":"chat","exp":{}}}"#, NOW + 60);
    let message = format!("{}.{}", base64(br#"{"alg":"HS256"}"#), base64(payload.as_bytes()));
    let secret = EncodingKey::from_secret(SECRET);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &secret, Algorithm::HS256).unwrap();
    is_refused(&verifier(Algorithm::HS256), &format!("{message}.{signature}"));
}

#[test]
fn what_is_cut_or_too_long_is_refused() {
    let hs256 = verifier(Algorithm::HS256);
    let valid = signed(Algorithm::HS256, &claims());
    for end in 0..valid.len() {
        is_refused(&hs256, &valid[..end]);
    }
    for garbage in ["", ".", "..", "...", "a.b.c", "ä.ö.ü", &format!("{valid}."), &format!("{valid}=")] {
        is_refused(&hs256, garbage);
    }
    let longest = but("x", json!("x".repeat(5900)));
    assert!(longest.len() <= dog_door::MAX_TOKEN && check(&hs256, &longest).is_ok(), "{}", longest.len());
    let too_long = but("x", json!("x".repeat(6100)));
    assert!(too_long.len() > dog_door::MAX_TOKEN && is_refused(&hs256, &too_long).contains("8 KiB"));
}

#[test]
fn an_unknown_key_id_is_refused() {
    let named = |name: &str| Header { kid: Some(name.to_owned()), ..Header::new(Algorithm::HS256) };
    let verifier = Verifier::any_of([key(Algorithm::HS256).with_id("a")]).issuer("us").audience("chat");
    assert!(check(&verifier, &signed_as(&named("a"), &claims())).is_ok());
    is_refused(&verifier, &signed_as(&named("b"), &claims()));
}

#[test]
fn the_programs_own_claims_have_to_be_there() {
    #[derive(serde::Deserialize)]
    struct Claims {
        admin: bool,
    }
    let verifier = verifier(Algorithm::HS256);
    let token = at_once(verifier.verify::<Claims>(&but("admin", json!(true)), now())).unwrap();
    assert!(token.claims().admin);
    for wrong in [signed(Algorithm::HS256, &claims()), but("admin", json!("yes"))] {
        assert_eq!(at_once(verifier.verify::<Claims>(&wrong, now())).map(drop).unwrap_err().status(), 401);
    }
    assert!(at_once(verifier.verify::<NoClaims>(&but("admin", json!("yes")), now())).is_ok());
}

#[test]
fn weak_and_wrong_keys_are_not_taken() {
    assert!(TokenKey::hs256(&SECRET[..31]).is_err());
    assert!(TokenKey::rs256_pem(include_str!("../keys/rsa1024.pub.pem")).is_err());
    assert!(TokenKey::es256_pem(include_str!("../keys/ec384.pub.pem")).is_err());
    assert!(TokenKey::es256_pem(RSA_PUBLIC).is_err() && TokenKey::eddsa_pem(RSA_PUBLIC).is_err());
    let rs512 = r#"{"kty":"RSA","alg":"RS512","n":"x","e":"AQAB"}"#;
    let short = r#"{"kty":"oct","k":"c2hvcnQ"}"#;
    for wrong in ["", "{}", "[]", rs512, short, r#"{"kty":"EC","crv":"P-384","x":"","y":""}"#] {
        assert!(TokenKey::jwk(wrong).is_err(), "{wrong}");
    }
    let debug = format!("{:?}", key(Algorithm::HS256));
    assert!(!debug.contains("thirty"), "{debug}");
}

/// A valid token of each algorithm.
static VALID: LazyLock<[String; 4]> = LazyLock::new(|| ALGORITHMS.map(|algorithm| signed(algorithm, &claims())));

proptest! {
    /// Whatever is changed: another digit, one more, one less, two that change places.
    #[test]
    fn no_change_of_a_valid_token_is_taken(which in 0..4_usize, at: prop::sample::Index, change in 0..4, digit in 0..66_usize) {
        let valid = &VALID[which];
        let (mut changed, at) = (valid.clone().into_bytes(), at.index(valid.len()));
        let digit = *b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=".get(digit).unwrap();
        match change {
            0 => changed[at] = digit,
            1 => changed.insert(at, digit),
            2 => drop(changed.remove(at)),
            _ => changed.swap(at, (at + 1) % valid.len()),
        }
        let changed = String::from_utf8(changed).unwrap();
        let outcome = check(&verifier(ALGORITHMS[which]), &changed);
        prop_assert_eq!(outcome.is_ok(), changed == *valid, "{}", changed);
    }
}
