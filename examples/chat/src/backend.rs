//! The requests of other programs: they speak to the room and look after it, and take no seat for that.

use dog::http::{HeaderValue, Method, StatusCode, header};
use dog::{
    App, ClientId, CloseCode, Dog, Group, GroupHandle, MAX_CLIENT_PAGE, ROOM, Request, Response, Result, Timestamp,
    json_response, text_response,
};
use dog_door::RevokeIn;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use crate::door::Door;
use crate::protocol::{MAX_TEXT, Output};
use crate::responses::{method_not_allowed, not_found};

/// The close code of a user who was removed. The page does not reconnect after it.
const REMOVED: u16 = 4003;

/// What these requests have to know, from the [`Env`](dog::Env). Without it the room answers none of them.
pub struct Secret(String);

impl Secret {
    /// `None` if the text is empty: it would protect nothing.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        Some(text.into()).filter(|text| !text.is_empty()).map(Self)
    }

    /// Whether the request has the header `Authorization: Bearer SECRET`. The time that this takes shows nothing of the secret
    /// but its length.
    fn is_known_by(&self, request: &Request) -> bool {
        let header = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let Some((scheme, given)) = header.and_then(|header| header.split_at_checked("Bearer ".len())) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(given.ct_eq(self.0.as_bytes()))
    }
}

/// Answers a request that is not one of a user.
pub(crate) async fn answer<A: App, G: Group>(
    secret: &Secret,
    request: Request,
    room: &GroupHandle<G>,
    dog: &Dog<A>,
) -> Result<Response>
where
    GroupHandle<G>: RevokeIn<G>,
{
    let path = request.uri().path().to_owned();
    let (name, allowed) = match path.strip_prefix("/users/") {
        Some(name) => (Some(name), Method::DELETE),
        None if path == "/announce" => (None, Method::POST),
        None if path == "/users" => (None, Method::GET),
        None => return Ok(not_found()),
    };
    if request.method() != allowed {
        return Ok(method_not_allowed(match name {
            Some(_) => "DELETE",
            None if allowed == Method::POST => "POST",
            None => "GET",
        }));
    }
    if allowed == Method::GET {
        return users(room).await;
    }
    if !secret.is_known_by(&request) {
        let mut response = text_response(StatusCode::UNAUTHORIZED, "send Authorization: Bearer SECRET");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return Ok(response);
    }
    match name {
        Some(name) => remove(name, room, dog).await,
        None => announce(request, room, dog.now()).await,
    }
}

/// Says the body to everyone.
async fn announce<G: Group>(request: Request, room: &GroupHandle<G>, now: Timestamp) -> Result<Response> {
    // A longer one is an error that answers 413.
    let body = request.into_body().bytes(MAX_TEXT).await?;
    let Some(text) = std::str::from_utf8(&body).ok().filter(|text| !text.is_empty()) else {
        return Ok(text_response(StatusCode::BAD_REQUEST, "send a text in UTF-8"));
    };
    let said = Output::Said { from: "HTTP", text, meta: None, to: None, topic: None }.at(now)?;
    sockets(room.publish_confirmed(ROOM, said).await?.sockets)
}

/// Ends the sessions of a user, who may not be here now, and then closes all sockets.
async fn remove<A: App, G: Group>(name: &str, room: &GroupHandle<G>, dog: &Dog<A>) -> Result<Response>
where
    GroupHandle<G>: RevokeIn<G>,
{
    let Ok(name) = percent_decode_str(name).decode_utf8() else {
        return Ok(text_response(StatusCode::BAD_REQUEST, "the name is not UTF-8"));
    };
    let (user, door) = (ClientId::new(name.as_ref())?, Door::of(dog.env())?);
    door.revoke(&user, dog.now(), room).await?;
    let code = CloseCode::new(REMOVED).unwrap_or(CloseCode::POLICY);
    let report = room.disconnect(&user, code, "removed").await?;
    if !report.missing.is_empty() {
        let text = "not every Replica has answered: try again later";
        return Ok(text_response(StatusCode::SERVICE_UNAVAILABLE, text));
    }
    match report.sockets {
        0 if door.is_open() => Ok(text_response(StatusCode::NOT_FOUND, format!("{name} is not here"))),
        closed => sockets(closed),
    }
}

/// Every user with the number of sockets.
async fn users<G: Group>(room: &GroupHandle<G>) -> Result<Response> {
    let (mut users, mut after) = (Vec::new(), None);
    loop {
        let page = room.clients(after.as_ref(), MAX_CLIENT_PAGE).await?;
        users.extend(page.clients.iter().map(|(name, sockets)| json!({ "name": name, "sockets": sockets })));
        after = page.next;
        if after.is_none() {
            return json(&json!({ "users": users }));
        }
    }
}

fn sockets(sockets: usize) -> Result<Response> {
    json(&json!({ "sockets": sockets }))
}

fn json(value: &Value) -> Result<Response> {
    Ok(json_response(StatusCode::OK, value)?)
}
