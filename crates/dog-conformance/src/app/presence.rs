//! What a [`Room`] does about presence.

use dog::internal::Kind;
use dog::{Context, Error, PresenceChange, PresenceNews, Replica, Result, Socket};

use super::protocol::{PresenceAct, PresenceLine, PresenceTold, Told};

/// Executes `act`.
pub(super) async fn act<R: Replica>(cx: &Context<R>, socket: Option<&Socket>, act: PresenceAct) -> Result<Told, Error> {
    let value = match act {
        PresenceAct::Read { limit } => return read(cx, limit).await,
        PresenceAct::Set { text } => text,
        PresenceAct::SetLong { letters } => "x".repeat(letters),
    };
    let socket = socket.ok_or_else(|| Error::new(Kind::Handler, "this needs a socket"))?;
    socket.set_presence(&value).map(|()| Told::Done)
}

async fn read<R: Replica>(cx: &Context<R>, limit: usize) -> Result<Told, Error> {
    let (mut clients, mut after) = (Vec::<(String, Vec<_>)>::new(), None);
    loop {
        let page = cx.presence(after.as_ref(), limit).await?;
        for present in page.clients {
            let values = present.connections.iter().map(dog::PresentConnection::value);
            let values = values.collect::<Result<Vec<_>, _>>()?;
            match clients.last_mut().filter(|(last, _)| last == present.client.as_str()) {
                Some((_, known)) => known.extend(values),
                None => clients.push((present.client.to_string(), values)),
            }
        }
        after = page.next;
        if after.is_none() {
            let counted = cx.presence_counts().await?.clients;
            return Ok(Told::Present { there: PresenceTold { clients, counted } });
        }
    }
}

/// Tells all sockets here.
pub(super) async fn tell<R: Replica>(cx: &Context<R>, news: PresenceNews) -> Result {
    let PresenceNews::Changed { changes, .. } = news else {
        let page = cx.presence(None, 100).await?;
        let clients = page.clients.iter().map(|present| present.client.to_string()).collect();
        return say(cx, &PresenceLine::Reset(clients));
    };
    for change in changes {
        let client = change.client().to_string();
        let line = match &change {
            PresenceChange::Arrived { .. } => PresenceLine::Arrived(client),
            PresenceChange::Left { .. } => PresenceLine::Left(client),
            PresenceChange::Opened { .. } | PresenceChange::Updated { .. } => {
                PresenceLine::Value(client, change.value()?)
            }
            PresenceChange::Closed { .. } => PresenceLine::Closed(client),
        };
        say(cx, &line)?;
    }
    Ok(())
}

fn say<R: Replica>(cx: &Context<R>, line: &PresenceLine) -> Result {
    Ok(cx.emit(serde_json::to_string(line)?)?)
}
