//! Who issues tokens in these tests, and what checks them.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use dog::Timestamp;
use dog_door::{Denied, NoClaims, Token, TokenKey, Verifier};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

pub(crate) const SECRET: &[u8] = b"thirty-two bytes, or some more..";
/// When the tests take place, in seconds. The machine's clock shows something else.
pub(crate) const NOW: u64 = 4_000_000_000;

pub(crate) const RSA: &str = include_str!("../keys/rsa.pem");
pub(crate) const RSA_PUBLIC: &str = include_str!("../keys/rsa.pub.pem");
pub(crate) const EC_PUBLIC: &str = include_str!("../keys/ec.pub.pem");
pub(crate) const ED_PUBLIC: &str = include_str!("../keys/ed.pub.pem");
const EC: &str = include_str!("../keys/ec.pem");
const ED: &str = include_str!("../keys/ed.pem");

pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(NOW * 1000)
}

/// What a valid token says.
pub(crate) fn claims() -> Value {
    json!({ "sub": "ann", "iss": "us", "aud": "chat", "exp": NOW + 60, "nbf": NOW - 60, "jti": "1" })
}

/// A token with these claims and the algorithm's key.
pub(crate) fn signed(algorithm: Algorithm, claims: &Value) -> String {
    signed_as(&Header::new(algorithm), claims)
}

pub(crate) fn signed_as(header: &Header, claims: &Value) -> String {
    // Makes sure that there is cryptography.
    verifier(header.alg);
    let key = match header.alg {
        Algorithm::RS256 => EncodingKey::from_rsa_pem(RSA.as_bytes()),
        Algorithm::ES256 => EncodingKey::from_ec_pem(EC.as_bytes()),
        Algorithm::EdDSA => EncodingKey::from_ed_pem(ED.as_bytes()),
        _ => Ok(EncodingKey::from_secret(SECRET)),
    };
    jsonwebtoken::encode(header, claims, &key.unwrap()).unwrap()
}

pub(crate) fn key(algorithm: Algorithm) -> TokenKey {
    let key = match algorithm {
        Algorithm::RS256 => TokenKey::rs256_pem(RSA_PUBLIC),
        Algorithm::ES256 => TokenKey::es256_pem(EC_PUBLIC),
        Algorithm::EdDSA => TokenKey::eddsa_pem(ED_PUBLIC),
        _ => TokenKey::hs256(SECRET),
    };
    key.unwrap()
}

/// What checks tokens of that algorithm.
pub(crate) fn verifier(algorithm: Algorithm) -> Verifier {
    Verifier::new(key(algorithm)).issuer("us").audience("chat")
}

/// Checks a token at once: nothing is fetched.
pub(crate) fn check(verifier: &Verifier, token: &str) -> Result<Token, Denied> {
    at_once(verifier.verify::<NoClaims>(token, now()))
}

pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits for something"),
    }
}
