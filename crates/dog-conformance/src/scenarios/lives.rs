//! A life that is over can do nothing any more. And what happens to messages for a socket that has closed.

use dog::http::StatusCode;

use super::scenario::{Scenario, scenario};
use crate::app::protocol::{Act, Told, Whom, Why, waiting};
use crate::check::{Outcome, ensure, eventually, same};
use crate::client::Client;
use crate::harness::Capability;
use crate::stage::{Stage, TestGroup};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("send_to_a_closed_socket_fails", &[7, 14], send_late),
        scenario("send_that_fails_its_handler_closes_only_that_socket", &[7, 14], send_late_fails),
        scenario("object_whose_activate_hangs_is_activated_again", &[14], slow_to_begin),
        scenario("life_that_panicked_cannot_act", &[10, 14], after_a_panic),
        scenario("hibernated_life_cannot_act", &[10, 13], after_hibernation).needing(&[Capability::Hibernation]),
    ]
}

/// A handler keeps the socket of a client that leaves, and then sends to it. Returns the number of the command. The third client
/// has seen that the client has left.
async fn speak_to_one_who_left(group: &TestGroup, fails: bool) -> Outcome<(Client, Client, u64)> {
    let [mut speaker, mut helper, leaver] = group.join_each(["speaker", "helper", "leaver"]).await?;
    let (client, gate) = (leaver.id().clone(), "late".to_owned());
    let command = speaker.tell(Act::SendLate { client: client.clone(), gate: gate.clone(), fails }).await?;
    same(helper.hear().await?, waiting(&gate), "what is said before the wait")?;
    leaver.leave().await?;
    helper.report_after(&client).await?;
    helper.obey(Act::Open { gate }).await?;
    Ok((speaker, helper, command))
}

async fn send_late(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "late");
    let (mut speaker, mut helper, command) = speak_to_one_who_left(&group, false).await?;
    same(speaker.reply(command).await?.told, Told::Refused { why: Why::Closed }, "what comes of it")?;
    same(helper.report().await?.open.len(), 2, "who is left")
}

/// The error about another socket fails the handler of the sender, like any error: its socket ends with 1011.
async fn send_late_fails(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "late");
    let (mut speaker, mut helper, _) = speak_to_one_who_left(&group, true).await?;
    same(speaker.ended().await?.code, 1011, "how the socket ends whose handler failed")?;
    helper.report_after(speaker.id()).await?;
    same(helper.confirmed("on we go", Whom::Everyone).await?, (1, vec![]), "whom a broadcast reaches")
}

/// Everything that is called on the context of an earlier life fails, and nobody receives anything.
async fn is_over(heir: &mut Client, name: &str) -> Outcome {
    let Told::UsedEarlierLife { outcomes, sockets } = heir.ask(Act::UseEarlierLife { name: name.into() }).await? else {
        return Err(crate::check::ScenarioFailure::new("expected the reply to UseEarlierLife, got another one"));
    };
    same(outcomes.len(), 33, "verbs that were tried")?;
    let done: Vec<_> = outcomes.iter().filter(|(_, why)| *why != Some(Why::Closed)).collect();
    ensure(done.is_empty(), format!("a life that is over has not failed with is_closed: {done:?}"))?;
    same(sockets, 0, "sockets that are open to it")?;
    heir.emit("the living").await?;
    same(heir.hear().await?, "the living", "what is heard")
}

/// The first call of the Group's `activate`, of its `clusterize` and of its Replica's `activate` never returns. Each costs one
/// request its answer, and nothing else.
async fn slow_to_begin(stage: Stage) -> Outcome {
    let group = stage.pinned("slow", "begins");
    let failures = std::cell::Cell::new(0);
    eventually("somebody is served", async || {
        let response = group.post("client", Act::Sockets).await?;
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
    let group = stage.pinned("hall", "lives");
    for round in 0..3 {
        let mut first = group.join("first").await?;
        first.obey(Act::KeepForLaterLife { name: format!("{} {round}", group.name()) }).await?;
        first.tell(Act::Panic { text: "the end".into() }).await?;
        same(first.ended().await?.code, 1011, "how the sockets of a Replica that panicked end")?;
        let mut heir = group.join("heir").await?;
        for buried in 0..=round {
            is_over(&mut heir, &format!("{} {buried}", group.name())).await?;
        }
        heir.leave().await?;
    }
    Ok(())
}

/// The socket stays open while its Replica hibernates, but the context of the earlier value is closed.
async fn after_hibernation(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "lives");
    let mut client = group.join("client").await?;
    client.obey(Act::KeepForLaterLife { name: group.name() }).await?;
    let before = client.report().await?.activations;
    ensure(client.report().await?.activations > before, "it did not rest")?;
    is_over(&mut client, &group.name()).await
}
