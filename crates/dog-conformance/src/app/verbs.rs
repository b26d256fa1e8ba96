//! The verbs of a Group, performed by the App or by the Group itself. `?verb=` says which; the answer is a line of text.

use dog::http::StatusCode;
use dog::{
    BroadcastReport, ClientId, CloseCode, Group, GroupContext, GroupHandle, HistoryOrder, Request, Response, Result,
    text_response,
};

use super::protocol::Why;

/// A `GroupHandle` and a `GroupContext` have the same verbs.
macro_rules! perform {
    ($group:expr, $request:expr) => {{
        let of_query = |name| dog::query_param($request, name).unwrap_or_default();
        let (client, text, topic) = (of_query("client"), of_query("text"), of_query("topic"));
        let line = match of_query("verb").as_str() {
            "broadcast" => {
                $group.broadcast(text)?;
                "sent".to_owned()
            }
            "broadcast_to" => {
                $group.broadcast_to(&topic, text)?;
                if let Some(end) = dog::query_param($request, "then") {
                    $group.broadcast(end)?;
                }
                "sent".to_owned()
            }
            "sequence" => {
                for number in 0..of_query("count").parse::<u32>()? {
                    match number % 3 {
                        0 => $group.broadcast(number.to_string())?,
                        1 => $group.broadcast_to(&topic, number.to_string())?,
                        _ => drop($group.broadcast_confirmed(number.to_string()).await?),
                    }
                }
                "sent".to_owned()
            }
            "publish" => $group.publish(&topic, text).await?.to_string(),
            "publish_confirmed" => {
                let report = $group.publish_confirmed(&topic, text).await?;
                format!("{} {} reached, {} missing", report.position, report.sockets, report.missing.len())
            }
            "purge" => match $group.purge_log(&topic).await {
                Ok(()) => "purged".into(),
                refused @ Err(_) => why(&refused),
            },
            "reset" => $group.reset_log(&topic).await?.to_string(),
            "refused" => {
                let text = "x".repeat(of_query("letters").parse()?);
                let refused = [
                    $group.publish(&topic, text.clone()).await.map(drop),
                    $group.publish_confirmed(&topic, text).await.map(drop),
                ];
                refused.iter().map(why).collect::<Vec<_>>().join(" ")
            }
            "history" => {
                let page = $group.history(&topic, None, HistoryOrder::OldestFirst, 100).await?;
                let texts = page.publications.iter().filter_map(|publication| publication.message.as_text());
                texts.collect::<Vec<_>>().join(" ")
            }
            "confirmed" => reached(&$group.broadcast_confirmed(text).await?),
            "whisper" => reached(&$group.whisper(&ClientId::new(client)?, text).await?),
            "disconnect" => {
                let code = CloseCode::new(4003).unwrap_or(CloseCode::POLICY);
                reached(&$group.disconnect(&ClientId::new(client)?, code, "removed").await?)
            }
            "presence" => {
                let page = $group.presence_of(&topic, None, 100).await?;
                let there = page.clients.iter().map(|there| format!("{}:{}", there.client, there.connections.len()));
                let counts = $group.presence_counts_of(&topic).await?;
                format!("{}, {}:{}", there.collect::<Vec<_>>().join(" "), counts.clients, counts.connections)
            }
            "presence_refused" => why(&$group.presence_counts_of(&topic).await.map(drop)),
            "clients" => {
                let page = $group.clients(None, 100).await?;
                let clients = page.clients.iter().map(|(client, sockets)| format!("{client}:{sockets}"));
                clients.collect::<Vec<_>>().join(" ")
            }
            _ => {
                let count = $group.count().await?;
                format!("{} clients, {} sockets, {} missing", count.clients, count.sockets, count.missing.len())
            }
        };
        Ok(text_response(StatusCode::OK, line))
    }};
}

/// The name of an error.
fn why(outcome: &Result<(), dog::Error>) -> String {
    outcome.as_ref().map_or_else(|error| format!("{:?}", Why::from(error)), |()| "not refused".into())
}

fn reached(report: &BroadcastReport) -> String {
    format!("{} reached, {} missing", report.sockets, report.missing.len())
}

pub(super) async fn of_app<G: Group>(group: &GroupHandle<G>, request: &Request) -> Result<Response> {
    perform!(group, request)
}

pub(super) async fn of_group(cx: &GroupContext, request: &Request) -> Result<Response> {
    perform!(cx, request)
}
