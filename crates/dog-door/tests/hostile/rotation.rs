//! Keys that are fetched.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use dog::{Bytes, Failure, Result as DogResult, Timestamp};
use dog_door::{Denied, FetchKeys, Jwks, NoClaims, Token, Verifier};
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, poll_fn};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Header};

use crate::issuer::{EC_PUBLIC, ED_PUBLIC, NOW, RSA_PUBLIC, claims, signed_as, verifier};

/// An identity provider. It answers when it has something to answer with.
#[derive(Clone, Default)]
struct Provider(Arc<Inner>);

#[derive(Default)]
struct Inner {
    answer: Mutex<Option<Result<String, String>>>,
    waits: Mutex<Vec<Waker>>,
    fetches: AtomicU32,
}

impl Provider {
    fn answers(&self, answer: Result<String, String>) {
        *self.0.answer.lock().unwrap() = Some(answer);
        self.0.waits.lock().unwrap().drain(..).for_each(Waker::wake);
    }

    fn falls_silent(&self) {
        *self.0.answer.lock().unwrap() = None;
    }

    fn fetches(&self) -> u32 {
        self.0.fetches.load(Ordering::Relaxed)
    }
}

impl FetchKeys for Provider {
    async fn fetch(&self) -> DogResult<Bytes> {
        self.0.fetches.fetch_add(1, Ordering::Relaxed);
        let answer = poll_fn(|context| match &*self.0.answer.lock().unwrap() {
            Some(answer) => Poll::Ready(answer.clone()),
            None => {
                self.0.waits.lock().unwrap().push(context.waker().clone());
                Poll::Pending
            }
        });
        answer.await.map(Bytes::from).map_err(Failure::new)
    }
}

/// The document of a provider with these keys.
fn document(keys: &[(&str, Algorithm)]) -> String {
    let keys = keys.iter().map(|(name, algorithm)| {
        // Makes sure that there is cryptography.
        verifier(*algorithm);
        let key = match algorithm {
            Algorithm::RS256 => DecodingKey::from_rsa_pem(RSA_PUBLIC.as_bytes()),
            Algorithm::ES256 => DecodingKey::from_ec_pem(EC_PUBLIC.as_bytes()),
            Algorithm::EdDSA => DecodingKey::from_ed_pem(ED_PUBLIC.as_bytes()),
            _ => Ok(DecodingKey::from_secret(crate::issuer::SECRET)),
        };
        let mut jwk = Jwk::from_decoding_key(&key.unwrap(), None).unwrap();
        jwk.common.key_id = Some((*name).to_owned());
        jwk
    });
    serde_json::to_string(&JwkSet { keys: keys.collect() }).unwrap()
}

fn token(name: &str, algorithm: Algorithm) -> String {
    signed_as(&Header { kid: Some(name.to_owned()), ..Header::new(algorithm) }, &claims())
}

struct Checks {
    verifier: Verifier,
    provider: Provider,
}

type Check<'a> = RefCell<LocalBoxFuture<'a, Result<Token, Denied>>>;

impl Checks {
    fn new() -> Self {
        let provider = Provider::default();
        let verifier = Verifier::fetched(Jwks::new(provider.clone())).issuer("us").audience("chat");
        Self { verifier, provider }
    }

    /// Begins to check a token.
    fn begin<'a>(&'a self, token: &'a str, second: u64) -> Check<'a> {
        let now = Timestamp::from_millis((NOW + second) * 1000);
        let check: Pin<Box<dyn Future<Output = _>>> = Box::pin(self.verifier.verify::<NoClaims>(token, now));
        let check = RefCell::new(check);
        assert!(poll(&check).is_none(), "it waits for the keys");
        check
    }

    /// The status with which a token is refused, or 200.
    fn check(&self, token: &str, second: u64) -> u16 {
        let now = Timestamp::from_millis((NOW + second) * 1000);
        let outcome = self.verifier.verify::<NoClaims>(token, now).now_or_never().expect("the keys are there");
        outcome.map_or_else(|refusal| refusal.status().as_u16(), |_| 200)
    }
}

fn poll(check: &Check<'_>) -> Option<u16> {
    let outcome = check.borrow_mut().as_mut().poll(&mut Context::from_waker(Waker::noop()));
    match outcome {
        Poll::Ready(outcome) => Some(outcome.map_or_else(|refusal| refusal.status().as_u16(), |_| 200)),
        Poll::Pending => None,
    }
}

#[test]
fn keys_of_each_algorithm_are_fetched_once_and_secrets_are_not_taken() {
    let checks = Checks::new();
    let all = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA, Algorithm::HS256];
    let named = all.map(|algorithm| (format!("{algorithm:?}"), algorithm));
    let keys = named.each_ref().map(|(name, algorithm)| (&**name, *algorithm));
    checks.provider.answers(Ok(document(&keys)));
    let outcomes = keys.map(|(name, algorithm)| checks.check(&token(name, algorithm), 0));
    assert_eq!(outcomes, [200, 200, 200, 401], "a secret that everybody can fetch is none");
    assert_eq!(checks.provider.fetches(), 1);
    // The id of one key and the algorithm of another.
    assert_eq!(checks.check(&token("RS256", Algorithm::ES256), 0), 401);
}

#[test]
fn all_who_come_before_the_keys_wait_for_one_fetch() {
    let checks = Checks::new();
    let token = token("a", Algorithm::ES256);
    let [first, second, third] = [0, 0, 1].map(|at| checks.begin(&token, at));
    checks.provider.answers(Ok(document(&[("a", Algorithm::ES256)])));
    assert_eq!(poll(&second), None, "the first one fetches");
    assert_eq!(poll(&first), Some(200));
    assert_eq!((poll(&second), poll(&third)), (Some(200), Some(200)));
    assert_eq!(checks.provider.fetches(), 1);
}

#[test]
fn who_leaves_during_the_fetch_leaves_nobody_behind() {
    let checks = Checks::new();
    let token = token("a", Algorithm::ES256);
    let first = checks.begin(&token, 0);
    let second = checks.begin(&token, 0);
    drop(first);
    assert_eq!(poll(&second), Some(503), "the next attempt is a second later");
    checks.provider.answers(Ok(document(&[("a", Algorithm::ES256)])));
    assert_eq!((checks.check(&token, 0), checks.check(&token, 1)), (503, 200));
    assert_eq!(checks.provider.fetches(), 2);
}

#[test]
fn a_key_is_replaced_while_the_program_runs() {
    let checks = Checks::new();
    let (old, new) = (token("a", Algorithm::ES256), token("b", Algorithm::EdDSA));
    checks.provider.answers(Ok(document(&[("a", Algorithm::ES256)])));
    assert_eq!(checks.check(&old, 0), 200);
    checks.provider.answers(Ok(document(&[("b", Algorithm::EdDSA)])));
    assert_eq!(checks.check(&new, 29), 401, "it is too early to fetch again");
    assert_eq!(checks.check(&new, 30), 200);
    assert_eq!(checks.check(&old, 31), 401, "the old key is gone");
    assert_eq!(checks.provider.fetches(), 2);
}

#[test]
fn a_provider_that_fails_or_hangs_stops_nobody_who_is_known() {
    let checks = Checks::new();
    let known = token("a", Algorithm::ES256);
    checks.provider.answers(Ok(document(&[("a", Algorithm::ES256)])));
    assert_eq!(checks.check(&known, 0), 200);
    let long = signed_as(&Header { kid: Some("a".to_owned()), ..Header::new(Algorithm::ES256) }, &{
        let mut claims = claims();
        claims["exp"] = (NOW + 1_000_000).into();
        claims
    });
    for (second, answer) in
        [(600, Err("no route".to_owned())), (700, Ok("<html>".to_owned())), (800, Ok(document(&[])))]
    {
        checks.provider.answers(answer);
        assert_eq!(checks.check(&long, second), 200, "{second}");
    }
    assert_eq!(checks.provider.fetches(), 4);
    checks.provider.falls_silent();
    let unlucky = checks.begin(&long, 900);
    assert_eq!(checks.check(&long, 900), 200, "one fetches, and the others go on");
    assert_eq!(poll(&unlucky), None);
    checks.provider.answers(Err("no route".to_owned()));
    assert_eq!(checks.check(&long, 86_399), 200);
    assert_eq!(checks.check(&long, 86_400), 503, "nobody knows whether they were revoked");
}
