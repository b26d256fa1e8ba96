//! What a [`Room`] does about presence.

use std::cell::Cell;

use dog::internal::Kind;
use dog::{
    Context, Error, PresenceChange, PresenceNews, PresencePage, PresenceVersion, Replica, Result, Socket, TopicChange,
};

use super::protocol::{PRESENT, PRESENT_TOO, PresenceAct, PresenceLine, PresenceTold, Told};

/// Executes `act`.
pub(super) async fn act<R: Replica>(cx: &Context<R>, socket: Option<&Socket>, act: PresenceAct) -> Result<Told, Error> {
    let value = match act {
        PresenceAct::Read { topic, limit } => return read(cx, topic.as_deref(), limit).await,
        PresenceAct::Set { text } => text,
        PresenceAct::SetLong { letters } => "x".repeat(letters),
    };
    let socket = socket.ok_or_else(|| Error::new(Kind::Handler, "this needs a socket"))?;
    socket.set_presence(&value).map(|()| Told::Done)
}

async fn read<R: Replica>(cx: &Context<R>, topic: Option<&str>, limit: usize) -> Result<Told, Error> {
    let (mut clients, mut after) = (Vec::<(String, Vec<_>)>::new(), None);
    loop {
        let page = match topic {
            None => cx.presence(after.as_ref(), limit).await?,
            Some(topic) => cx.presence_of(topic, after.as_ref(), limit).await?,
        };
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
            let counts = match topic {
                None => cx.presence_counts().await?,
                Some(topic) => cx.presence_counts_of(topic).await?,
            };
            let counted = counts.clients;
            return Ok(Told::Present { there: PresenceTold { clients, counted } });
        }
    }
}

/// What was told to the sockets here.
#[derive(Default)]
pub(super) struct Telling {
    /// What has been read may be ahead of the changes that come.
    read: Cell<Option<PresenceVersion>>,
}

impl Telling {
    /// Tells all sockets here: what changes in the room and in all topics, and after a reset who is in the room, in [`PRESENT`] and
    /// in [`PRESENT_TOO`].
    pub(super) async fn tell<R: Replica>(&self, cx: &Context<R>, news: PresenceNews) -> Result {
        let PresenceNews::Changed { version, changes, in_topics } = news else {
            let room = cx.presence(None, 100).await?;
            self.read.set(room.version);
            say(cx, &reset(&room))?;
            for topic in [PRESENT, PRESENT_TOO] {
                let page = cx.presence_of(topic, None, 100).await?;
                say(cx, &PresenceLine::InTopic(topic.to_owned(), Box::new(reset(&page))))?;
            }
            return Ok(());
        };
        if self.read.get() >= Some(version) {
            return Ok(());
        }
        for change in changes {
            say(cx, &line(&change)?)?;
        }
        for TopicChange { topic, change } in in_topics {
            say(cx, &PresenceLine::InTopic(topic.to_string(), Box::new(line(&change)?)))?;
        }
        Ok(())
    }
}

fn reset(page: &PresencePage) -> PresenceLine {
    PresenceLine::Reset(page.clients.iter().map(|present| present.client.to_string()).collect())
}

fn line(change: &PresenceChange) -> Result<PresenceLine, Error> {
    let client = change.client().to_string();
    Ok(match change {
        PresenceChange::Arrived { .. } => PresenceLine::Arrived(client),
        PresenceChange::Left { .. } => PresenceLine::Left(client),
        PresenceChange::Opened { .. } | PresenceChange::Updated { .. } => PresenceLine::Value(client, change.value()?),
        PresenceChange::Closed { .. } => PresenceLine::Closed(client),
    })
}

fn say<R: Replica>(cx: &Context<R>, line: &PresenceLine) -> Result {
    Ok(cx.emit(serde_json::to_string(line)?)?)
}
