//! The test App: its clients can make it do whatever a Replica can do, and see from outside what came of it.
//!
//! It depends on `dog` and serde alone, so that it builds for every host, wasm too.
//!
//! | path | does |
//! |---|---|
//! | `/CLASS/GROUP/ws?u=CLIENT` | identifies and opens a socket, which takes [`protocol::Command`]s |
//! | `/CLASS/GROUP/http?u=CLIENT` | identifies and performs the [`protocol::Command`] of the body, without a socket |
//! | `/CLASS/GROUP/stream?u=CLIENT` | identifies, and streams what [`protocol::Act::Push`] says until [`protocol::Act::EndStreams`] |
//! | `/CLASS/GROUP/identify?u=CLIENT` | identifies and drops the ticket: [`protocol::Identified`] |
//! | `/CLASS/GROUP/hold?u=CLIENT&gate=GATE&then=use` | identifies, waits at the gate of the hall `GROUP`, performs the command of the body; `then=drop` drops the ticket |
//! | `/CLASS/GROUP/group?do=fail` | asks the Group itself, which fails, panics, counts (`do=count`) or (`do=keep`) does the steps of the body, or (without `do`) shows the request |
//! | `/ANYTHING?forward=CLASS/GROUP&u=CLIENT` | identifies and passes the request on as it is; with `to=group`, to the Group |
//! | `/fail`, `/panic` | the App itself fails |
//! | the rest | 404, with the request as JSON: [`protocol::Echo`] |

mod act;
mod class;
mod gate;
mod ghost;
mod journal;
mod keep;
mod keeper;
pub mod protocol;
mod report;
mod room;
mod tap;

use dog::http::{HeaderValue, StatusCode, header};
use dog::{App, ClientId, Dog, Failure, Group, Request, Response, Result};
use serde::Serialize;

pub use class::{
    Brief, Class, Cluster, EightSeats, FiftySeats, Hall, Named, NamedReplicas, Octet, OneSeat, Pair, ShortTimes,
    Single, Slow, SlowToBegin, TwoSeats, named_replica,
};
pub use room::Room;

use protocol::{Act, Command, Echo, Identified};

/// What every host runs for the suite.
#[derive(Clone, Copy, Debug, Default)]
pub struct TestApp;

impl App for TestApp {
    type Groups = (Single, Pair, Octet, Hall, Brief, Named, Slow);

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
            (Some((Brief::NAME, group)), _) => at::<Brief>(dog, group, action, request).await,
            (Some((Named::NAME, group)), _) => at::<Named>(dog, group, action, request).await,
            (Some((Slow::NAME, group)), _) => at::<Slow>(dog, group, action, request).await,
            (None, "fail") => Err(Failure::new("the secret of the App")),
            (None, "panic") => panic!("the secret of the App"),
            _ => echo("app", request).await,
        }
    }
}

/// An extension that has to stay on its side.
#[derive(Clone)]
struct Mark;

/// What a path means in a Group of the class `G`.
async fn at<G: Group>(dog: &Dog<TestApp>, group: &str, action: &str, mut request: Request) -> Result<Response> {
    request.extensions_mut().insert(Mark);
    let mut response = answer_at::<G>(dog, group, action, request).await?;
    if response.extensions().get::<Mark>().is_some() {
        response.headers_mut().insert(protocol::MARKED_HEADER, HeaderValue::from_static("yes"));
    }
    Ok(response)
}

async fn answer_at<G: Group>(dog: &Dog<TestApp>, group: &str, action: &str, request: Request) -> Result<Response> {
    let handle = dog.group::<G>(group);
    let to_group = dog::query_param(&request, "to").as_deref() == Some("group");
    match action {
        "forward" if to_group => Ok(handle.fetch(request).await?),
        "group" => Ok(handle.fetch(request).await?),
        "ws" | "http" | "stream" | "forward" => {
            let replica = handle.identify(&client(&request)?).await?;
            Ok(replica.fetch(request).await?)
        }
        "identify" => {
            let replica = handle.identify(&client(&request)?).await?.id();
            Ok(json(StatusCode::OK, &Identified { group: handle.id(), replica })?)
        }
        "hold" => hold::<G>(dog, group, request).await,
        _ => echo("app", request).await,
    }
}

/// Keeps a ticket until a gate opens. The gate is a Replica's, in another Group, so that it needs no clock and whoever
/// has a socket there hears when the ticket has been taken.
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

fn client(request: &Request) -> Result<ClientId, dog::Error> {
    ClientId::new(dog::query_param(request, "u").unwrap_or_default())
}

/// Shows a request to whoever sent it, with 404: nobody here knows what it means.
async fn echo(seen_by: &str, request: Request) -> Result<Response> {
    let marked = request.extensions().get::<Mark>().is_some();
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
        marked,
    };
    let mut response = json(StatusCode::NOT_FOUND, &echo)?;
    if seen_by != "app" {
        response.extensions_mut().insert(Mark);
    }
    Ok(response)
}

fn json<T: Serialize>(status: StatusCode, value: &T) -> serde_json::Result<Response> {
    let mut response = Response::new(serde_json::to_vec(value)?.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
