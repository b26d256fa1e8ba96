//! The HTTP API for backends, as Centrifugo has it: `POST …/publish` with a JSON body. [`http_api`].
//!
//! `body`: what comes in and goes out; `methods`: what is done.

mod body;
mod methods;

use dog::http::{HeaderMap, Method, StatusCode, header};
use dog::{Request, Response, json_response, text_response};
use subtle::ConstantTimeEq;

use crate::channels::Channels;
use crate::messages::SpeaksChannels;
use crate::protocol::ErrorCode;
use crate::server::ChannelServer;
pub use body::MAX_API_COMMANDS;
use body::{ApiAnswer, ApiRequest, ApiResult};

/// Largest body of a request: 1 MiB.
pub const MAX_API_BODY: usize = 1024 * 1024;

/// Answers a request of a backend. The last part of its path names the method: `publish`, `broadcast`, `subscribe`, `unsubscribe`,
/// `disconnect`, `presence`, `presence_stats`, `history`, `history_remove`, `channels`, `info` or `batch`.
///
/// The request shows `key` in the header `X-API-Key`, or in `Authorization: apikey …`. `None`: every request is refused.
///
/// A method that fails answers 200 with `{"error":{"code":…,"message":…}}`, as libraries for this API expect. A request without the
/// key gets 401, one for another method 404, one that is not JSON 400, and one over [`MAX_API_BODY`] 413.
///
/// # Errors
/// The body could not be read.
pub async fn http_api<C: Channels, G: SpeaksChannels>(
    server: &ChannelServer<'_, C, G>,
    key: Option<&str>,
    request: Request,
) -> dog::Result<Response> {
    if request.method() != Method::POST {
        return Ok(text_response(StatusCode::METHOD_NOT_ALLOWED, "only POST"));
    }
    if !key.is_some_and(|key| shows(request.headers(), key)) {
        return Ok(text_response(StatusCode::UNAUTHORIZED, "the key of the API is missing or wrong"));
    }
    let path = request.uri().path().to_owned();
    let method = path.rsplit('/').next().unwrap_or_default();
    let body = request.into_body().bytes(MAX_API_BODY).await?;
    let body: ApiRequest = match serde_json::from_slice(if body.is_empty() { b"{}" } else { &body }) {
        Ok(body) => body,
        Err(_) => return Ok(text_response(StatusCode::BAD_REQUEST, "the body is not what this method takes")),
    };
    match methods::call(server, method, body).await {
        // The replies of a batch stand alone: each has a result or an error of its own.
        Ok(replies @ ApiResult::Batch { .. }) => Ok(json_response(StatusCode::OK, &replies)?),
        Ok(result) => Ok(json_response(StatusCode::OK, &ApiAnswer::Result(result))?),
        Err(error) if error == ErrorCode::METHOD_NOT_FOUND => {
            Ok(text_response(StatusCode::NOT_FOUND, "there is no such method"))
        }
        Err(error) => Ok(json_response(StatusCode::OK, &ApiAnswer::Error(error.into()))?),
    }
}

/// Whether a request shows the key. It takes the same time for every wrong key of the same length.
fn shows(headers: &HeaderMap, key: &str) -> bool {
    let own = headers.get("x-api-key").and_then(|value| value.to_str().ok());
    let other = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = own.or_else(|| other.and_then(|value| value.strip_prefix("apikey ")));
    !key.is_empty() && shown.is_some_and(|shown| bool::from(shown.as_bytes().ct_eq(key.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dog::http::HeaderValue;

    #[test]
    fn the_key_is_shown_in_one_of_two_headers() {
        let with = |name: &'static str, value: &'static str| {
            HeaderMap::from_iter([(header::HeaderName::from_static(name), HeaderValue::from_static(value))])
        };
        assert!(shows(&with("x-api-key", "k1"), "k1"));
        assert!(shows(&with("authorization", "apikey k1"), "k1"));
        for headers in [HeaderMap::new(), with("x-api-key", "k2"), with("authorization", "k1"), with("x-api-key", "")] {
            assert!(!shows(&headers, "k1"));
            assert!(!shows(&headers, ""), "an empty key opens nothing");
        }
    }
}
