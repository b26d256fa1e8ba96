//! When keys are fetched: [`KeyCache`], without time or network of its own.

use std::sync::Arc;
use std::time::Duration;

use dog::Timestamp;
use jsonwebtoken::Header;

use crate::key::TokenKey;

/// When keys are fetched, and for how long they are used. See [`Jwks`](crate::Jwks) for what each means.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) refresh_after: Duration,
    pub(crate) min_interval: Duration,
    pub(crate) max_stale: Duration,
}

/// The interval of attempts while there are no keys at all.
const EMPTY_INTERVAL: Duration = Duration::from_secs(1);
/// Who fetches for longer than this is taken over.
const FETCH_DEADLINE: Duration = Duration::from_secs(10);
/// By how much a clock has to be behind to have been set back.
const SET_BACK: Duration = Duration::from_secs(3600);

/// The keys that were fetched, and when.
#[derive(Debug)]
pub(crate) struct KeyCache {
    timing: Timing,
    keys: Vec<Arc<TokenKey>>,
    /// When the last fetch that succeeded began.
    fetched: Option<Timestamp>,
    /// When the last fetch began.
    attempted: Option<Timestamp>,
    /// Since when somebody fetches.
    fetches: Option<Timestamp>,
}

/// What to do about a token.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// Check it with this key.
    Use(Arc<TokenKey>),
    /// Fetch the keys, tell the cache, and ask again. Nobody else fetches meanwhile.
    Fetch,
    /// Somebody fetches. Ask again when that has ended.
    Wait,
    /// Refuse it: there are keys, and none fits.
    Unknown,
    /// There are no keys, and it is too early to try again.
    Unavailable,
}

impl KeyCache {
    pub(crate) fn new(timing: Timing) -> Self {
        Self { timing, keys: Vec::new(), fetched: None, attempted: None, fetches: None }
    }

    pub(crate) fn set_timing(&mut self, change: impl FnOnce(&mut Timing)) {
        change(&mut self.timing);
    }

    pub(crate) fn lookup(&mut self, header: &Header, now: Timestamp) -> Lookup {
        let age = self.fetched.map(|fetched| now.since(fetched));
        if age.is_some_and(|age| age >= self.timing.max_stale) {
            self.keys.clear();
        }
        let known = self.known(header);
        let is_due = known.is_none() || age.is_none_or(|age| age >= self.timing.refresh_after);
        if is_due && !self.is_fetching(now) && self.may_fetch(now) {
            self.attempted = Some(now);
            self.fetches = Some(now);
            return Lookup::Fetch;
        }
        match known {
            Some(key) => Lookup::Use(key),
            None if self.is_fetching(now) => Lookup::Wait,
            None if self.keys.is_empty() => Lookup::Unavailable,
            None => Lookup::Unknown,
        }
    }

    /// The fetch that began at `began` has ended: with keys, or without if it has failed. Then the keys stay.
    pub(crate) fn ended(&mut self, began: Timestamp, keys: Option<Vec<TokenKey>>) {
        if let Some(keys) = keys {
            self.keys = keys.into_iter().map(Arc::new).collect();
            self.fetched = Some(began);
        }
        // A fetch that was taken over does not end the one that took over.
        if self.fetches == Some(began) {
            self.fetches = None;
        }
    }

    /// The key with the id that the token names. A token that names none needs no name if only one key fits.
    fn known(&self, header: &Header) -> Option<Arc<TokenKey>> {
        let mut fitting = self.keys.iter().filter(|key| key.fits(header));
        let found = match header.kid {
            Some(_) => fitting.find(|key| key.is_named_by(header)),
            None => fitting.next().filter(|_| fitting.next().is_none()),
        };
        found.cloned()
    }

    fn is_fetching(&self, now: Timestamp) -> bool {
        self.fetches.is_some_and(|since| now.since(since) < FETCH_DEADLINE)
    }

    fn may_fetch(&self, now: Timestamp) -> bool {
        let interval = if self.keys.is_empty() { EMPTY_INTERVAL } else { self.timing.min_interval };
        self.attempted.is_none_or(|last| now.since(last) >= interval || last.since(now) >= SET_BACK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::Algorithm;

    const TIMING: Timing = Timing {
        refresh_after: Duration::from_secs(600),
        min_interval: Duration::from_secs(30),
        max_stale: Duration::from_secs(86_400),
    };

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + seconds * 1000)
    }

    /// A key with this id. Which one it is does not matter here.
    fn key(id: &str) -> TokenKey {
        TokenKey::hs256(&[7; 32]).unwrap().with_id(id)
    }

    fn names(id: &str) -> Header {
        Header { kid: Some(id.to_owned()), ..Header::new(Algorithm::HS256) }
    }

    fn does(cache: &mut KeyCache, id: &str, seconds: u64) -> &'static str {
        match cache.lookup(&names(id), at(seconds)) {
            Lookup::Use(_) => "use",
            Lookup::Fetch => "fetch",
            Lookup::Wait => "wait",
            Lookup::Unknown => "unknown",
            Lookup::Unavailable => "unavailable",
        }
    }

    /// A cache that has fetched these keys at second 0.
    fn cache(ids: &[&str]) -> KeyCache {
        let mut cache = KeyCache::new(TIMING);
        assert_eq!(does(&mut cache, "a", 0), "fetch");
        cache.ended(at(0), Some(ids.iter().map(|id| key(id)).collect()));
        cache
    }

    #[test]
    fn one_fetches_and_the_others_wait_or_use_what_there_is() {
        let mut cache = KeyCache::new(TIMING);
        assert_eq!([0, 0, 1].map(|second| does(&mut cache, "a", second)), ["fetch", "wait", "wait"]);
        cache.ended(at(0), Some(vec![key("a")]));
        assert_eq!(does(&mut cache, "a", 1), "use");
        assert_eq!(
            [600, 600].map(|second| does(&mut cache, "a", second)),
            ["fetch", "use"],
            "nobody waits for a refresh"
        );
    }

    #[test]
    fn a_new_key_is_found_after_a_rotation_and_the_old_one_is_gone() {
        let mut cache = cache(&["a"]);
        assert_eq!(does(&mut cache, "b", 100), "fetch");
        cache.ended(at(100), Some(vec![key("b")]));
        assert_eq!((does(&mut cache, "b", 100), does(&mut cache, "a", 100)), ("use", "unknown"));
    }

    #[test]
    fn unknown_ids_cause_no_flood_of_fetches() {
        let mut cache = cache(&["a"]);
        let mut fetches = 0;
        for second in 1..=300 {
            for number in 0..100 {
                if does(&mut cache, &format!("forged-{number}"), second) == "fetch" {
                    fetches += 1;
                    cache.ended(at(second), Some(vec![key("a")]));
                }
            }
            assert_eq!(does(&mut cache, "a", second), "use");
        }
        assert_eq!(fetches, 10, "one per 30 s");
    }

    #[test]
    fn old_keys_serve_while_fetches_fail_and_not_for_ever() {
        let mut cache = cache(&["a"]);
        let mut fetches = 0;
        for second in 600..86_400 {
            if does(&mut cache, "a", second) == "fetch" {
                fetches += 1;
                cache.ended(at(second), None);
                assert_eq!(does(&mut cache, "a", second), "use");
            }
        }
        assert_eq!(fetches, (86_400 - 600) / 30);
        assert_eq!(does(&mut cache, "a", 86_400), "fetch");
        cache.ended(at(86_400), None);
        assert_eq!(does(&mut cache, "a", 86_400), "unavailable", "they may have been revoked long ago");
        assert_eq!(does(&mut cache, "a", 86_401), "fetch", "without keys it tries every second");
    }

    #[test]
    fn a_fetch_that_was_dropped_or_hangs_is_made_by_the_next() {
        let mut cache = KeyCache::new(TIMING);
        assert_eq!(does(&mut cache, "a", 0), "fetch");
        cache.ended(at(0), None);
        assert_eq!([0, 1].map(|second| does(&mut cache, "a", second)), ["unavailable", "fetch"]);
        assert_eq!([10, 11].map(|second| does(&mut cache, "a", second)), ["wait", "fetch"], "taken over after 10 s");
        cache.ended(at(1), None);
        assert_eq!(does(&mut cache, "a", 12), "wait", "the end of the old fetch is not that of the new one");
    }

    #[test]
    fn a_clock_that_is_set_back_stops_no_fetches() {
        let mut cache = cache(&["a"]);
        let earlier = Timestamp::from_millis(at(0).as_millis() - 7_200_000);
        assert!(matches!(cache.lookup(&names("b"), earlier), Lookup::Fetch));
    }

    #[test]
    fn a_token_without_an_id_needs_a_set_of_one_key() {
        let header = Header::new(Algorithm::HS256);
        assert!(matches!(cache(&["a"]).lookup(&header, at(1)), Lookup::Use(_)));
        assert!(matches!(cache(&["a", "b"]).lookup(&header, at(1)), Lookup::Unknown));
        let other = Header { kid: Some("a".to_owned()), ..Header::new(Algorithm::RS256) };
        assert!(matches!(cache(&["a"]).lookup(&other, at(1)), Lookup::Unknown), "the algorithm is that of the key");
    }
}
