//! [`Repeats`] limits how often one kind of event is logged. It reads no clock: the caller passes the time.
//!
//! A client can cause the same failure a thousand times per second. The first [`FIRST`] events of a kind are logged.
//! Further events are counted, and the count is logged in one line per [`PERIOD`]. So the log stays readable and does
//! not fill the disk.

use std::time::Duration;

/// The length of one period.
pub const PERIOD: Duration = Duration::from_secs(10);

/// How many events of a kind are logged before the others are counted.
pub const FIRST: u32 = 10;

/// How many events of a kind are logged in each further period, as examples of what is counted.
const EXAMPLES: u32 = 1;

/// Counts events by kind. The number of kinds is bounded by the code that names them.
///
/// ```
/// use std::time::Duration;
/// use dog_engine::repeats::{FIRST, PERIOD, Repeats};
///
/// let mut repeats = Repeats::new();
/// let logged = (0..1000).filter(|_| repeats.may_log("a failure", Duration::ZERO)).count();
/// assert_eq!(logged, FIRST as usize);
/// assert_eq!(repeats.take(PERIOD), [("a failure", 990)]);
/// assert!(repeats.take(2 * PERIOD).is_empty());
/// ```
#[derive(Debug, Default)]
pub struct Repeats {
    kinds: Vec<Kind>,
}

#[derive(Debug)]
struct Kind {
    name: &'static str,
    began: Duration,
    allowed: u32,
    counted: u64,
}

impl Repeats {
    /// Creates a counter without events.
    pub const fn new() -> Self {
        Self { kinds: Vec::new() }
    }

    /// Returns whether to log one more event of this kind. If not, the event is counted. `now` is the time since any
    /// fixed moment.
    pub fn may_log(&mut self, name: &'static str, now: Duration) -> bool {
        let at = self.kinds.iter().position(|kind| kind.name == name).unwrap_or_else(|| {
            self.kinds.push(Kind { name, began: now, allowed: FIRST, counted: 0 });
            self.kinds.len() - 1
        });
        let kind = &mut self.kinds[at];
        // A period with counted events ends only when they are taken.
        if kind.is_over(now) && kind.counted == 0 {
            (kind.began, kind.allowed) = (now, FIRST);
        }
        if kind.allowed == 0 {
            kind.counted += 1;
            return false;
        }
        kind.allowed -= 1;
        true
    }

    /// Takes the kinds whose period is over, with the number of events that were counted in it. Call this about once
    /// per second and log the result.
    pub fn take(&mut self, now: Duration) -> Vec<(&'static str, u64)> {
        let over = self.kinds.iter_mut().filter(|kind| kind.counted > 0 && kind.is_over(now));
        over.map(|kind| kind.take(now)).collect()
    }

    /// Takes all counted events, including those of periods that are not over. Call this at shutdown.
    pub fn take_all(&mut self, now: Duration) -> Vec<(&'static str, u64)> {
        self.kinds.iter_mut().filter(|kind| kind.counted > 0).map(|kind| kind.take(now)).collect()
    }
}

impl Kind {
    fn is_over(&self, now: Duration) -> bool {
        now.saturating_sub(self.began) >= PERIOD
    }

    fn take(&mut self, now: Duration) -> (&'static str, u64) {
        (self.began, self.allowed) = (now, EXAMPLES);
        (self.name, std::mem::take(&mut self.counted))
    }
}

/// Logs an event that clients can cause at will, if the host allows it: `log_limited!(host, error, "the kind", …)`,
/// with the arguments of `tracing::error!`.
macro_rules! log_limited {
    ($host:expr, $level:ident, $kind:literal, $($what:tt)+) => {
        if $host.may_log($kind) {
            tracing::$level!($($what)+);
        }
    };
}
pub(crate) use log_limited;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_is_logged_or_counted_and_a_flood_is_a_few_lines() {
        let mut repeats = Repeats::new();
        let (mut logged, mut counted, mut lines) = (0, 0, 0);
        // One minute with 100 events per second. The counts are taken once per second.
        for second in 0..60 {
            let now = Duration::from_secs(second);
            logged += (0..100).filter(|_| repeats.may_log("flood", now)).count() as u64;
            assert!(repeats.may_log("another", now) || second >= 10, "kinds are counted separately");
            for (name, times) in repeats.take(now) {
                if name == "flood" {
                    counted += times;
                    lines += 1;
                }
            }
        }
        for (name, times) in repeats.take_all(Duration::from_secs(60)) {
            if name == "flood" {
                counted += times;
                lines += 1;
            }
        }
        assert_eq!(logged + counted, 6000);
        assert!(logged + lines <= u64::from(FIRST) + 2 * 7, "{logged} events and {lines} lines");
    }

    #[test]
    fn what_is_rare_is_always_logged_and_so_is_what_comes_after_quiet() {
        let mut repeats = Repeats::new();
        for hour in 0..100 {
            assert!(repeats.may_log("rare", Duration::from_secs(hour * 3600)));
        }
        assert!(repeats.take(Duration::MAX).is_empty());
        let now = Duration::from_secs(1_000_000);
        assert_eq!((0..1000).filter(|_| repeats.may_log("rare", now)).count(), FIRST as usize);
        assert_eq!(repeats.take(now + PERIOD).len(), 1);
        // There was no event in the next period.
        let logged = (0..1000).filter(|_| repeats.may_log("rare", now + 3 * PERIOD)).count();
        assert_eq!(logged, FIRST as usize);
    }
}
