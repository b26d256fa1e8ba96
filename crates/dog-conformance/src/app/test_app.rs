//! The test App: what its paths mean. The [module](super) lists them.

use dog::http::{HeaderValue, StatusCode};
use dog::{Anonymous, App, ClientId, CloseCode, Dog, Failure, Group, Request, Response, Result};

use super::groups::{Brief, Hall, Match, Named, Octet, Pair, Single, Slow};
use super::protocol::{self, Act, Command, GroupAsk, GroupReply, Identified};
use super::responses::{Mark, echo, refusal};
use super::verbs;

/// The App that every host runs for the suite.
#[derive(Clone, Copy, Debug, Default)]
pub struct TestApp;

impl App for TestApp {
    type Groups = (Single, Pair, Octet, Hall, Match, Brief, Named, Slow);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        let path = request.uri().path().to_owned();
        let forward = dog::query_param(&request, "forward");
        let (place, action) = match (forward.as_deref(), path.rsplit_once('/')) {
            (Some(place), _) => (place, "forward"),
            (None, Some((place, action))) => (place.trim_start_matches('/'), action),
            (None, None) => ("", ""),
        };
        match (place.split_once('/'), action) {
            (Some((Single::NAME, group)), _) => at::<Single>(dog, group, action, request).await,
            (Some((Pair::NAME, group)), _) => at::<Pair>(dog, group, action, request).await,
            (Some((Octet::NAME, group)), _) => at::<Octet>(dog, group, action, request).await,
            (Some((Hall::NAME, group)), _) => at::<Hall>(dog, group, action, request).await,
            (Some((Match::NAME, group)), _) => at::<Match>(dog, group, action, request).await,
            (Some((Brief::NAME, group)), _) => at::<Brief>(dog, group, action, request).await,
            (Some((Named::NAME, group)), _) => at::<Named>(dog, group, action, request).await,
            (Some((Slow::NAME, group)), _) => at::<Slow>(dog, group, action, request).await,
            (None, "fail") => Err(Failure::new("the secret of the App")),
            (None, "refuse") => Err(refusal(&request)?),
            (None, "panic") => panic!("the secret of the App"),
            _ => echo("app", request).await,
        }
    }
}

/// Answers a path of a Group of the class `G`.
async fn at<G: Group<Call = GroupAsk, Reply = GroupReply>>(
    dog: &Dog<TestApp>,
    group: &str,
    action: &str,
    mut request: Request,
) -> Result<Response> {
    request.extensions_mut().insert(Mark);
    let mut response = answer_at::<G>(dog, group, action, request).await?;
    if response.extensions().get::<Mark>().is_some() {
        response.headers_mut().insert(protocol::MARKED_HEADER, HeaderValue::from_static("yes"));
    }
    Ok(response)
}

async fn answer_at<G: Group<Call = GroupAsk, Reply = GroupReply>>(
    dog: &Dog<TestApp>,
    group: &str,
    action: &str,
    request: Request,
) -> Result<Response> {
    let handle = dog.group::<G>(group);
    let to_group = dog::query_param(&request, "to").as_deref() == Some("group");
    match action {
        "turn-away" => turn_away(dog, &request),
        "forward" if to_group => Ok(handle.fetch(request).await?),
        "group" => Ok(handle.fetch(request).await?),
        "verb" => verbs::of_app(&handle, &request).await,
        "call" => {
            let ask: GroupAsk = serde_json::from_slice(&request.into_body().bytes(1 << 20).await?)?;
            Ok(dog::json_response(StatusCode::OK, &GroupReply::passed(handle.call(&ask).await))?)
        }
        "ws" | "http" | "stream" | "events" | "lines" | "bytes" | "forward" => {
            let replica = match anonymous(&request) {
                Some(anonymous) => handle.identify_anonymous(anonymous).await?,
                None => handle.identify(&client(&request)?).await?,
            };
            match identity(&request)? {
                Some(identity) => Ok(replica.fetch_as(request, &identity).await?),
                None => Ok(replica.fetch(request).await?),
            }
        }
        "deliver" => {
            let session = dog::query_param(&request, "session").unwrap_or_default();
            let text = String::from_utf8(request.into_body().bytes(1 << 20).await?.into())?;
            handle.deliver(&session, text).await?;
            Ok(dog::text_response(StatusCode::ACCEPTED, ""))
        }
        "identify" => {
            let replica = handle.identify(&client(&request)?).await?.id();
            Ok(dog::json_response(StatusCode::OK, &Identified { group: handle.id(), replica })?)
        }
        "hold" => hold::<G>(dog, group, request).await,
        _ => echo("app", request).await,
    }
}

/// Holds a ticket until a gate opens. The gate belongs to a Replica of another Group. So the App needs no clock, and a client
/// with a socket on that Replica learns when the App holds the ticket.
async fn hold<G: Group>(dog: &Dog<TestApp>, group: &str, request: Request) -> Result<Response> {
    let gate = dog::query_param(&request, "gate").unwrap_or_default();
    let ticket = dog.group::<G>(group).identify(&client(&request)?).await?;
    let keeper = dog.group::<Hall>(group).identify(&ClientId::new("keeper")?).await?;
    let wait = serde_json::to_vec(&Command { id: 0, act: Act::Wait { gate } })?;
    let waited = keeper.fetch(dog::http::Request::post("/http").body(wait.into())?).await?;
    if waited.status() != StatusCode::OK {
        return Ok(waited);
    }
    match dog::query_param(&request, "then").as_deref() {
        Some("use") => {
            let (mut parts, body) = request.into_parts();
            parts.uri = dog::http::Uri::from_static("/http");
            Ok(ticket.fetch(Request::from_parts(parts, body)).await?)
        }
        _ => Ok(dog::text_response(StatusCode::OK, "dropped")),
    }
}

/// Refuses after the upgrade, with the code and the reason of the query.
fn turn_away(dog: &Dog<TestApp>, request: &Request) -> Result<Response> {
    let of_query = |name| dog::query_param(request, name).unwrap_or_default();
    let code = CloseCode::new(of_query("code").parse()?).ok_or_else(|| Failure::new("no such code"))?;
    Ok(dog.refuse_after_upgrade(request, code, &of_query("reason")))
}

/// Whether the query asks for a client that is not known: `anonymous=assign` or `anonymous=keep`.
fn anonymous(request: &Request) -> Option<Anonymous> {
    match dog::query_param(request, "anonymous")?.as_str() {
        "keep" => Some(Anonymous::ForGood),
        _ => Some(Anonymous::UntilAssigned),
    }
}

/// The identity that the query asks for: `as=TEXT`, or `as_bytes=N` for one of N letters.
fn identity(request: &Request) -> Result<Option<String>> {
    match dog::query_param(request, "as_bytes") {
        Some(letters) => Ok(Some("x".repeat(letters.parse()?))),
        None => Ok(dog::query_param(request, "as")),
    }
}

fn client(request: &Request) -> Result<ClientId, dog::Error> {
    ClientId::new(dog::query_param(request, "u").unwrap_or_default())
}
