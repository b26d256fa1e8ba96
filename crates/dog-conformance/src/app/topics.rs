//! The commands about topics.

use dog::internal::Kind;
use dog::{Context, Error, Socket, To};

use super::class::TestClass;
use super::protocol::{Told, TopicAct, TopicStep};
use super::room::Room;

/// Executes `act`, with the verbs of a socket, or of the Replica if there is no socket.
pub(super) async fn act<C: TestClass>(
    cx: &Context<Room<C>>,
    socket: Option<&Socket>,
    act: TopicAct,
) -> Result<Told, Error> {
    let told = match (act, socket) {
        (TopicAct::EmitTo { topic, text, to }, Some(socket)) => socket.emit_to(&topic, text, to.into()),
        (TopicAct::EmitTo { topic, text, .. }, None) => cx.emit_to(&topic, text),
        (TopicAct::BroadcastTo { topic, text, to }, Some(socket)) => socket.broadcast_to(&topic, text, to.into()),
        (TopicAct::BroadcastTo { topic, text, .. }, None) => cx.broadcast_to(&topic, text),
        (TopicAct::Subscribe { topic }, Some(socket)) => socket.subscribe(&topic).await,
        (TopicAct::Unsubscribe { topic }, Some(socket)) => socket.unsubscribe(&topic),
        (TopicAct::Topics, Some(socket)) => {
            let topics = socket.topics().iter().map(ToString::to_string).collect();
            return Ok(Told::Topics { topics });
        }
        (TopicAct::Sequence { count, topic }, Some(socket)) => sequence(cx, socket, count, &topic).await,
        (_, None) => Err(Error::new(Kind::Handler, "this needs a socket")),
    };
    told.map(|()| Told::Done)
}

/// Sends numbers with and without the topic in turn.
async fn sequence<C: TestClass>(cx: &Context<Room<C>>, socket: &Socket, count: u32, topic: &str) -> Result<(), Error> {
    for number in 0..count {
        let text = number.to_string();
        match TopicStep::of(number) {
            TopicStep::BroadcastTo => socket.broadcast_to(topic, text, To::Everyone)?,
            TopicStep::Broadcast => cx.broadcast(text)?,
            TopicStep::EmitTo => cx.emit_to(topic, text)?,
            TopicStep::Emit => socket.emit(text, To::Everyone)?,
            TopicStep::Confirmed => {
                cx.broadcast_confirmed(text).await?;
            }
        }
    }
    Ok(())
}

/// Calls every verb about topics and publications. Returns their names with their outcomes.
pub(super) async fn all<C: TestClass>(
    cx: &Context<Room<C>>,
    socket: &Socket,
    text: &str,
) -> [(&'static str, Result<(), Error>); 7] {
    [
        ("emit_to", cx.emit_to("earlier", text)),
        ("broadcast_to", cx.broadcast_to("earlier", text)),
        ("socket emit_to", socket.emit_to("earlier", text, To::Everyone)),
        ("socket broadcast_to", socket.broadcast_to("earlier", text, To::Everyone)),
        ("subscribe", socket.subscribe("earlier").await),
        ("unsubscribe", socket.unsubscribe("earlier")),
        ("publish", cx.publish(dog::ROOM, text).await.map(drop)),
    ]
}
