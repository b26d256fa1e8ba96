//! The limit on log lines for repeated events. There is one count for the whole process, because there is one log. See
//! [`dog_engine::repeats`].

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dog_engine::repeats::{PERIOD, Repeats};

static REPEATS: Mutex<Repeats> = Mutex::new(Repeats::new());
static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

fn counted<T>(with: impl FnOnce(&mut Repeats, Duration) -> T) -> T {
    let now = BEGINNING.elapsed();
    with(&mut REPEATS.lock().unwrap_or_else(PoisonError::into_inner), now)
}

/// Returns whether one more event of this kind may be logged.
pub(crate) fn may_log(kind: &'static str) -> bool {
    counted(|repeats, now| repeats.may_log(kind, now))
}

/// Logs how many events of each kind were not logged, for periods that have ended.
pub(crate) fn say_what_was_counted() {
    say(counted(Repeats::take));
}

/// Does the same for all events that were not logged yet.
pub(crate) fn say_all_that_was_counted() {
    say(counted(Repeats::take_all));
}

fn say(counts: Vec<(&'static str, u64)>) {
    for (kind, times) in counts {
        tracing::warn!(times, "{times} times more in the last {} s: {kind}", PERIOD.as_secs());
    }
}

/// Logs an event that clients or other nodes can cause at will, unless there were too many of its kind. Its arguments
/// are the level, the kind, and the arguments of the `tracing` macro: `seldom!(error, "the kind", "text: {error}")`.
macro_rules! seldom {
    ($level:ident, $kind:expr, $($what:tt)+) => {
        if $crate::repeats::may_log($kind) {
            tracing::$level!($($what)+);
        }
    };
}
pub(crate) use seldom;
