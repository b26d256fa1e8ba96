//! The commands about publications.

use dog::internal::Kind;
use dog::{Context, Error, HistoryOrder, NewPublication, Position, Replica, Socket};
use futures_util::future::try_join_all;

use super::protocol::{LogAct, LogTold, Told};

pub(super) async fn act<R: Replica>(cx: &Context<R>, socket: Option<&Socket>, act: LogAct) -> Result<Told, Error> {
    let positions = match act {
        LogAct::Publish { topic, text, key } => vec![cx.publish(&topic, publication(text, key)).await?],
        LogAct::PublishConfirmed { topic, text, key } => {
            let report = cx.publish_confirmed(&topic, publication(text, key)).await?;
            let (position, missing) = (report.position.to_string(), report.missing.len());
            return Ok(Told::Log { log: LogTold::Confirmed { position, sockets: report.sockets, missing } });
        }
        LogAct::PublishLong { topic, letters: [text, metadata, key] } => {
            let key = (key > 0).then(|| "k".repeat(key));
            let publication = publication("x".repeat(text), key).metadata(vec![7; metadata]);
            vec![cx.publish(&topic, publication).await?]
        }
        LogAct::PublishMany { topic, name, count } => {
            let topic = &topic;
            let publish = async |number| {
                let text = format!("{name} {number}");
                match number % 3 {
                    2 => Ok(cx.publish_confirmed(topic, text).await?.position),
                    _ => cx.publish(topic, text).await,
                }
            };
            try_join_all((0..count).map(publish)).await?
        }
        LogAct::Resume { topic, since } => {
            let socket = socket.ok_or_else(|| Error::new(Kind::Handler, "this needs a socket"))?;
            return Ok(Told::Log { log: resume(socket, &topic, &since.parse()?).await? });
        }
        LogAct::History { topic, since, newest_first, limit } => {
            let since: Option<Position> = since.map(|since| since.parse()).transpose()?;
            let order = if newest_first { HistoryOrder::NewestFirst } else { HistoryOrder::OldestFirst };
            let page = cx.history(&topic, since.as_ref(), order, limit).await?;
            let text = |message: &dog::Message| message.as_text().unwrap_or_default().to_owned();
            let publications = page.publications.iter().map(|each| (each.offset, text(&each.message))).collect();
            let log = LogTold::Page { head: page.head.to_string(), publications, more: page.more };
            return Ok(Told::Log { log });
        }
    };
    Ok(Told::Log { log: LogTold::Published(positions.iter().map(Position::to_string).collect()) })
}

fn publication(text: String, key: Option<String>) -> NewPublication {
    let publication = NewPublication::new(text);
    match key {
        Some(key) => publication.key(key),
        None => publication,
    }
}

/// Goes on where the client has been.
pub(super) async fn resume(socket: &Socket, topic: &str, since: &Position) -> Result<LogTold, Error> {
    Ok(match socket.resume(topic, since).await? {
        Ok(recovered) => LogTold::Recovered(recovered.count, recovered.position.to_string()),
        Err(reason) => LogTold::Unrecovered(reason.to_string()),
    })
}
