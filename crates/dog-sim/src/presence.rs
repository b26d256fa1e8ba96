//! What the App does with presence in a run: it shows values, reads who is there, and is told who comes and leaves: in the room and
//! in topics. `place`: where that is; `model`: who is in a place in each version; `faults`: what has gone wrong; `grace`: who may not
//! leave yet; `record`: what is known of it in a run; `check`: the check when all is healed.

pub(crate) mod check;
pub(crate) mod faults;
mod grace;
pub(crate) mod model;
pub(crate) mod place;
pub(crate) mod record;

use std::time::Duration;

use dog::{
    ClientId, CloseCode, Context, Error, Failure, Group, GroupContext, GroupHandle, MAX_PRESENCE_PAGE, Presence,
    PresenceNews, PresencePage, Replica, Request, Response, Result, Socket,
};
use http::StatusCode;

use self::place::Place;
use self::record::ReplicaLife;
use crate::witness::Witness;

/// The commands of clients that are about presence. [`obey`] runs them.
pub(crate) const VERBS: &[&str] = &["value", "value", "value", "drain"];

/// The presence of the Groups in the run of this seed. A third of the runs has one.
pub(crate) fn of_seed(seed: u64) -> Option<Presence> {
    let (grace, tick) = (500 + seed % 7 * 1000, [10, 100, 400][usize::try_from(seed / 3 % 3).unwrap_or(0)]);
    let presence = Presence::default().grace(Duration::from_millis(grace)).tick(Duration::from_millis(tick));
    seed.is_multiple_of(3).then_some(presence)
}

/// Runs one of the [`VERBS`].
pub(crate) fn obey<R: Replica>(witness: &Witness, cx: &Context<R>, socket: &Socket, verb: &str) {
    if verb == "drain" {
        return drain(witness, cx);
    }
    let value = witness.record().random.number();
    // A socket that has closed meanwhile shows nothing, and without a presence there is nothing to show.
    let _ = socket.set_presence(&value);
}

/// Closes all sockets of a Replica, as a server does that shuts down.
fn drain<R: Replica>(witness: &Witness, cx: &Context<R>) {
    for socket in cx.sockets().filter(|socket| socket.connection().is_some()).collect::<Vec<_>>() {
        witness.record().restarts(socket.id(), (cx.group(), socket.client()), cx.now());
        socket.close(CloseCode::RESTARTING, "it shuts down");
    }
}

/// A handler of a socket begins. Its connection is open, if the handler is not the last one.
pub(crate) fn begins<R: Replica>(witness: &Witness, cx: &Context<R>, socket: &Socket) {
    if socket.connection().is_some() {
        witness.record().has_connection(socket.id(), (cx.group(), cx.id()), socket.client(), cx.now());
    }
}

/// The code of a life of a Replica is told what has changed, or has to read it. `is_first`: it was told nothing yet.
pub(crate) async fn news<R: Replica>(
    witness: &Witness,
    cx: &Context<R>,
    (life, is_first): (ReplicaLife, bool),
    news: &PresenceNews,
) -> Result {
    let group = cx.group();
    if let PresenceNews::Reset(version) = news {
        for place in Place::ALL {
            let page = read(cx, place).await;
            witness.record().reads_presence((group, place), life, *version, &page);
        }
    } else if is_first {
        witness.record().broken(19, format!("the first that the code of {life:?} is told is {news:?}"));
    } else {
        witness.record().follows_presence(group, life, news);
    }
    let (waits, fails) = {
        let mut record = witness.record();
        (record.random.happens(100), record.random.happens(50))
    };
    if waits {
        cx.storage().get::<u64>("first").await?;
    }
    if fails { Err(Failure::new("it does not want to know")) } else { Ok(()) }
}

async fn read<R: Replica>(cx: &Context<R>, place: Place) -> Result<PresencePage, Error> {
    match place.topic() {
        None => cx.presence(None, MAX_PRESENCE_PAGE).await,
        Some(topic) => cx.presence_of(topic, None, MAX_PRESENCE_PAGE).await,
    }
}

/// The code of a Group is told that a client has arrived somewhere or left.
pub(crate) async fn hooked(
    witness: &Witness,
    cx: &GroupContext,
    life: u64,
    (place, client): (Option<Place>, &ClientId),
    arrives: bool,
) -> Result {
    let waits = {
        let mut record = witness.record();
        match place {
            Some(place) => record.is_hooked((cx.id(), life), (place, client), arrives),
            None => record.broken(19, format!("the code of {:?} is told of a topic without a presence", cx.id())),
        }
        record.random.happens(100)
    };
    if waits {
        cx.storage().get::<u64>("first").await?;
    }
    Ok(())
}

/// Answers a request for who is in a Group, or in a topic of it, and records the answer under its number, if it has one.
pub(crate) async fn perform(witness: &Witness, group: &GroupHandle<impl Group>, request: &Request) -> Result<Response> {
    let number = dog::query_param(request, "number").and_then(|number| number.parse().ok());
    let place = dog::query_param(request, "topic").and_then(|topic| Place::of_topic(&topic)).unwrap_or(Place::ROOM);
    let page = match place.topic() {
        None => group.presence(None, MAX_PRESENCE_PAGE).await,
        Some(topic) => group.presence_of(topic, None, MAX_PRESENCE_PAGE).await,
    };
    witness.record().presence_page(number, (group.id(), place), &page);
    Ok(dog::text_response(StatusCode::OK, "read"))
}
