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

/// The longest time that a timer takes; whoever waits longer looks again after it.
const LONGEST: f64 = 2_147_483_647.0;

/// The time. It stands still while code runs, and goes on with each event.
pub(crate) fn now() -> Timestamp {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole milliseconds since 1970")]
    let now = Date::now() as u64;
    Timestamp::from_millis(now)
}

/// Ends after some time. A timer keeps its object in memory, so it is taken back when it is dropped.
pub(crate) struct Sleep {
    timer: JsValue,
    over: JsFuture,
}

impl Sleep {
    pub(crate) fn new(duration: Duration) -> Self {
        let milliseconds = (duration.as_secs_f64() * 1000.0).ceil().min(LONGEST);
        let timer = AssertUnwindSafe(Rc::new(Cell::new(JsValue::UNDEFINED)));
        let set = AssertUnwindSafe(Rc::clone(&timer));
        let over = Promise::new(&mut move |resolve, _| {
            // All of it, so that the closure is as safe as it says.
            let set = &set;
            set.set(platform::set_timeout(&resolve, milliseconds));
        });
        Self { timer: timer.take(), over: over.into() }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.over).poll(context).map(|_| ())
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        platform::clear_timeout(&self.timer);
    }
}
