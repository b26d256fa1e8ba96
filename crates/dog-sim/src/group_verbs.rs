//! The verbs of a Group, from the App and from Replicas: what a run does with them.

use std::collections::BTreeMap;

use dog::{BroadcastReport, ClientId, CloseCode, Error, Group, GroupHandle, Message, Request, Response, Result};
use http::StatusCode;

use crate::sent::Sent;
use crate::verb_record::{GroupVerb, Outcome, Reach, VerbRecord};
use crate::witness::Witness;

/// The requests of clients that let the App use a verb.
pub(crate) const REQUESTS: &[&str] = &[
    "/verb?do=cast",
    "/verb?do=broadcast",
    "/verb?do=broadcast",
    "/verb?do=broadcast-to&topic=a",
    "/verb?do=broadcast-to&topic=b",
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
    let number = parameter("number").parse().ok();
    let verb = parameter("do");
    if verb == "broadcast-to" {
        broadcast_to(witness, group, number, &parameter("topic"));
    } else {
        run(witness, group, number, (&verb, &parameter("to"))).await;
    }
    Ok(dog::text_response(StatusCode::OK, "done"))
}

/// Closes the sockets of a client.
pub(crate) async fn disconnect(witness: &Witness, group: &GroupHandle<impl Group>, client: &ClientId) {
    run(witness, group, None, ("disconnect", client.as_str())).await;
}

async fn run(witness: &Witness, group: &GroupHandle<impl Group>, number: Option<u64>, (verb, to): (&str, &str)) {
    let number = {
        let mut record = witness.record();
        let number = number.unwrap_or_else(|| record.verbs().begins());
        let reach = match verb {
            "broadcast" | "whisper" => Some(Reach::Sends),
            "disconnect" => Some(Reach::Closes),
            _ => None,
        };
        let client = Some(to.to_owned()).filter(|client| !client.is_empty());
        if let Some(reach) = reach {
            record.verbs().reports(number, GroupVerb { group: group.id(), client, reach });
        }
        number
    };
    let disconnected = Some(to).filter(|_| verb == "disconnect");
    disconnected.iter().for_each(|client| witness.record().is_disconnected(group.id(), client));
    let mut outcome = outcome(group, verb, to, number).await;
    let mut record = witness.record();
    disconnected.iter().for_each(|client| record.is_disconnected(group.id(), client));
    if let Ok(outcome) = &mut outcome
        && verb == "clients"
        && record.presence().is_on()
    {
        // Those without a socket are in their grace time: `PresenceCheck` checks them.
        outcome.clients.retain(|_, sockets| *sockets > 0);
    }
    record.verbs().ends(number, outcome);
}

/// Sends to the subscribers of a topic. All that are subscribed now must hear it.
pub(crate) fn broadcast_to(witness: &Witness, group: &GroupHandle<impl Group>, number: Option<u64>, topic: &str) {
    let (sender, place) = {
        let mut record = witness.record();
        let number = number.unwrap_or_else(|| record.verbs().begins());
        let name = record.next_message(VerbRecord::message(number).0);
        let (subscribed, life) = (record.topics().subscribers(topic), record.running_life());
        let sent = Sent::new(name, group.id()).to_topic(topic).over_its_group(life);
        sent.is_owed(&mut record, |socket, _, _| subscribed.contains(&socket));
        name
    };
    let sent = group.broadcast_to(topic, Message::text(format!("v {sender} {place} - {topic}")));
    if sent.is_err() {
        witness.record().owed.retain(|(owed, _), _| *owed != (sender, place));
    }
}

async fn outcome(group: &GroupHandle<impl Group>, verb: &str, to: &str, number: u64) -> Result<Outcome, Error> {
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
