//! The keys of an identity provider, which change: [`Jwks`], [`FetchKeys`].

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use dog::{Bytes, Timestamp};
use jsonwebtoken::Header;
use serde::Deserialize;
use serde_json::Value;

use crate::denied::Denied;
use crate::key::TokenKey;
use crate::key_cache::{KeyCache, Lookup, Timing};

/// The longest document with keys, in bytes.
const MAX_DOCUMENT: usize = 256 * 1024;
/// The most keys of a document that are used.
const MAX_KEYS: usize = 100;
/// The most requests that wait for a fetch.
const MAX_WAITING: usize = 1_000;
/// How often a request waits for the fetch of another one.
const MAX_WAITS: usize = 2;

/// Fetches the document with the keys of an identity provider, such as `https://id.example.com/.well-known/jwks.json`. On a
/// native server use any HTTP client, on Workers `worker::Fetch`.
///
/// ```
/// use dog::{Bytes, Result};
/// # async fn get(_: &str) -> Result<Bytes> { Ok(Bytes::new()) }
///
/// struct Provider { address: String }
///
/// impl dog_door::FetchKeys for Provider {
///     async fn fetch(&self) -> Result<Bytes> {
///         get(&self.address).await // with your HTTP client, and with a timeout of less than 10 s
///     }
/// }
/// ```
pub trait FetchKeys: 'static {
    /// The document: JSON with a list `keys` (RFC 7517, section 5), 256 KiB at most.
    ///
    /// Give it a timeout. After 10 s another request fetches too, and those that have waited go on waiting for whichever ends
    /// first. It is dropped with the request for which it fetches.
    ///
    /// # Errors
    /// Any. It is logged. Keys that were fetched before stay in use, until they are too old.
    fn fetch(&self) -> impl Future<Output = dog::Result<Bytes>>;
}

type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// [`FetchKeys`] as an object.
trait Fetch {
    fn fetch(&self) -> LocalFuture<'_, dog::Result<Bytes>>;
}

impl<F: FetchKeys> Fetch for F {
    fn fetch(&self) -> LocalFuture<'_, dog::Result<Bytes>> {
        Box::pin(FetchKeys::fetch(self))
    }
}

/// The public keys of an identity provider (a JWKS), fetched when they are needed, and again when they change (feature
/// `public-keys`).
///
/// - A token names its key (`kid`). If the key is not known, the keys are fetched, and the request waits. **Invented names cause
///   no flood**: fetches are at least [`min_interval`](Self::min_interval) apart (30 s). In between, such a token is refused.
///   Without any keys, fetches are 1 s apart.
/// - Keys older than [`refresh_after`](Self::refresh_after) (10 min) are fetched by the next request that needs one. The other
///   requests use what there is.
/// - If a fetch fails, the keys stay in use until they are [`max_stale`](Self::max_stale) old (24 h). Then tokens are refused
///   with 503.
/// - Of the document, keys for RS256, ES256 and EdDSA signatures are used, 100 at most. Others are skipped, secrets too. A
///   document without one that can be used is a failed fetch.
///
/// One process keeps one copy. At most 1,000 requests wait for a fetch; further ones are refused with 503.
pub struct Jwks {
    fetch: Box<dyn Fetch + Send + Sync>,
    shared: Mutex<Shared>,
}

struct Shared {
    cache: KeyCache,
    /// Those that wait for the end of a fetch, by number.
    waiting: BTreeMap<u64, Waker>,
    next: u64,
    /// How many fetches have ended.
    ended: u64,
}

impl Jwks {
    /// Keys that `fetch` fetches. The value is used by all threads; its futures are not.
    pub fn new(fetch: impl FetchKeys + Send + Sync) -> Self {
        let timing = Timing {
            refresh_after: Duration::from_secs(600),
            min_interval: Duration::from_secs(30),
            max_stale: Duration::from_secs(24 * 3600),
        };
        let shared = Shared { cache: KeyCache::new(timing), waiting: BTreeMap::new(), next: 0, ended: 0 };
        Self { fetch: Box::new(fetch), shared: Mutex::new(shared) }
    }

    /// After what time keys are fetched again, 10 min by default.
    #[must_use]
    pub fn refresh_after(self, age: Duration) -> Self {
        self.lock().cache.set_timing(|timing| timing.refresh_after = age);
        self
    }

    /// The shortest time from the begin of one fetch to the next, 30 s by default. It is also for how long a new key may be
    /// unknown. So identity providers should publish a key some time before they use it, and they do.
    #[must_use]
    pub fn min_interval(self, interval: Duration) -> Self {
        self.lock().cache.set_timing(|timing| timing.min_interval = interval);
        self
    }

    /// For how long keys are used while fetches fail, 24 h by default. A key that the provider has revoked is good for as long
    /// as that, if nobody can fetch.
    #[must_use]
    pub fn max_stale(self, age: Duration) -> Self {
        self.lock().cache.set_timing(|timing| timing.max_stale = age);
        self
    }

    pub(crate) async fn find(&self, header: &Header, now: Timestamp) -> Result<Arc<TokenKey>, Denied> {
        let mut waits = 0;
        loop {
            let (lookup, ended) = self.look_up(header, now);
            match lookup {
                Lookup::Use(key) => return Ok(key),
                Lookup::Unknown => return Err(Denied::unknown_key(header)),
                Lookup::Unavailable => return Err(Denied::later("there are no keys: the last fetch has failed")),
                Lookup::Fetch => self.fetch(now).await,
                Lookup::Wait if waits < MAX_WAITS => {
                    waits += 1;
                    self.wait(ended).await?;
                }
                Lookup::Wait => return Err(Denied::later("the keys are being fetched")),
            }
        }
    }

    /// What to do, and how many fetches have ended until now.
    fn look_up(&self, header: &Header, now: Timestamp) -> (Lookup, u64) {
        let mut shared = self.lock();
        (shared.cache.lookup(header, now), shared.ended)
    }

    async fn fetch(&self, now: Timestamp) {
        let mut attempt = Attempt { jwks: self, began: now, keys: None };
        match self.fetch.fetch().await.and_then(|document| Ok(keys(&document)?)) {
            Ok(keys) => attempt.keys = Some(keys),
            Err(error) => tracing::warn!("the keys of the identity provider cannot be fetched: {error}"),
        }
    }

    /// Waits until a fetch ends after `ended` ones.
    async fn wait(&self, ended: u64) -> Result<(), Denied> {
        let mut place = Place { jwks: self, number: None };
        poll_fn(|context| {
            let mut shared = self.lock();
            if shared.ended != ended {
                return Poll::Ready(Ok(()));
            }
            if place.number.is_none() {
                if shared.waiting.len() >= MAX_WAITING {
                    return Poll::Ready(Err(Denied::later("too many requests wait for the keys")));
                }
                place.number = Some(shared.next);
                shared.next += 1;
            }
            shared.waiting.extend(place.number.map(|number| (number, context.waker().clone())));
            Poll::Pending
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Jwks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Jwks").field("cache", &self.lock().cache).finish_non_exhaustive()
    }
}

/// A fetch. Dropping it tells the cache and wakes who waits, also when its request has been dropped.
struct Attempt<'a> {
    jwks: &'a Jwks,
    began: Timestamp,
    keys: Option<Vec<TokenKey>>,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut shared = self.jwks.lock();
        shared.cache.ended(self.began, self.keys.take());
        shared.ended += 1;
        let waiting = std::mem::take(&mut shared.waiting);
        drop(shared);
        waiting.into_values().for_each(Waker::wake);
    }
}

/// The place of a request among those that wait.
struct Place<'a> {
    jwks: &'a Jwks,
    number: Option<u64>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.jwks.lock().waiting.remove(&number);
        }
    }
}

/// The keys of a document that can be used. One that cannot be read does not hide the others.
fn keys(document: &[u8]) -> Result<Vec<TokenKey>, String> {
    #[derive(Deserialize)]
    struct Document {
        keys: Vec<Value>,
    }
    if document.len() > MAX_DOCUMENT {
        return Err(format!("the document has {} bytes, {MAX_DOCUMENT} at most", document.len()));
    }
    let document: Document =
        serde_json::from_slice(document).map_err(|error| format!("the document is no JWKS: {error}"))?;
    let keys = document.keys.into_iter().filter_map(|key| TokenKey::public(&serde_json::from_value(key).ok()?).ok());
    let keys: Vec<TokenKey> = keys.take(MAX_KEYS).collect();
    if keys.is_empty() {
        Err("the document has no key for RS256, ES256 or EdDSA signatures".to_owned())
    } else {
        Ok(keys)
    }
}
