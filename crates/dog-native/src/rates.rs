//! How often an address may do something: [`Rate`], [`AddressRates`].

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::addresses::client_of;

/// How often something may happen: a number per second or minute, of which a burst may come at once.
///
/// ```
/// use dog_native::Rate;
///
/// // 20 per second for as long as they like, and 100 at once after a while without any.
/// let rate = Rate::per_second(20).burst(100);
/// # let _ = rate;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    events: u32,
    period: Duration,
    burst: u32,
}

impl Rate {
    /// `events` per second. As many may come at once.
    pub fn per_second(events: u32) -> Self {
        Self { events, period: Duration::from_secs(1), burst: events }
    }

    /// `events` per minute. As many may come at once.
    pub fn per_minute(events: u32) -> Self {
        Self { period: Duration::from_secs(60), ..Self::per_second(events) }
    }

    /// Sets how many may come at once.
    #[must_use]
    pub fn burst(self, events: u32) -> Self {
        Self { burst: events, ..self }
    }

    /// Whether it lets anything happen at all, and is at most one event per nanosecond.
    pub(crate) fn is_valid(self) -> bool {
        self.burst >= 1 && self.events >= 1 && self.interval() >= 1
    }

    /// The time between two events, in nanoseconds.
    fn interval(self) -> u64 {
        nanos(self.period) / u64::from(self.events.max(1))
    }
}

/// How many of the addresses with the same hash are remembered.
const WAYS: usize = 8;

/// How many addresses are remembered: 1 MiB for each kind of event.
const REMEMBERED: usize = 64 * 1024;

/// How many locks there are, so that workers seldom wait for each other.
const SHARDS: usize = 64;

/// What each address has done lately. The memory does not grow with the number of addresses: those that were least active are
/// forgotten, and may do what any other new address may.
pub(crate) struct AddressRates {
    interval: u64,
    /// How far an address may be ahead of its rate, in nanoseconds.
    ahead: u64,
    /// Secret, so that nobody can choose addresses that push out another one.
    hash: RandomState,
    shards: Vec<Mutex<Vec<Bucket>>>,
}

/// One address, and when it will have kept to its rate on average: the "theoretical arrival time" of the generic cell rate
/// algorithm, in nanoseconds. Zero if nobody is here.
#[derive(Clone, Copy, Default)]
struct Bucket {
    client: u64,
    paid_until: u64,
}

impl AddressRates {
    pub(crate) fn new(rate: Rate) -> Self {
        let shard = || Mutex::new(vec![Bucket::default(); REMEMBERED / SHARDS]);
        let interval = rate.interval();
        Self {
            interval,
            ahead: interval.saturating_mul(u64::from(rate.burst)),
            hash: RandomState::new(),
            shards: (0..SHARDS).map(|_| shard()).collect(),
        }
    }

    /// Counts one event of `address`, at a time since the server started.
    ///
    /// # Errors
    /// If it is one too many, it is not counted: how long to wait for the next.
    pub(crate) fn take(&self, address: IpAddr, now: Duration) -> Result<(), Duration> {
        let client = key(address);
        let hash = usize::try_from(self.hash.hash_one(client)).unwrap_or(usize::MAX);
        let shard = &self.shards[hash % SHARDS];
        let mut buckets = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let set = hash / SHARDS % (buckets.len() / WAYS) * WAYS;
        self.pay(place_of(client, &mut buckets[set..set + WAYS]), nanos(now))
    }

    fn pay(&self, bucket: &mut Bucket, now: u64) -> Result<(), Duration> {
        let paid_until = bucket.paid_until.max(now).saturating_add(self.interval);
        let too_far = paid_until.saturating_sub(now.saturating_add(self.ahead));
        if too_far > 0 {
            return Err(Duration::from_nanos(too_far));
        }
        bucket.paid_until = paid_until;
        Ok(())
    }
}

/// The bucket of `client` in its set. If it has none, it gets that of the client that is closest to a full burst.
fn place_of(client: u64, set: &mut [Bucket]) -> &mut Bucket {
    let known = set.iter().position(|bucket| bucket.client == client && bucket.paid_until > 0);
    let least_active = || (0..set.len()).min_by_key(|at| set[*at].paid_until).unwrap_or_default();
    let at = known.unwrap_or_else(least_active);
    let bucket = &mut set[at];
    if known.is_none() {
        *bucket = Bucket { client, paid_until: 0 };
    }
    bucket
}

/// An address of IPv4, or a network of IPv6, as a number. Addresses of IPv4 are in a network that is not used in IPv6.
fn key(address: IpAddr) -> u64 {
    match client_of(address) {
        IpAddr::V4(address) => 0xffff_0000_0000 | u64::from(address.to_bits()),
        IpAddr::V6(address) => u64::try_from(address.to_bits() >> 64).unwrap_or_default(),
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn taken(rates: &AddressRates, address: IpAddr, now: Duration, tries: usize) -> usize {
        (0..tries).filter(|_| rates.take(address, now).is_ok()).count()
    }

    #[test]
    fn a_burst_comes_at_once_and_then_the_rate_is_kept() {
        let rates = AddressRates::new(Rate::per_second(10).burst(25));
        let address = Ipv4Addr::new(192, 0, 2, 1).into();
        assert_eq!(taken(&rates, address, SECOND, 100), 25);
        assert_eq!(rates.take(address, SECOND), Err(Duration::from_millis(100)), "how long to wait");
        assert_eq!(taken(&rates, address, 2 * SECOND, 100), 10);
        assert_eq!(taken(&rates, address, 10 * SECOND, 100), 25, "no more than a burst is saved");
        let steady = (0..1000).filter(|step| rates.take(address, 20 * SECOND + *step * SECOND / 10).is_ok()).count();
        assert_eq!(steady, 1000, "who keeps to the rate is never refused");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let rates = AddressRates::new(Rate::per_minute(3));
        let host = |bits: u128| IpAddr::from(Ipv6Addr::from_bits(bits));
        let all: usize = (0..100).map(|low| taken(&rates, host(1 << 100 | low << 32), SECOND, 1)).sum();
        assert_eq!(all, 3);
        assert_eq!(taken(&rates, host(1 << 100 | 1 << 64), SECOND, 10), 3, "another network");
        assert_eq!(taken(&rates, "::ffff:192.0.2.1".parse().unwrap(), SECOND, 10), 3);
        assert_eq!(taken(&rates, "192.0.2.1".parse().unwrap(), SECOND, 10), 0, "the same, however it is written");
    }

    #[test]
    fn many_addresses_use_no_more_memory_and_do_not_free_the_one_that_floods() {
        let rates = AddressRates::new(Rate::per_second(10));
        let flood = Ipv4Addr::new(192, 0, 2, 1).into();
        assert_eq!(taken(&rates, flood, SECOND, 100), 10);
        let size =
            |rates: &AddressRates| -> usize { rates.shards.iter().map(|shard| shard.lock().unwrap().capacity()).sum() };
        let before = size(&rates);
        for number in 0..4 * REMEMBERED as u128 {
            assert!(rates.take(Ipv6Addr::from_bits(number << 64 | 1 << 127).into(), SECOND).is_ok());
        }
        assert_eq!((before, size(&rates)), (REMEMBERED, REMEMBERED));
        assert_eq!(taken(&rates, flood, SECOND, 100), 0, "the least active are forgotten first");
    }

    #[test]
    fn a_rate_that_lets_nothing_happen_is_not_valid() {
        assert!(!Rate::per_second(0).is_valid() && !Rate::per_second(1).burst(0).is_valid());
        assert!(Rate::per_minute(1).is_valid() && Rate::per_second(1_000_000_000).is_valid());
        assert!(!Rate::per_second(1_000_000_001).is_valid());
    }
}
