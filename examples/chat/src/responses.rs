//! The responses that say what is wrong with a request.

use dog::http::{HeaderValue, StatusCode, header};
use dog::{Response, text_response};

pub(crate) fn not_found() -> Response {
    text_response(StatusCode::NOT_FOUND, "not found")
}

pub(crate) fn method_not_allowed(allowed: &'static str) -> Response {
    let mut response = text_response(StatusCode::METHOD_NOT_ALLOWED, format!("use {allowed}"));
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}
