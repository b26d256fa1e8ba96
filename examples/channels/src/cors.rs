//! Lets pages of other servers read what they are answered, where the configuration allows these pages.

use dog::http::{HeaderMap, HeaderValue, StatusCode, header};
use dog::{Body, Response};

/// For how long a browser need not ask again, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// Answers the question that a browser asks before it sends a request with a body.
pub(crate) fn preflight(origin: Option<&HeaderValue>) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    share(origin, headers);
    response
}

/// Has the browser give the response to the page that has asked, which may connect.
pub(crate) fn share(origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
}
