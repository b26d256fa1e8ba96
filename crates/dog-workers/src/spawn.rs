//! Futures as tasks and promises of the runtime. Every type of future that is spawned brings about a kilobyte of code, so all of
//! them are boxed first.

use std::panic::AssertUnwindSafe;

use dog::internal::LocalFuture;
use futures_util::FutureExt;
use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{future_to_promise, spawn_local};

/// A promise of the output. A future that is ready at once, as most are, needs no task.
pub(crate) fn promise(future: impl Future<Output = Result<JsValue, JsValue>> + 'static) -> Promise {
    let mut future: LocalFuture<Result<JsValue, JsValue>> = Box::pin(future);
    match (&mut future).now_or_never() {
        Some(Ok(value)) => Promise::resolve(&value),
        Some(Err(error)) => Promise::reject(&error),
        None => future_to_promise(AssertUnwindSafe(future)),
    }
}

/// Runs the future as a task.
pub(crate) fn spawn(future: impl Future<Output = ()> + 'static) {
    let future: LocalFuture<()> = Box::pin(future);
    spawn_local(future);
}
