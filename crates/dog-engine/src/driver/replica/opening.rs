//! The response that opens a socket, with what its Replica has decided about it.

use dog::http::StatusCode;
use dog::internal::{Logs, Opening};
use dog::{Format, Request, Response};

use crate::driver::extensions::{FirstAttachment, FirstFormat, OnOpenFirst, SeatMark};

/// The response that opens a socket in the seat of `request`, which `accept` makes.
pub(super) fn seated(
    request: &Request,
    opening: Opening,
    accept: impl FnOnce() -> Result<Response, Box<Response>>,
) -> Response {
    let Some(mark) = request.extensions().get::<SeatMark>().copied() else {
        // The user made this request, or has connected it before.
        return dog::text_response(StatusCode::SERVICE_UNAVAILABLE, "this request has no seat");
    };
    match accept() {
        Ok(mut response) => {
            response.extensions_mut().insert(mark);
            if let Some(attachment) = opening.attachment {
                response.extensions_mut().insert(FirstAttachment(attachment));
            }
            if opening.format != Format::DEFAULT {
                response.extensions_mut().insert(FirstFormat(opening.format));
            }
            if let Some(feature) = Logs::get().filter(|_| opening.on_open_first) {
                response.extensions_mut().insert(OnOpenFirst(feature));
            }
            response
        }
        Err(refusal) => *refusal,
    }
}
