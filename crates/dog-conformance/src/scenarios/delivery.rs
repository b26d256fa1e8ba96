//! Promise 6: at most once to each socket that is open throughout. A client that is left out is left out everywhere.

use futures_util::future::try_join_all;

use super::scenario::{Scenario, scenario};
use crate::app::protocol::{Act, Told, Whom};
use crate::check::{Outcome, ensure, same};
use crate::client::Client;
use crate::stage::Stage;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("broadcast_to_others_leaves_out_the_client_everywhere", &[6], others),
        scenario("broadcast_to_other_sockets_leaves_out_one_socket", &[6], other_sockets),
        scenario("emit_stays_on_its_replica", &[6], emit),
        scenario("broadcast_confirmed_counts_sockets", &[6], confirmed),
        scenario("verbs_without_a_socket_reach_everyone", &[6], without_a_socket),
        scenario("broadcast_reaches_five_hundred_sockets_once", &[6], many_sockets),
        scenario("groups_are_separate", &[6], groups_apart),
    ]
}

/// All of `clients` receive `text` next.
async fn all_hear(clients: &mut [Client], text: &str) -> Outcome {
    for client in clients {
        let what = format!("what {} hears next", client.id());
        same(client.hear().await?, text, &what)?;
    }
    Ok(())
}

/// A client with three sockets on at least two Replicas broadcasts to others. None of its own sockets receives the message.
async fn others(stage: Stage) -> Outcome {
    let group = stage.spread("pair", "others");
    let mut own = group.join_each(["speaker", "speaker", "speaker"]).await?;
    let mut rest = group.join_each(["a", "b", "c"]).await?;
    ensure(own[0].replica() != own[2].replica(), "three sockets on a Replica of two seats")?;
    own[0].obey(Act::Broadcast { text: "to others".into(), to: Whom::Others }).await?;
    same(own[1].confirmed("also", Whom::Others).await?, (3, vec![]), "whom a broadcast to others reaches")?;
    all_hear(&mut rest, "to others").await?;
    all_hear(&mut rest, "also").await?;
    own[2].broadcast("to everyone").await?;
    all_hear(&mut own, "to everyone").await?;
    all_hear(&mut rest, "to everyone").await
}

/// One of a client's three sockets sends to all but itself. Its other sockets hear it, on its Replica and elsewhere.
async fn other_sockets(stage: Stage) -> Outcome {
    let group = stage.pinned("pair", "other-sockets");
    let [mut speaker, near, far, other] = group.join_each(["speaker", "speaker", "speaker", "other"]).await?;
    same((near.replica(), far.replica()), (speaker.replica(), other.replica()), "who is where")?;
    ensure(near.replica() != far.replica(), "three sockets on a Replica of two seats")?;
    let to = Whom::OtherSockets;
    speaker.obey(Act::Emit { text: "beside me".into(), to }).await?;
    speaker.obey(Act::Broadcast { text: "to other tabs".into(), to }).await?;
    same(speaker.confirmed("also", to).await?, (3, vec![]), "whom a broadcast to other sockets reaches")?;
    speaker.broadcast("end").await?;
    let everywhere = vec!["to other tabs", "also"];
    let beside = [vec!["beside me"], everywhere.clone()].concat();
    for (mut client, due) in [(speaker, vec![]), (near, beside), (far, everywhere.clone()), (other, everywhere)] {
        same(client.hear_until("end").await?, due, "what a socket hears")?;
    }
    Ok(())
}

/// An emit reaches only the Replica's sockets, with or without those of the client.
async fn emit(stage: Stage) -> Outcome {
    let group = stage.pinned("pair", "emit");
    let [mut speaker, near, far] = group.join_each(["speaker", "near", "far"]).await?;
    same((near.replica(), far.replica() == near.replica()), (speaker.replica(), false), "who is where")?;
    speaker.emit("here").await?;
    speaker.obey(Act::Emit { text: "beside me".into(), to: Whom::Others }).await?;
    speaker.broadcast("end").await?;
    for (mut client, due) in [(speaker, vec!["here"]), (near, vec!["here", "beside me"]), (far, vec![])] {
        same(client.hear_until("end").await?, due, "what a socket hears")?;
    }
    Ok(())
}

/// The report counts the sockets on all Replicas that are open at that moment.
async fn confirmed(stage: Stage) -> Outcome {
    let group = stage.spread("pair", "confirmed");
    let mut speaker = group.join("speaker").await?;
    same(speaker.confirmed("alone", Whom::Others).await?, (0, vec![]), "whom one that is alone reaches")?;
    let mut listeners = Vec::new();
    for count in 1..=7 {
        listeners.push(group.join(&format!("listener{count}")).await?);
        same(speaker.confirmed("more", Whom::Others).await?, (count, vec![]), "whom a broadcast reaches")?;
        same(speaker.confirmed("all", Whom::Everyone).await?, (count + 1, vec![]), "whom it reaches with the speaker")?;
    }
    while let Some(listener) = listeners.pop() {
        // The close handshake is over, so the socket is not open when the broadcast is sent.
        listener.leave().await?;
        let count = listeners.len();
        same(speaker.confirmed("fewer", Whom::Others).await?, (count, vec![]), "whom a broadcast reaches")?;
    }
    Ok(())
}

/// The Replica's own verbs also reach the sockets of the client that sent the request.
async fn without_a_socket(stage: Stage) -> Outcome {
    let group = stage.spread("pair", "http");
    let mut clients = group.join_each(["a", "a", "b"]).await?;
    let id = clients[0].id().clone();
    let (text, to) = ("by http".to_owned(), Whom::Others);
    let reached = group.command("a", Act::Confirmed { text: text.clone(), to }).await?.told;
    same(reached, Told::Reached { sockets: 3, missing: vec![] }, "whom the Replica's broadcast reaches")?;
    all_hear(&mut clients, &text).await?;
    same(group.command("a", Act::Broadcast { text: text.clone(), to }).await?.told, Told::Done, "a broadcast")?;
    all_hear(&mut clients, &text).await?;
    let took = group.command("b", Act::Whisper { text: text.clone(), client: id }).await?.told;
    same(took, Told::Took { sockets: 2 }, "sockets that a whisper reaches")?;
    all_hear(&mut clients[..2], &text).await?;

    let near = stage.pinned("hall", "http-emit");
    let mut clients = near.join_each(["a", "b"]).await?;
    let reply = near.command("a", Act::Emit { text: text.clone(), to }).await?;
    same((reply.replica, reply.told), (clients[0].replica(), Told::Done), "an emit")?;
    all_hear(&mut clients, &text).await
}

/// Many sockets on many Replicas receive the message once each.
async fn many_sockets(stage: Stage) -> Outcome {
    const SOCKETS: usize = 500;
    let group = stage.spread("hall", "many");
    let mut clients = group.join_all("listener", SOCKETS).await?;
    same(clients[0].confirmed("hello", Whom::Everyone).await?, (SOCKETS, vec![]), "whom a broadcast reaches")?;
    clients[1].broadcast("end").await?;
    let heard = try_join_all(clients.iter_mut().map(|client| client.hear_until("end"))).await?;
    ensure(heard.iter().all(|texts| *texts == ["hello"]), "a socket heard something else than one hello")
}

/// Groups of the same class with other names, and of other classes with the same name, receive nothing of each other.
async fn groups_apart(stage: Stage) -> Outcome {
    let ours = stage.spread("pair", "ours");
    let theirs = [stage.spread("pair", "theirs"), ours.of_class("hall")];
    let [mut speaker, mut listener] = ours.join_each(["speaker", "listener"]).await?;
    let mut strangers = Vec::new();
    for group in &theirs {
        strangers.extend(group.join_each(["speaker", "listener", "stranger"]).await?);
    }
    same(speaker.confirmed("ours", Whom::Everyone).await?, (2, vec![]), "whom a broadcast reaches")?;
    same(speaker.whisper("listener", "for you").await?, 1, "sockets that a whisper reaches")?;
    same(speaker.whisper("stranger", "for you").await?, 0, "sockets of a client that is in other Groups")?;
    for stranger in &mut strangers {
        let name = stranger.id().to_string();
        same(stranger.whisper(&name, "own").await?, 1, "sockets that a whisper reaches")?;
        same(stranger.hear().await?, "own", "what one hears in another Group")?;
    }
    same(listener.hear().await?, "ours", "what the listener hears")?;
    same(listener.hear().await?, "for you", "what the listener hears next")
}
