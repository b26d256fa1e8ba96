//! The page, and the client module that it imports.

use dog::http::{HeaderValue, header};
use dog::{Body, Response};

/// The style and the script of the page are inline. It may load the module besides, and connect to this server only.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'self' 'unsafe-inline'; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn page() -> Response {
    let mut page = file(include_str!("page.html"), "text/html; charset=utf-8");
    page.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    page
}

/// `clients/js/dog.js`. In this folder it is a link.
pub(crate) fn module() -> Response {
    file(include_str!("dog.js"), "text/javascript; charset=utf-8")
}

fn file(content: &'static str, content_type: &'static str) -> Response {
    let mut response = Response::new(Body::from(content));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
