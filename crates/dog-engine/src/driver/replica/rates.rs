//! How fast the client of each socket may send: [`Rates`]. Pure.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use dog::{MessageRate, OverRate, SocketId, Timestamp};

use crate::socket_map::SocketMap;

/// The buckets of the sockets of one Replica. Without a rate there are none.
#[derive(Debug, Default)]
pub(super) struct Rates {
    rate: Cell<Option<MessageRate>>,
    buckets: RefCell<SocketMap<Bucket>>,
}

/// When a socket will have kept to its rate on average, in nanoseconds: by the number of its messages, and by their bytes. (The
/// "theoretical arrival time" of the generic cell rate algorithm.) A socket without a bucket has sent nothing for a while.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    messages: u64,
    bytes: u64,
}

impl Rates {
    /// The user's code says how fast. It is asked at each activation.
    pub(super) fn set(&self, rate: Option<MessageRate>) {
        self.rate.set(rate);
        if rate.is_none() {
            self.buckets.borrow_mut().clear();
        }
    }

    /// What happens to messages over the rate. `None` if there is no rate.
    pub(super) fn over(&self) -> Option<OverRate> {
        self.rate.get().map(|rate| rate.policy())
    }

    /// Takes a message of this length. Returns how long it has to wait if it is over the rate; then nothing is taken.
    pub(super) fn take(&self, socket: SocketId, length: usize, now: Timestamp) -> Option<Duration> {
        let rate = self.rate.get()?;
        let (now, ahead) = (now.as_millis().saturating_mul(1_000_000), nanos(rate.ahead()));
        let (by_number, by_bytes) = rate.costs(length);
        let mut buckets = self.buckets.borrow_mut();
        let bucket = buckets.entry(socket).or_default();
        let messages = paid_until(bucket.messages, nanos(by_number), now);
        let bytes = paid_until(bucket.bytes, nanos(by_bytes), now);
        let wait = wait(bucket.messages, messages, now, ahead).max(wait(bucket.bytes, bytes, now, ahead));
        if wait > 0 {
            return Some(Duration::from_nanos(wait));
        }
        *bucket = Bucket { messages, bytes };
        None
    }

    /// A socket has ended.
    pub(super) fn forget(&self, socket: SocketId) {
        if self.rate.get().is_some() {
            self.buckets.borrow_mut().remove(&socket);
        }
    }
}

fn paid_until(before: u64, cost: u64, now: u64) -> u64 {
    before.max(now).saturating_add(cost)
}

/// How long until so much may be taken, which is at the latest when the bucket is full.
fn wait(before: u64, after: u64, now: u64, ahead: u64) -> u64 {
    after.saturating_sub(now.saturating_add(ahead)).min(before.saturating_sub(now))
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKET: SocketId = SocketId::from_raw(1);

    fn rates(rate: MessageRate) -> Rates {
        let rates = Rates::default();
        rates.set(Some(rate));
        rates
    }

    fn taken(rates: &Rates, length: usize, at: u64, tries: usize) -> usize {
        (0..tries).filter(|_| rates.take(SOCKET, length, Timestamp::from_millis(at)).is_none()).count()
    }

    #[test]
    fn without_a_rate_nothing_is_kept() {
        let rates = Rates::default();
        assert_eq!(taken(&rates, 1 << 30, 1000, 100), 100);
        assert!(rates.buckets.borrow().is_empty() && rates.over().is_none());
    }

    #[test]
    fn a_burst_comes_at_once_and_then_the_rate_is_kept() {
        let rates = rates(MessageRate::per_second(10).burst(Duration::from_secs(2)));
        assert_eq!(taken(&rates, 5, 1000, 100), 20);
        let wait = rates.take(SOCKET, 5, Timestamp::from_millis(1000));
        assert_eq!(wait, Some(Duration::from_millis(100)));
        assert_eq!(taken(&rates, 5, 1100, 100), 1);
        assert_eq!(taken(&rates, 5, 60_000, 100), 20, "no more than a burst is saved");
        rates.forget(SOCKET);
        assert!(rates.buckets.borrow().is_empty());
    }

    #[test]
    fn bytes_have_a_rate_of_their_own() {
        let rates = rates(MessageRate::per_second(1000).bytes(1000));
        assert_eq!(taken(&rates, 100, 1000, 100), 10);
        assert_eq!(taken(&rates, 0, 1000, 10_000), 990, "by number");
    }

    #[test]
    fn a_message_larger_than_the_bucket_passes_when_that_is_full() {
        let rates = rates(MessageRate::per_second(1000).bytes(1000));
        assert_eq!(taken(&rates, 5000, 10_000, 2), 1);
        assert_eq!(rates.take(SOCKET, 1, Timestamp::from_millis(10_000)), Some(Duration::from_micros(4_001_000)));
        assert_eq!(taken(&rates, 5000, 14_999, 1), 0);
        assert_eq!(taken(&rates, 5000, 15_000, 2), 1);
    }

    #[test]
    fn who_waits_as_told_may_send() {
        let rates = rates(MessageRate::per_second(7).bytes(301));
        let mut now = 1000;
        for length in (0..500).map(|step| step * 37 % 900) {
            if let Some(wait) = rates.take(SOCKET, length, Timestamp::from_millis(now)) {
                now += u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap();
                assert_eq!(rates.take(SOCKET, length, Timestamp::from_millis(now)), None);
            }
        }
    }
}
