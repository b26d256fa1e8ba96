//! The bound on log lines for events that come again and again: one count for the whole process, because the log is
//! one. See [`dog_engine::repeats`].

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dog_engine::repeats::{PERIOD, Repeats};

static REPEATS: Mutex<Repeats> = Mutex::new(Repeats::new());
static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);

fn counted<T>(with: impl FnOnce(&mut Repeats, Duration) -> T) -> T {
    let now = BEGINNING.elapsed();
    with(&mut REPEATS.lock().unwrap_or_else(PoisonError::into_inner), now)
}

/// Whether one more event of this kind may be logged.
pub(crate) fn may_log(kind: &'static str) -> bool {
    counted(|repeats, now| repeats.may_log(kind, now))
}

/// Logs how many events of each kind were not logged in a period that is over.
pub(crate) fn say_what_was_counted() {
    say(counted(Repeats::take));
}

/// The same for all events that are left.
pub(crate) fn say_all_that_was_counted() {
    say(counted(Repeats::take_all));
}

fn say(counts: Vec<(&'static str, u64)>) {
    for (kind, times) in counts {
        tracing::warn!(times, "{times} times more in the last {} s: {kind}", PERIOD.as_secs());
    }
}

/// Logs an event of a kind that somebody outside can cause at will, unless there were too many of it. Its arguments are the
/// level, the kind, and the arguments of the `tracing` macro: `seldom!(error, "the kind", "text: {error}")`.
macro_rules! seldom {
    ($level:ident, $kind:expr, $($what:tt)+) => {
        if $crate::repeats::may_log($kind) {
            tracing::$level!($($what)+);
        }
    };
}
pub(crate) use seldom;
