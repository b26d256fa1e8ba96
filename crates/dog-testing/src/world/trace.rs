//! What happened when, for a person to read. Written only when it is wanted: a run is replayed to get its trace.

use std::cell::{Cell, RefCell};

use super::agenda::Micros;

#[derive(Default)]
pub struct Trace {
    on: Cell<bool>,
    lines: RefCell<Vec<String>>,
}

impl Trace {
    pub fn begin(&self) {
        self.on.set(true);
    }

    pub fn note(&self, now: Micros, line: impl FnOnce() -> String) {
        if self.on.get() {
            let (seconds, micros) = (now / 1_000_000, now % 1_000_000);
            self.lines.borrow_mut().push(format!("{seconds:>5}.{micros:06}  {}", line()));
        }
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.borrow_mut())
    }
}
