//! The platform's clock and timers.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use dog::Timestamp;
use js_sys::{Date, Promise};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;

use crate::platform;

/// The longest time of a timer, in milliseconds. A longer sleep ends early, and its caller checks the time again.
const LONGEST: f64 = 2_147_483_647.0;

/// The time. The platform advances it with each event, and not while code runs.
pub(crate) fn now() -> Timestamp {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole milliseconds since 1970")]
    let now = Date::now() as u64;
    Timestamp::from_millis(now)
}

/// Completes after some time. A timer keeps its object in memory, so dropping the future removes the timer.
pub(crate) struct PlatformSleep {
    timer: JsValue,
    over: JsFuture,
}

impl PlatformSleep {
    pub(crate) fn new(duration: Duration) -> Self {
        let milliseconds = (duration.as_secs_f64() * 1000.0).ceil().min(LONGEST);
        let timer = AssertUnwindSafe(Rc::new(Cell::new(JsValue::UNDEFINED)));
        let set = AssertUnwindSafe(Rc::clone(&timer));
        let over = Promise::new(&mut move |resolve, _| {
            // Captures the whole wrapper, which is what makes the closure unwind safe.
            let set = &set;
            set.set(platform::set_timeout(&resolve, milliseconds));
        });
        Self { timer: timer.take(), over: over.into() }
    }
}

impl Future for PlatformSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.over).poll(context).map(|_| ())
    }
}

impl Drop for PlatformSleep {
    fn drop(&mut self) {
        platform::clear_timeout(&self.timer);
    }
}
