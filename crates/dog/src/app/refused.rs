//! Refusals that a page can read: the handshake is accepted, and the socket closed at once.

use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderValue, StatusCode};

use crate::body::{Request, Response};
use crate::close::{Close, CloseCode};
use crate::request::offered_subprotocols;

/// Longest reason of a close, in bytes (RFC 6455, section 5.5).
const LONGEST_REASON: usize = 123;

/// For hosts: in a response that accepts a handshake, how the host closes the connection. No object knows of it.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseAtOnce(pub Close);

/// Makes the response that accepts the handshake of `request` one that closes at once. Other responses stay as they are.
pub(crate) fn close_at_once(mut accepted: Response, request: &Request, code: CloseCode, reason: &str) -> Response {
    if accepted.status() != StatusCode::SWITCHING_PROTOCOLS {
        return accepted;
    }
    // A browser that offers subprotocols fails the handshake if none is chosen, and its page never sees the code.
    let chosen = offered_subprotocols(request).next().and_then(|name| HeaderValue::from_str(name).ok());
    accepted.headers_mut().extend(chosen.map(|name| (SEC_WEBSOCKET_PROTOCOL, name)));
    let reason = &reason[..reason.floor_char_boundary(LONGEST_REASON)];
    accepted.extensions_mut().insert(CloseAtOnce(Close::new(code, reason)));
    accepted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::{Body, text_response};

    fn refused(status: StatusCode, offers: &[&'static str], reason: &str) -> Response {
        let mut request = Request::new(Body::empty());
        for offer in offers {
            request.headers_mut().append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(offer));
        }
        close_at_once(text_response(status, ""), &request, CloseCode::POLICY, reason)
    }

    fn close(response: &Response) -> Option<&Close> {
        response.extensions().get::<CloseAtOnce>().map(|close| &close.0)
    }

    #[test]
    fn a_page_that_offers_subprotocols_gets_one() {
        let response = refused(StatusCode::SWITCHING_PROTOCOLS, &["a, b", "c"], "go");
        assert_eq!(response.headers()[SEC_WEBSOCKET_PROTOCOL], "a");
        assert_eq!(close(&response), Some(&Close::new(CloseCode::POLICY, "go")));
        let response = refused(StatusCode::SWITCHING_PROTOCOLS, &[], "go");
        assert!(!response.headers().contains_key(SEC_WEBSOCKET_PROTOCOL) && close(&response).is_some());
    }

    #[test]
    fn a_reason_ends_with_a_whole_letter() {
        let response = refused(StatusCode::SWITCHING_PROTOCOLS, &[], &"\u{e9}".repeat(100));
        assert_eq!(close(&response).unwrap().reason().len(), LONGEST_REASON - 1);
    }

    #[test]
    fn what_is_no_handshake_is_not_accepted() {
        assert_eq!(close(&refused(StatusCode::UPGRADE_REQUIRED, &["a"], "go")), None);
    }
}
