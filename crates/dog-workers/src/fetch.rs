//! Requests that go from here to other objects, and the errors of calls to other objects.

use dog::internal::Kind;
use dog::{Error, Request};
use dog_engine::address::{Object, Ticket};
use dog_engine::host::Fetched;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use crate::http::{self, ERROR, REFUSAL, RESPONSE, Sendable};
use crate::platform::{CallError, error_text};
use crate::request_head::RequestHead;
use crate::stubs::Stubs;
use dog_engine::wire;

/// Longest body of a refusal or of an error of this library, in bytes.
const LONGEST_ERROR: usize = 64 * 1024;

/// The error of a call that failed. What the runtime threw is its cause, which only the log shows.
pub(crate) fn unreachable_object(thrown: &JsValue) -> Error {
    Error::caused(Kind::Unreachable, "the object could not be reached: try again later", error_text(thrown))
}

/// Whether the runtime says that the call may be made again. It never says so of an overloaded object.
pub(crate) fn is_retryable(thrown: &JsValue) -> bool {
    let error: &CallError = thrown.unchecked_ref();
    thrown.is_object() && error.retryable() == Some(true) && error.overloaded() != Some(true)
}

/// Passes a request to an object. A refused request comes back, unless its body was too long to be kept.
pub(crate) async fn fetch(
    stubs: &Stubs,
    object: Object,
    ticket: Option<Ticket>,
    request: Request,
) -> Result<Fetched, Error> {
    let head = RequestHead::of(ticket, &request).to_header()?;
    let request = Sendable::new(request).await?;
    let sent = stubs.get(object)?.fetch(&request.to_platform(&head)?).map(JsFuture::from);
    let answer = match sent {
        Ok(sent) => sent.await,
        Err(thrown) => Err(thrown),
    };
    let answer: web_sys::Response = answer
        .map_err(|thrown| {
            stubs.forget(object);
            unreachable_object(&thrown)
        })?
        .unchecked_into();
    let (kind, response) = http::response_from_platform(&answer)?;
    match kind.as_deref() {
        Some(RESPONSE) => Ok(Fetched::Response(response)),
        Some(REFUSAL) => {
            let refusal = wire::decode(&response.into_body().bytes(LONGEST_ERROR).await?)?;
            match request.into_request() {
                Some(request) => Ok(Fetched::Refused { request, refusal }),
                None => Err(Error::new(Kind::NoRoom, "the Replica is full now: try again")),
            }
        }
        Some(ERROR) => Err(wire::decode(&response.into_body().bytes(LONGEST_ERROR).await?)?),
        Some(_) | None => Err(Error::new(Kind::Unreachable, "the object did not answer as this library does")),
    }
}
