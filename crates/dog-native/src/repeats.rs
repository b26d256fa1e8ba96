//! What is logged of what comes again and again: the engine's count, once for the process, as the log is. See
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

/// Whether one more of this kind is to be logged.
pub(crate) fn may_log(kind: &'static str) -> bool {
    counted(|repeats, now| repeats.may_log(kind, now))
}

/// Says how many of each kind were not logged in a period that is over.
pub(crate) fn say_what_was_counted() {
    say(counted(Repeats::unsaid));
}

/// The same for all that is left.
pub(crate) fn say_all_that_was_counted() {
    say(counted(Repeats::all_unsaid));
}

fn say(counts: Vec<(&'static str, u64)>) {
    for (kind, times) in counts {
        tracing::warn!(times, "{times} times more in the last {} s: {kind}", PERIOD.as_secs());
    }
}

/// Logs what may be logged of a kind that somebody outside can bring about at will: `seldom!(error, "the kind", what
/// `tracing::error!` takes)`.
macro_rules! seldom {
    ($level:ident, $kind:expr, $($what:tt)+) => {
        if $crate::repeats::may_log($kind) {
            tracing::$level!($($what)+);
        }
    };
}
pub(crate) use seldom;
