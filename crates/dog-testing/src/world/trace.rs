//! A text of what happened when. It is off by default: to get its trace, a run is repeated.

use std::cell::{Cell, RefCell};

use super::clock::Micros;

/// The lines written so far, if the trace is on.
#[derive(Default)]
pub(super) struct Trace {
    on: Cell<bool>,
    lines: RefCell<Vec<String>>,
}

impl Trace {
    /// Turns the trace on.
    pub(super) fn start(&self) {
        self.on.set(true);
    }

    /// Adds a line. `line` is not called while the trace is off.
    pub(super) fn note(&self, now: Micros, line: impl FnOnce() -> String) {
        if self.on.get() {
            let (seconds, micros) = (now / 1_000_000, now % 1_000_000);
            self.lines.borrow_mut().push(format!("{seconds:>5}.{micros:06}  {}", line()));
        }
    }

    /// Takes all lines.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.borrow_mut())
    }
}
