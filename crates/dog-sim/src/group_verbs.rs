//! The verbs of a Group, from the App: what a request does.

use std::collections::BTreeMap;

use dog::{BroadcastReport, ClientId, CloseCode, Error, Group, GroupHandle, Message, Request, Response, Result};
use http::StatusCode;

use crate::record::Witness;
use crate::verb_record::{Outcome, VerbRecord};

/// The requests of clients that let the App use a verb.
pub(crate) const REQUESTS: &[&str] = &[
    "/verb?do=cast",
    "/verb?do=broadcast",
    "/verb?do=whisper&to=c1",
    "/verb?do=disconnect&to=c2",
    "/verb?do=clients",
    "/verb?do=count",
];

/// How many clients are on a page.
const PAGE: usize = 2;

/// Carries out the verb that a request names, and records its outcome under the number that the request has.
pub(crate) async fn perform(witness: &Witness, group: &GroupHandle<impl Group>, request: &Request) -> Result<Response> {
    let parameter = |name| dog::query_param(request, name).unwrap_or_default();
    let number = match parameter("number").parse() {
        Ok(number) => number,
        Err(_) => witness.record().verbs().begins(),
    };
    let outcome = verb(group, &parameter("do"), &parameter("to"), number).await;
    witness.record().verbs().ends(number, outcome);
    Ok(dog::text_response(StatusCode::OK, "done"))
}

async fn verb(group: &GroupHandle<impl Group>, verb: &str, to: &str, number: u64) -> Result<Outcome, Error> {
    let (sender, place) = VerbRecord::message(number);
    let message = Message::text(format!("v {sender} {place} -"));
    match verb {
        "cast" => group.broadcast(message).map(|()| Outcome::default()),
        "broadcast" => group.broadcast_confirmed(message).await.map(reached),
        "whisper" => group.whisper(&ClientId::new(to)?, message).await.map(reached),
        "disconnect" => group.disconnect(&ClientId::new(to)?, CloseCode::from_raw(4003), "asked to").await.map(reached),
        "clients" => clients(group).await,
        _ => {
            let count = group.count().await?;
            let clients = BTreeMap::from([("all".into(), u32::try_from(count.clients).unwrap_or(u32::MAX))]);
            Ok(Outcome { sockets: count.sockets, clients, missing: count.missing })
        }
    }
}

fn reached(report: BroadcastReport) -> Outcome {
    let missing = report.missing.into_iter().map(|(replica, _)| replica).collect();
    Outcome { sockets: report.sockets, clients: BTreeMap::new(), missing }
}

/// Reads all pages.
async fn clients(group: &GroupHandle<impl Group>) -> Result<Outcome, Error> {
    let (mut outcome, mut after) = (Outcome::default(), None);
    loop {
        let page = group.clients(after.as_ref(), PAGE).await?;
        outcome.sockets += page.clients.iter().map(|(_, sockets)| *sockets as usize).sum::<usize>();
        outcome.clients.extend(page.clients.into_iter().map(|(client, sockets)| (client.as_str().into(), sockets)));
        outcome.missing = page.missing;
        after = page.next;
        if after.is_none() {
            return Ok(outcome);
        }
    }
}
