//! Responses of the test App and its objects.

use dog::http::StatusCode;
use dog::{Failure, Request, Response, Result};

use super::protocol::Echo;

/// An extension that must not pass between the App and an object.
#[derive(Clone)]
pub(super) struct Mark;

/// Returns the request to its sender, with status 404.
pub(super) async fn echo(seen_by: &str, request: Request) -> Result<Response> {
    let marked = request.extensions().get::<Mark>().is_some();
    let (peer, identity) = (dog::peer_address(&request), dog::identity(&request)?);
    let (parts, body) = request.into_parts();
    let headers = parts.headers.iter();
    let echo = Echo {
        seen_by: seen_by.to_owned(),
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        headers: headers
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect(),
        body: String::from_utf8_lossy(&body.bytes(1 << 20).await?).into_owned(),
        peer,
        identity,
        marked,
    };
    let mut response = dog::json_response(StatusCode::NOT_FOUND, &echo)?;
    if seen_by != "app" {
        response.extensions_mut().insert(Mark);
    }
    Ok(response)
}

/// Refuses with the status and the text of the query.
pub(super) fn refusal(request: &Request) -> Result<Failure> {
    let of_query = |name| dog::query_param(request, name).unwrap_or_default();
    Ok(Failure::status(of_query("status").parse()?, of_query("text")))
}
