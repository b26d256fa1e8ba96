//! Futures on the runtime's turns. Each kind of future that is spawned or becomes a promise by itself would bring code
//! of its own, a kilobyte each: so all are boxed first.

use std::panic::AssertUnwindSafe;

use dog::internal::LocalFuture;
use futures_util::FutureExt;
use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::{future_to_promise, spawn_local};

/// What the runtime waits for. A future that is ready, as most are, needs no task and no turn of its own.
pub(crate) fn promise(future: impl Future<Output = Result<JsValue, JsValue>> + 'static) -> Promise {
    let mut future: LocalFuture<Result<JsValue, JsValue>> = Box::pin(future);
    match (&mut future).now_or_never() {
        Some(Ok(value)) => Promise::resolve(&value),
        Some(Err(error)) => Promise::reject(&error),
        None => future_to_promise(AssertUnwindSafe(future)),
    }
}

/// Has it run in turns of its own.
pub(crate) fn spawn(future: impl Future<Output = ()> + 'static) {
    let future: LocalFuture<()> = Box::pin(future);
    spawn_local(future);
}
