//! Promise 7: which handlers run when.

use dog::{ClientId, ROOM};
use tokio_tungstenite::tungstenite::Message;

use super::scenario::{Scenario, scenario};
use crate::app::protocol::{AUTO_RESPONSE, Act, GATED, GREETED, SocketEvent, Whom, waiting};
use crate::check::{Outcome, ensure, same};
use crate::client::Client;
use crate::stage::Stage;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("messages_of_one_socket_one_at_a_time", &[7], one_at_a_time),
        scenario("handlers_of_different_sockets_interleave", &[7], interleave),
        scenario("on_open_ends_before_the_first_message", &[7], open_first),
        scenario("on_open_sends_before_others_if_it_wants_to", &[7], on_open_first),
        scenario("on_close_waits_for_the_handler", &[7], close_last),
        scenario("busy_handler_does_not_stop_deliveries", &[6, 7], busy_hears),
        scenario("busy_handler_does_not_stop_what_needs_none", &[7, 8, 12], busy_lives),
    ]
}

/// Some turns of the host, caused by other sockets: enough for it to do what it must not do.
async fn let_time_pass(bystander: &mut Client) -> Outcome {
    for _ in 0..20 {
        bystander.report().await?;
    }
    Ok(())
}

/// A socket's next message is not handled while its handler waits. Then messages are handled in order.
async fn one_at_a_time(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "queue");
    let [mut busy, mut other] = group.join_each(["busy", "other"]).await?;
    let first = busy.tell(Act::Wait { gate: "go".into() }).await?;
    let second = busy.tell(Act::Emit { text: "second".into(), to: Whom::Everyone }).await?;
    let third = busy.tell(Act::Emit { text: "third".into(), to: Whom::Everyone }).await?;
    same(other.hear().await?, waiting("go"), "what is emitted by the first handler")?;
    let_time_pass(&mut other).await?;
    other.obey(Act::Open { gate: "go".into() }).await?;
    same(other.hear().await?, "second", "what comes after the gate is open")?;
    same(other.hear().await?, "third", "what comes next")?;
    for command in [first, second] {
        busy.reply(command).await?;
        ensure(!busy.has_reply(third), "a later command was answered first")?;
    }
    busy.reply(third).await?;
    let events = other.report().await?.of(busy.id());
    let handled: Vec<_> = events.iter().skip(2).map(|event| matches!(event, SocketEvent::Message(_))).collect();
    same(handled, [true, false, true, false, true, false], "beginnings and ends of three handlers")
}

/// Two handlers wait at the same time. They end in the order in which their gates open.
async fn interleave(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "interleave");
    let [mut first, mut second, mut opener] = group.join_each(["first", "second", "opener"]).await?;
    let one = first.tell(Act::Wait { gate: "one".into() }).await?;
    same(opener.hear().await?, waiting("one"), "the first handler")?;
    let two = second.tell(Act::Wait { gate: "two".into() }).await?;
    same(opener.hear().await?, waiting("two"), "the second handler, while the first one waits")?;
    let request = group.command("caller", Act::Wait { gate: "three".into() });
    let order = async {
        same(opener.hear().await?, waiting("three"), "a request, while two handlers wait")?;
        opener.obey(Act::Open { gate: "two".into() }).await?;
        second.reply(two).await?;
        opener.obey(Act::Open { gate: "three".into() }).await
    };
    futures_util::try_join!(request, order)?;
    opener.obey(Act::Open { gate: "one".into() }).await?;
    first.reply(one).await.map(|_| ())
}

/// A socket whose `on_open` waits receives messages. Its own message waits.
async fn open_first(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "opening");
    let mut other = group.join("other").await?;
    let name = format!("{GATED}slow");
    let mut gated = group.join(&name).await?;
    let command = gated.tell(Act::Sockets).await?;
    same(other.whisper(&name, "early").await?, 1, "sockets that a whisper reaches while on_open waits")?;
    same(other.confirmed("all", Whom::Everyone).await?, (2, vec![]), "whom a broadcast reaches meanwhile")?;
    same(gated.hear().await?, "early", "what a socket hears while its on_open waits")?;
    same(gated.hear().await?, "all", "what it hears next")?;
    let_time_pass(&mut other).await?;
    same(other.report().await?.of(gated.id()), vec![SocketEvent::Opening], "the handlers so far")?;
    other.obey(Act::Open { gate: name }).await?;
    gated.reply(command).await?;
    let events = gated.report().await?.of(gated.id());
    same(&events[..2], [SocketEvent::Opening, SocketEvent::Opened], "the first handler")?;
    ensure(matches!(events[2], SocketEvent::Message(_)), "no message after on_open")
}

/// What is sent to the socket meanwhile, from wherever, follows in its order.
async fn on_open_first(stage: Stage) -> Outcome {
    let group = stage.pinned("pair", "first");
    let [mut far, _other] = group.join_each(["far", "other"]).await?;
    let name = format!("{GREETED}one");
    let mut first = group.join(&name).await?;
    let mut near = group.join("near").await?;
    ensure(near.replica() == first.replica(), "two clients of a pair are on two Replicas")?;
    far.broadcast("1").await?;
    same(far.whisper(&name, "2").await?, 1, "sockets that a whisper reaches while on_open waits")?;
    same(near.confirmed("3", Whom::Everyone).await?, (4, vec![]), "whom a broadcast reaches meanwhile")?;
    far.publish(ROOM, "4").await?;
    for text in ["1", "3", "4"] {
        same(near.hear().await?, text, "what others hear meanwhile")?;
    }
    near.obey(Act::Open { gate: name }).await?;
    for text in ["greeting", "1", "2", "3", "4"] {
        same(first.hear().await?, text, "what the socket hears")?;
    }
    near.broadcast("5").await?;
    same(first.hear().await?, "5", "what comes later")
}

/// The client leaves while its handler waits. `on_close` runs when the handler has ended.
async fn close_last(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "closing");
    let mut other = group.join("other").await?;
    for name in ["dropped", "reset"] {
        let mut busy = group.join(name).await?;
        busy.tell(Act::Wait { gate: name.into() }).await?;
        same(other.hear().await?, waiting(name), "the handler")?;
        if name == "reset" {
            busy.reset()?;
        } else {
            drop(busy);
        }
        let_time_pass(&mut other).await?;
        let client = ClientId::new(name)?;
        same(other.report().await?.of(&client).len(), 3, "on_open, and a message that is being handled")?;
        other.obey(Act::Open { gate: name.into() }).await?;
        let events = other.report_after(&client).await?.of(&client);
        same(events.len(), 5, "the message's end and the socket's")?;
        same(&events[3], &SocketEvent::Handled, "what comes before the socket's end")?;
        ensure(matches!(events[4], SocketEvent::End(_)), "the last event is not the end")?;
    }
    Ok(())
}

/// A socket whose handler waits still receives messages.
async fn busy_hears(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "busy");
    let [mut busy, mut other] = group.join_each(["busy", "other"]).await?;
    let command = busy.tell(Act::Wait { gate: "go".into() }).await?;
    same(busy.hear().await?, waiting("go"), "what the handler emits")?;
    same(other.whisper("busy", "psst").await?, 1, "sockets that a whisper reaches")?;
    other.broadcast("all").await?;
    same(busy.hear().await?, "psst", "what a busy socket hears")?;
    same(busy.hear().await?, "all", "what a busy socket hears next")?;
    other.obey(Act::Open { gate: "go".into() }).await?;
    busy.reply(command).await.map(|_| ())
}

/// While the handler of a socket waits, the host still answers automatic responses, even behind a message that waits. When its
/// client leaves, the socket is out of fan-out at once, and only `on_close` waits.
async fn busy_lives(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "lives");
    for leaves in [true, false] {
        let name = if leaves { "leaves" } else { "vanishes" };
        let [mut other, mut busy] = group.join_each([&format!("beside-{name}"), name]).await?;
        busy.tell(Act::Wait { gate: name.into() }).await?;
        same(busy.hear().await?, waiting(name), "the handler")?;
        same(other.hear().await?, waiting(name), "what it tells the others")?;
        busy.tell(Act::Sockets).await?;
        busy.send(Message::text(AUTO_RESPONSE.request())).await?;
        same(busy.hear().await?, AUTO_RESPONSE.response(), "the automatic answer")?;
        let client = busy.id().clone();
        if leaves {
            busy.leave().await?;
        } else {
            drop(busy);
        }
        // Each time it answers, the host has had a turn.
        while other.report().await?.open.contains(&client) {}
        same(other.confirmed("who is here?", Whom::Everyone).await?, (1, vec![]), "whom a broadcast reaches")?;
        same(other.hear().await?, "who is here?", "what it hears itself")?;
        ensure(
            !matches!(other.report().await?.of(&client).last(), Some(SocketEvent::End(_))),
            "the last handler waits",
        )?;
        other.obey(Act::Open { gate: name.into() }).await?;
        let events = other.report_after(&client).await?.of(&client);
        ensure(matches!(events.last(), Some(SocketEvent::End(_))), format!("the last event is no end: {events:?}"))?;
        other.leave().await?;
    }
    Ok(())
}
