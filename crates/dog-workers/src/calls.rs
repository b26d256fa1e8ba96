//! Requests that are passed on from here to other objects, and what goes wrong on any way there.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use dog::internal::Kind;
use dog::{Error, Request};
use dog_engine::address::{Object, Ticket};
use dog_engine::host::Fetched;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use crate::host::Host;
use crate::http::{self, Sendable};
use crate::platform::{CallError, words};
use dog_engine::wire;

/// The header in which a request that goes to an object carries its ticket. It is set anew on every such request, so
/// nothing that came from outside is ever taken for it.
pub(crate) const TICKET: &str = "dog-ticket";

/// What stands there of a request for a Group, which needs none.
pub(crate) const NO_TICKET: &str = "none";

/// The header in which an object says what became of a request; it too is always set anew, and never shown outside.
pub(crate) const ANSWER: &str = "dog-answer";

/// What stands there: the response is the user's, or the body is a refusal or an error of ours.
pub(crate) const RESPONSE: &str = "response";
/// See [`RESPONSE`].
pub(crate) const REFUSAL: &str = "refusal";
/// See [`RESPONSE`].
pub(crate) const ERROR: &str = "error";

/// Our own refusals and errors are short.
const LONGEST_ERROR: usize = 64 * 1024;

/// What was thrown may be of the inside, and stays in the log.
pub(crate) fn unreachable_object(thrown: &JsValue) -> Error {
    Error::caused(Kind::Unreachable, "the object could not be reached: try again later", words(thrown))
}

/// Whether the runtime says that the call has done nothing and may be made again; never of one that has too much to do.
pub(crate) fn is_retryable(thrown: &JsValue) -> bool {
    let error: &CallError = thrown.unchecked_ref();
    thrown.is_object() && error.retryable() == Some(true) && error.overloaded() != Some(true)
}

/// Passes a request on to an object. One that is refused comes back, unless its body was too long to be kept.
pub(crate) async fn fetch(
    host: &Host,
    object: Object,
    ticket: Option<Ticket>,
    request: Request,
) -> Result<Fetched, Error> {
    let ticket = match &ticket {
        Some(ticket) => BASE64_STANDARD.encode(wire::encode(ticket)?),
        None => NO_TICKET.to_owned(),
    };
    let request = Sendable::new(request).await?;
    let sent = host.stub(object)?.fetch(&request.to_platform(&ticket)?).map(JsFuture::from);
    let answer = match sent {
        Ok(sent) => sent.await,
        Err(thrown) => Err(thrown),
    };
    let answer: web_sys::Response = answer
        .map_err(|thrown| {
            host.stubs.forget(object);
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
                None => Err(Error::new(Kind::NoRoom, "the Replica has filled meanwhile: try again")),
            }
        }
        Some(ERROR) => Err(wire::decode(&response.into_body().bytes(LONGEST_ERROR).await?)?),
        Some(_) | None => Err(Error::new(Kind::Unreachable, "the object gave no answer of ours")),
    }
}
