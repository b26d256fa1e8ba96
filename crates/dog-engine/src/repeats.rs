//! What keeps a log readable, and the disk that it is on from filling up, when the same happens again and again: the first
//! few of a kind are logged as they are, and what follows is counted and said in one line for each period. Pure: time
//! comes in. A client can make a server fail in one way a thousand times a second, and should not write its log.

use std::time::Duration;

/// How long one count is.
pub const PERIOD: Duration = Duration::from_secs(10);

/// Of a kind that begins to repeat itself, so many are logged.
pub const FIRST: u32 = 10;

/// Logged of a kind in each further period, as an example of what was counted.
const EXAMPLES: u32 = 1;

/// Counts what is logged, by kind. There are as many kinds as there are places in the code that name one.
///
/// ```
/// use std::time::Duration;
/// use dog_engine::repeats::{FIRST, PERIOD, Repeats};
///
/// let mut repeats = Repeats::new();
/// let logged = (0..1000).filter(|_| repeats.may_log("a failure", Duration::ZERO)).count();
/// assert_eq!(logged, FIRST as usize);
/// assert_eq!(repeats.unsaid(PERIOD), [("a failure", 990)]);
/// assert!(repeats.unsaid(2 * PERIOD).is_empty());
/// ```
#[derive(Debug, Default)]
pub struct Repeats {
    kinds: Vec<Kind>,
}

#[derive(Debug)]
struct Kind {
    name: &'static str,
    began: Duration,
    may_be_said: u32,
    unsaid: u64,
}

impl Repeats {
    /// Nothing has happened yet.
    pub const fn new() -> Self {
        Self { kinds: Vec::new() }
    }

    /// Whether one more of this kind is to be logged; if not, it is counted. `now` is the time since whenever, always the
    /// same.
    pub fn may_log(&mut self, name: &'static str, now: Duration) -> bool {
        let at = self.kinds.iter().position(|kind| kind.name == name).unwrap_or_else(|| {
            self.kinds.push(Kind { name, began: now, may_be_said: FIRST, unsaid: 0 });
            self.kinds.len() - 1
        });
        let kind = &mut self.kinds[at];
        // What is unsaid waits to be told.
        if kind.is_over(now) && kind.unsaid == 0 {
            (kind.began, kind.may_be_said) = (now, FIRST);
        }
        if kind.may_be_said == 0 {
            kind.unsaid += 1;
            return false;
        }
        kind.may_be_said -= 1;
        true
    }

    /// The kinds whose period is over, and how many of each were not logged in it: to be said now. To be called about
    /// once a second.
    pub fn unsaid(&mut self, now: Duration) -> Vec<(&'static str, u64)> {
        let over = self.kinds.iter_mut().filter(|kind| kind.unsaid > 0 && kind.is_over(now));
        over.map(|kind| kind.tell(now)).collect()
    }

    /// The same for all that was not logged, be its period over or not: at the end.
    pub fn all_unsaid(&mut self, now: Duration) -> Vec<(&'static str, u64)> {
        self.kinds.iter_mut().filter(|kind| kind.unsaid > 0).map(|kind| kind.tell(now)).collect()
    }
}

impl Kind {
    fn is_over(&self, now: Duration) -> bool {
        now.saturating_sub(self.began) >= PERIOD
    }

    fn tell(&mut self, now: Duration) -> (&'static str, u64) {
        (self.began, self.may_be_said) = (now, EXAMPLES);
        (self.name, std::mem::take(&mut self.unsaid))
    }
}

/// Logs what may be logged of a kind that somebody outside can bring about at will: `log_limited!(host, error, "the kind",
/// what `tracing::error!` takes)`.
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
        // A minute of a hundred a second, looked at once a second.
        for second in 0..60 {
            let now = Duration::from_secs(second);
            logged += (0..100).filter(|_| repeats.may_log("flood", now)).count() as u64;
            assert!(repeats.may_log("another", now) || second >= 10, "one kind is not counted with another");
            for (name, unsaid) in repeats.unsaid(now) {
                if name == "flood" {
                    counted += unsaid;
                    lines += 1;
                }
            }
        }
        for (name, unsaid) in repeats.all_unsaid(Duration::from_secs(60)) {
            if name == "flood" {
                counted += unsaid;
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
        assert!(repeats.unsaid(Duration::MAX).is_empty());
        let now = Duration::from_secs(1_000_000);
        assert_eq!((0..1000).filter(|_| repeats.may_log("rare", now)).count(), FIRST as usize);
        assert_eq!(repeats.unsaid(now + PERIOD).len(), 1);
        // The next period was quiet.
        let logged = (0..1000).filter(|_| repeats.may_log("rare", now + 3 * PERIOD)).count();
        assert_eq!(logged, FIRST as usize);
    }
}
