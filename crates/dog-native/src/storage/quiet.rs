//! Work without log lines and panic messages. The caller reports the outcome in one line.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use tracing::subscriber::{NoSubscriber, with_default};

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// Does `work` on this thread. Its log lines are discarded. A panic is not printed but returned.
pub(super) fn quietly<T>(work: impl FnOnce() -> T) -> std::thread::Result<T> {
    HOOK.call_once(|| {
        let earlier = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                earlier(panic);
            }
        }));
    });
    QUIET.set(true);
    let outcome = with_default(NoSubscriber::new(), || catch_unwind(AssertUnwindSafe(work)));
    QUIET.set(false);
    outcome
}
