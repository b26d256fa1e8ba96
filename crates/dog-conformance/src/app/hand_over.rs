//! Writes that nobody awaits.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

/// Begins `write` without waiting for it, so that the handler does not depend on the speed of the disk.
pub(super) fn hand_over<T>(write: impl Future<Output = T>) {
    let _ = pin!(write).poll(&mut Context::from_waker(Waker::noop()));
}
