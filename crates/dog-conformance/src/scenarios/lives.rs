//! What a life that is over can still do: nothing; and what is said to a socket that has gone.

use dog::http::StatusCode;

use super::{Scenario, scenario};
use crate::app::protocol::{Act, Told, Whom, Why, waiting};
use crate::check::{Outcome, ensure, eventually, same};
use crate::client::Client;
use crate::harness::Capability;
use crate::stage::{Place, Stage};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("send_to_a_socket_that_has_gone_is_refused", &[7, 14], send_late),
        scenario("send_that_fails_its_handler_closes_that_socket_alone", &[7, 14], send_late_fails),
        scenario("objects_that_never_begin_are_begun_anew", &[14], slow_to_begin),
        scenario("life_that_panicked_does_nothing_any_more", &[10, 14], after_a_panic),
        scenario("hibernated_life_does_nothing_any_more", &[10, 13], after_hibernation)
            .needing(&[Capability::Hibernation]),
    ]
}

/// A handler keeps the socket of a client that then leaves, and sends to it: the command's number. The one who helps has
/// seen that the client has left.
async fn speak_to_one_who_left(place: &Place, fails: bool) -> Outcome<(Client, Client, u64)> {
    let [mut speaker, mut helper, leaver] = place.join_each(["speaker", "helper", "leaver"]).await?;
    let (client, gate) = (leaver.id().clone(), "late".to_owned());
    let command = speaker.tell(Act::SendLate { client: client.clone(), gate: gate.clone(), fails }).await?;
    same(helper.hear().await?, waiting(&gate), "what is said before the wait")?;
    leaver.leave().await?;
    helper.report_after(&client).await?;
    helper.obey(Act::Open { gate }).await?;
    Ok((speaker, helper, command))
}

async fn send_late(stage: Stage) -> Outcome {
    let place = stage.pinned("hall", "late");
    let (mut speaker, mut helper, command) = speak_to_one_who_left(&place, false).await?;
    same(speaker.reply(command).await?.told, Told::Refused { why: Why::Closed }, "what comes of it")?;
    same(helper.report().await?.open.len(), 2, "who is left")
}

/// The error is about another's socket, and fails the handler of the speaker like any error: with 1011, and that is all.
async fn send_late_fails(stage: Stage) -> Outcome {
    let place = stage.pinned("hall", "late");
    let (mut speaker, mut helper, _) = speak_to_one_who_left(&place, true).await?;
    same(speaker.ended().await?.code, 1011, "how the socket ends whose handler failed")?;
    helper.report_after(speaker.id()).await?;
    same(helper.confirmed("on we go", Whom::Everyone).await?, (1, vec![]), "whom a broadcast reaches")
}

/// Whatever is done with what an earlier life has left is refused, and nobody hears of it.
async fn is_over(heir: &mut Client, name: &str) -> Outcome {
    let Told::Haunted { outcomes, sockets } = heir.ask(Act::Haunt { name: name.into() }).await? else {
        return Err(crate::check::Trouble::new("another reply to Haunt"));
    };
    same(outcomes.len(), 21, "verbs that were tried")?;
    let done: Vec<_> = outcomes.iter().filter(|(_, why)| *why != Some(Why::Closed)).collect();
    ensure(done.is_empty(), format!("a life that is over has not failed with is_closed: {done:?}"))?;
    same(sockets, 0, "sockets that are open to it")?;
    heir.emit("the living").await?;
    same(heir.hear().await?, "the living", "what is heard")
}

/// The Group's activate, its clusterize and its Replica's activate never return the first time: each costs somebody an
/// answer, and no more.
async fn slow_to_begin(stage: Stage) -> Outcome {
    let place = stage.pinned("slow", "begins");
    let failures = std::cell::Cell::new(0);
    eventually("somebody is served", async || {
        let response = place.post("client", Act::Sockets).await?;
        if response.status() != StatusCode::OK {
            failures.set(failures.get() + 1);
            ensure(response.status().is_server_error(), format!("answered with {}", response.status()))?;
        }
        Ok(response.status() == StatusCode::OK)
    })
    .await?;
    ensure(failures.get() >= 3, format!("{} answers were lost to three functions that never return", failures.get()))
}

async fn after_a_panic(stage: Stage) -> Outcome {
    let place = stage.pinned("hall", "ghosts");
    for round in 0..3 {
        let mut first = place.join("first").await?;
        first.obey(Act::Bury { name: format!("{} {round}", place.name()) }).await?;
        first.tell(Act::Panic { text: "the end".into() }).await?;
        same(first.ended().await?.code, 1011, "how the sockets of a Replica that panicked end")?;
        let mut heir = place.join("heir").await?;
        for buried in 0..=round {
            is_over(&mut heir, &format!("{} {buried}", place.name())).await?;
        }
        heir.leave().await?;
    }
    Ok(())
}

/// The socket stays open while its Replica rests; what the earlier value's tasks hold is over all the same.
async fn after_hibernation(stage: Stage) -> Outcome {
    let place = stage.pinned("hall", "ghosts");
    let mut client = place.join("client").await?;
    client.obey(Act::Bury { name: place.name() }).await?;
    let before = client.report().await?.activations;
    ensure(client.report().await?.activations > before, "it did not rest")?;
    is_over(&mut client, &place.name()).await
}
