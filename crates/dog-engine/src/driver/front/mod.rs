//! Runs the user's App on one host: requests from outside come in here.

//!
//! - `port`: the way to the Groups; `reservation`: a seat that is reserved for a client

mod port;
mod reservation;

use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;

use dog::http::{HeaderValue, StatusCode, header};
use dog::{App, Dog, Error, Failure, Request, Response};
use futures_util::FutureExt;

use super::failures::{UserFunction, panic_text, report_failure, report_panic};
use crate::host::Host;
use crate::repeats::log_limited;

pub use port::app_port;
pub(super) use port::object_port;

/// When a client that is answered with 429 or 503 may come back, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Runs a user's App on one host.
pub struct Front<A, H> {
    app: Arc<A>,
    dog: Dog<A>,
    host: Rc<H>,
}

impl<A: App, H: Host> Front<A, H> {
    /// Runs `app`, whose Groups are reached through `host`.
    pub fn new(app: Arc<A>, host: Rc<H>) -> Self {
        let dog = Dog::new(app_port(Rc::clone(&host)));
        Self { app, dog, host }
    }

    /// The host.
    pub fn host(&self) -> &Rc<H> {
        &self.host
    }

    /// Answers a request from outside. Every failure becomes a response that shows nothing of the inside.
    pub async fn fetch(&self, request: Request) -> Response {
        match AssertUnwindSafe(self.app.fetch(request, &self.dog)).catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(failure)) => self.failed(&failure),
            Err(panic) => {
                report_panic(&*self.host, None, &panic_text(&*panic));
                internal_error()
            }
        }
    }

    fn failed(&self, failure: &Failure) -> Response {
        let Some(error) = failure.downcast_ref::<Error>() else {
            report_failure(&*self.host, UserFunction::AppFetch, None, None, failure);
            return internal_error();
        };
        // A host counts requests for which it has no room itself: they are no fault.
        if error.status().is_server_error() && !error.is_no_room() {
            log_limited!(self.host, error, "a request failed", "a request failed: {failure}");
        }
        let mut response = dog::text_response(error.status(), error.public_text());
        if [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(&response.status()) {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

fn internal_error() -> Response {
    dog::text_response(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
}
