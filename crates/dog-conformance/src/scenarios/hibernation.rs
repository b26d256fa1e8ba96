//! Promise 13: what a Replica loses when it hibernates, what it keeps, and what wakes it.

use std::time::Duration;

use super::alarms::set_alarm;
use super::scenario::{Scenario, scenario};
use super::script::{get, put, text};
use super::seats::fill;
use crate::app::protocol::{Act, Ask, Attached, SocketEvent, Told, Whom, waiting};
use crate::check::{Outcome, ensure, eventually, same};
use crate::client::Client;
use crate::harness::Capability;
use crate::stage::Stage;

pub(super) fn scenarios() -> Vec<Scenario> {
    let hibernation = &[Capability::Hibernation];
    vec![
        scenario("hibernation_loses_only_fields", &[13], fields).needing(hibernation),
        scenario("memory_of_a_socket_is_its_own_and_lasts_while_its_replica_is_awake", &[13], memory),
        scenario("hibernation_loses_the_memory_of_sockets", &[13], memory_is_lost).needing(hibernation),
        scenario("hibernation_ends_with_any_event", &[13], woken).needing(hibernation),
        scenario("hibernation_waits_for_handlers", &[7, 13], waits).needing(hibernation),
        scenario("hibernation_opens_and_closes_no_socket", &[7, 13], sockets).needing(hibernation),
        scenario("hibernation_misses_no_delivery", &[6, 13], deliveries).needing(hibernation),
        scenario("streamed_response_keeps_its_object_awake", &[13], streams),
        scenario("hibernation_follows_the_end_of_a_stream", &[8, 13], after_a_stream).needing(hibernation),
        scenario("parked_replica_keeps_its_storage", &[11, 13], parked).needing(&[Capability::Parking]),
    ]
}

/// Longer than a Replica takes to wake, to handle the end of a socket, and to hibernate.
const WAKING: Duration = Duration::from_millis(100);

/// Writes numbers into a field of the Replica until the previous number is lost.
pub(super) async fn forgets(client: &mut Client) -> Outcome {
    client.ask(Act::SwapField { value: 1 }).await?;
    eventually("a field is lost", async || {
        Ok(client.ask(Act::SwapField { value: 1 }).await? == Told::Field { value: 0 })
    })
    .await
}

/// While a response is streamed, the Replica is awake. Each socket has its own memory, and a later socket of the same client
/// has none of it.
async fn memory(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "memory");
    let [mut first, mut second] = group.join_each(["client", "client"]).await?;
    let mut stream = group.stream("listener").await?;
    same(stream.next().await?.as_deref(), Some("begins"), "the first of the stream")?;
    for (value, sum) in [(1, 1), (2, 3), (4, 7)] {
        same(first.ask(Act::AddInMemory { value }).await?, Told::Field { value: sum }, "what a socket keeps")?;
    }
    same(second.ask(Act::AddInMemory { value: 5 }).await?, Told::Field { value: 5 }, "what another socket keeps")?;
    first.leave().await?;
    let mut third = group.join("client").await?;
    same(third.ask(Act::AddInMemory { value: 9 }).await?, Told::Field { value: 9 }, "what a new socket keeps")?;
    same(second.ask(Act::AddInMemory { value: 1 }).await?, Told::Field { value: 6 }, "what the other still keeps")?;
    third.obey(Act::EndStreams).await?;
    same(stream.next().await?, None, "the end of the stream")
}

/// Like a field of the Replica.
async fn memory_is_lost(stage: Stage) -> Outcome {
    let mut client = stage.pinned("hall", "memory-lost").join("client").await?;
    client.ask(Act::AddInMemory { value: 1 }).await?;
    eventually("the memory of a socket is lost", async || {
        Ok(client.ask(Act::AddInMemory { value: 1 }).await? == Told::Field { value: 1 })
    })
    .await
}

/// While a response is streamed, its Replica stays in memory with its fields, between events and after them.
async fn streams(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "streams");
    let mut client = group.join("client").await?;
    let mut stream = group.stream("listener").await?;
    same(stream.next().await?.as_deref(), Some("begins"), "the first of the stream")?;
    client.ask(Act::SwapField { value: 1 }).await?;
    for number in 1..5 {
        client.obey(Act::Push { text: number.to_string() }).await?;
        same(stream.next().await?, Some(number.to_string()), "what is streamed")?;
        let field = client.ask(Act::SwapField { value: number + 1 }).await?;
        same(field, Told::Field { value: number }, "what the value has kept")?;
    }
    same(client.report().await?.seats, 1, "open sockets and requests in flight, by the App's own count")?;
    client.obey(Act::EndStreams).await?;
    same(stream.next().await?, None, "the end of the stream")
}

/// When the stream has ended, the Replica hibernates like others, and the seat is free.
async fn after_a_stream(stage: Stage) -> Outcome {
    let group = stage.pinned("single", "streams");
    let mut stream = group.stream("listener").await?;
    same(stream.next().await?.as_deref(), Some("begins"), "the first of the stream")?;
    let other = group.join("other").await?;
    drop(stream);
    let freed = std::cell::Cell::new(None);
    eventually("the seat of the stream is free", async || {
        let client = group.join("listener").await?;
        let is_free = client.replica() != other.replica();
        if is_free {
            freed.set(Some(client));
        } else {
            client.leave().await?;
        }
        Ok(is_free)
    })
    .await?;
    let mut client = freed.take().ok_or_else(|| crate::check::ScenarioFailure::new("a client"))?;
    forgets(&mut client).await
}

/// The attachments of all sockets and the storage are there after hibernation.
async fn fields(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "fields");
    let mut clients = group.join_each(["a", "b", "b"]).await?;
    for (number, client) in (1..).zip(&mut clients) {
        client.obey(Act::Attach { value: Attached { visits: number, ..Attached::default() } }).await?;
    }
    clients[0].keep(vec![put("a", "kept")]).await?;
    let before = clients[0].report().await?;
    forgets(&mut clients[0]).await?;
    for (number, client) in (1..).zip(&mut clients) {
        let value = Some(Attached { visits: number, ..Attached::default() });
        same(client.ask(Act::Attachment).await?, Told::Attachment { value }, "what is attached")?;
    }
    same(clients[0].keep(vec![get("a")]).await?, [text("kept")], "what is kept")?;
    let after = clients[0].report().await?;
    ensure(after.activations > before.activations, "a field was lost without a rest")?;
    same(after.open, before.open, "whose sockets are open")
}

/// Whether an event wakes the Replica is seen between two reports: the second report wakes it once, and so does each of the
/// `others` before it.
async fn wakes(
    what: &str,
    asker: &mut Client,
    others: u32,
    mut event: impl AsyncFnMut(&mut Client) -> Outcome,
) -> Outcome {
    // Sometimes two events come in one activation.
    eventually(&format!("{what} wakes the Replica"), async || {
        let before = asker.report().await?.activations;
        event(asker).await?;
        Ok(asker.report().await?.activations >= before + others + 2)
    })
    .await
}

/// A message, gossip, a request, an alarm, a socket that opens and one that ends.
async fn woken(stage: Stage) -> Outcome {
    let group = stage.pinned("single", "woken");
    let [mut asker, mut sibling] = group.join_each(["asker", "sibling"]).await?;
    wakes("gossip", &mut asker, 0, async |_| sibling.gossip(Ask::Report).await.map(|_| ())).await?;

    let group = stage.pinned("hall", "woken");
    let [mut asker, mut beside] = group.join_each(["asker", "beside"]).await?;
    wakes("a message", &mut asker, 0, async |_| beside.obey(Act::Send { text: String::new() }).await).await?;
    wakes("a request", &mut asker, 0, async |_| group.command("caller", Act::Sockets).await.map(|_| ())).await?;
    let mut guests = Vec::new();
    wakes("a socket that opens", &mut asker, 0, async |_| {
        Vec::push(&mut guests, group.join("guest").await?);
        Ok(())
    })
    .await?;
    wakes("the end of a socket", &mut asker, 0, async |_| {
        let guest = match guests.pop() {
            Some(guest) => guest,
            None => group.join("late-guest").await?,
        };
        guest.leave().await?;
        // Time to wake and to hibernate again. Asking whether it does would wake it.
        tokio::time::sleep(WAKING).await;
        Ok(())
    })
    .await?;
    let mut rings = 0..;
    wakes("an alarm", &mut asker, 1, async |asker| {
        asker.keep(vec![set_alarm(50, &[])]).await?;
        same(asker.hear().await?, format!("ring {}", rings.next().unwrap_or_default()), "the alarm")
    })
    .await
}

/// While one handler waits, the fields are there for all others.
async fn waits(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "waits");
    let [mut busy, mut other] = group.join_each(["busy", "other"]).await?;
    let command = busy.tell(Act::Wait { gate: "gate".into() }).await?;
    same(other.hear().await?, waiting("gate"), "the handler")?;
    let before = other.report().await?.activations;
    for value in 1..=20 {
        same(other.ask(Act::SwapField { value }).await?, Told::Field { value: value - 1 }, "the field")?;
    }
    same(other.report().await?.activations, before, "activations")?;
    other.obey(Act::Open { gate: "gate".into() }).await?;
    busy.reply(command).await?;
    forgets(&mut other).await
}

/// A socket's handlers are called as often as without hibernation: `on_open` once, `on_close` once, however the socket ends.
async fn sockets(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "sockets");
    let mut other = group.join("other").await?;
    for name in ["leaver", "dropped", "let-go", "failed"] {
        let mut client = group.join(name).await?;
        let id = client.id().clone();
        forgets(&mut other).await?;
        client.send("one".into()).await?;
        same(client.hear().await?, "one", "the echo")?;
        forgets(&mut other).await?;
        match name {
            "leaver" => client.leave().await?,
            "dropped" => drop(client),
            "let-go" => drop(client.tell(Act::Close { code: 4000, reason: String::new() }).await?),
            _ => drop(client.tell(Act::Fail { text: "secret".into() }).await?),
        }
        other.report_after(&id).await?;
        forgets(&mut other).await?;
        let mut events = other.report().await?.of(&id);
        let ends = events.iter().filter(|event| matches!(event, SocketEvent::End(_))).count();
        same(
            (ends, events.iter().filter(|event| **event == SocketEvent::Opening).count()),
            (1, 1),
            "ends and openings",
        )?;
        ensure(matches!(events.pop(), Some(SocketEvent::End(_))), "the end is not the last event")?;
        let one = [SocketEvent::Opening, SocketEvent::Opened, SocketEvent::Message("one".into()), SocketEvent::Handled];
        same(&events[..4], one, "what befell the socket before")?;
    }
    Ok(())
}

/// Every verb reaches the sockets of Replicas that hibernate.
async fn deliveries(stage: Stage) -> Outcome {
    // All clients use one node, so the first two share a Replica.
    let group = stage.pinned("pair", "deliveries");
    let [mut speaker, mut near, mut far] = group.join_each(["speaker", "near", "far"]).await?;
    for client in [&mut speaker, &mut far] {
        forgets(client).await?;
    }
    for round in 0..20 {
        let text = round.to_string();
        same(speaker.confirmed(&text, Whom::Others).await?, (2, vec![]), "whom a broadcast reaches")?;
        same(speaker.whisper("far", &text).await?, 1, "sockets that a whisper reaches")?;
        speaker.obey(Act::Emit { text: text.clone(), to: Whom::Others }).await?;
        for client in [&mut near, &mut far] {
            same((client.hear().await?, client.hear().await?), (text.clone(), text.clone()), "what is heard")?;
        }
    }
    Ok(())
}

/// A parked Replica leaves memory. When it is used again, its storage is there.
async fn parked(stage: Stage) -> Outcome {
    let group = stage.pinned("brief", "parked");
    let mut clients = fill(&group, "stays").await?;
    let mut last = group.join("last").await?;
    let emptied = last.replica();
    last.keep(vec![put("a", "kept")]).await?;
    let before = last.report().await?;
    last.leave().await?;
    eventually("the empty Replica is parked", async || Ok(clients[0].gossip(Ask::Report).await? == (vec![], vec![])))
        .await?;
    let mut newcomer = group.join("newcomer").await?;
    same(newcomer.replica(), emptied, "the Replica of the client that needed one more")?;
    same(newcomer.keep(vec![get("a")]).await?, [text("kept")], "what it kept")?;
    let after = newcomer.report().await?;
    same(&after.entries[..before.entries.len()], &before.entries[..], "what befell its sockets before")
}
