//! Gossip: typed answers from every sibling, and the missing ones by name.

use std::collections::BTreeSet;

use super::scenario::{Scenario, scenario};
use crate::app::protocol::{Act, Answer, Ask, Attached, Told, Why};
use crate::check::{Outcome, ScenarioFailure, ensure, eventually, same};
use crate::client::Client;
use crate::harness::Capability;
use crate::stage::Stage;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("gossip_is_answered_by_every_sibling", &[6], every_sibling),
        scenario("gossip_without_siblings_has_no_answers", &[6], alone),
        scenario("gossip_names_who_failed", &[6, 14], one_fails),
        scenario("gossip_names_who_panicked", &[6, 14], one_panics),
        scenario("gossip_names_who_missed_the_deadline", &[6], one_hangs),
        scenario("gossip_names_who_is_parked", &[6], one_is_parked).needing(&[Capability::Parking]),
    ]
}

/// Questions and answers are structured values and arrive unchanged.
async fn every_sibling(stage: Stage) -> Outcome {
    let group = stage.spread("single", "siblings");
    let mut clients = group.join_all("sibling", 6).await?;
    let value = Attached { name: "größe \"1\"".into(), visits: u64::MAX, tags: vec![None, Some(String::new())] };
    let siblings: BTreeSet<_> = clients[1..].iter().map(Client::replica).collect();
    let (answers, missing) = clients[0].gossip(Ask::Echo(value.clone())).await?;
    same(missing, vec![], "who did not answer")?;
    same(answers.len(), 5, "answers of five siblings")?;
    ensure(answers.iter().all(|(_, answer)| *answer == Answer::Echo(value.clone())), "an answer was not the question")?;
    same(answers.into_iter().map(|(replica, _)| replica).collect::<BTreeSet<_>>(), siblings, "who answered")
}

/// A Replica without siblings gets no answers, not even its own.
async fn alone(stage: Stage) -> Outcome {
    let mut client = stage.pinned("hall", "alone").join("alone").await?;
    let (answers, missing) = client.gossip(Ask::Report).await?;
    same((answers, missing), (vec![], vec![]), "what one that is alone hears")
}

/// Asks three siblings something that one of them does not answer. Returns why not.
async fn partial(stage: &Stage, ask: fn(dog::ClientId) -> Ask) -> Outcome<(Why, [Client; 4])> {
    let group = stage.spread("single", "partial");
    let [mut asker, first, second, third] = group.join_each(["asker", "first", "second", "third"]).await?;
    let (mut answers, missing) = asker.gossip(ask(second.id().clone())).await?;
    answers.sort_by_key(|(replica, _)| *replica);
    let mut others = [first.replica(), third.replica()].map(|replica| (replica, Answer::Spared));
    others.sort_by_key(|(replica, _)| *replica);
    same(answers, others, "the answers of the others")?;
    same(missing.len(), 1, "how many did not answer")?;
    same(missing[0].0, second.replica(), "who did not answer")?;
    Ok((missing[0].1.clone(), [asker, first, second, third]))
}

async fn one_fails(stage: Stage) -> Outcome {
    let (why, [_, _, mut failed, _]) = partial(&stage, Ask::Fail).await?;
    same(why, Why::Handler, "why it did not answer")?;
    // Only the answer failed. The socket goes on.
    same(failed.report().await?.open, vec![failed.id().clone()], "its sockets")
}

async fn one_panics(stage: Stage) -> Outcome {
    let (why, [mut asker, _, mut panicked, mut other]) = partial(&stage, Ask::Panic).await?;
    ensure(matches!(why, Why::Handler | Why::Unreachable), format!("it did not answer because of {why:?}"))?;
    same(panicked.ended().await?.code, 1011, "how the sockets of the one that panicked end")?;
    asker.broadcast("on we go").await?;
    same(other.hear().await?, "on we go", "what the others hear")
}

/// The answers of the others come at the deadline.
async fn one_hangs(stage: Stage) -> Outcome {
    let (why, [_, _, mut hung, _]) = partial(&stage, Ask::Hang).await?;
    same(why, Why::Deadline, "why it did not answer")?;
    same(hung.report().await?.open, vec![hung.id().clone()], "its sockets: other handlers go on")
}

/// A sibling is asked or, once it is parked, named as not asked. At no time is it left out silently.
async fn one_is_parked(stage: Stage) -> Outcome {
    let group = stage.pinned("brief", "parked");
    let mut asker = group.join("asker").await?;
    let _others = group.join_all("filler", 7).await?;
    let second = group.join("second").await?;
    let sibling = second.replica();
    ensure(sibling != asker.replica(), "nine clients on a Replica of eight seats")?;
    let mut ask = async || match asker.ask(Act::Gossip { ask: Ask::Report }).await? {
        Told::Heard { answers, missing, parked } => {
            let asked = answers.iter().map(|(replica, _)| *replica).chain(missing.iter().map(|(replica, _)| *replica));
            Ok((asked.collect::<Vec<_>>(), parked))
        }
        other => Err(ScenarioFailure::new(format!("{other:?} is no answer to gossip"))),
    };
    same(ask().await?, (vec![sibling], Some(vec![])), "who is asked and who is parked, while somebody is there")?;
    second.leave().await?;
    eventually("the sibling is parked", async || {
        let (asked, parked) = ask().await?;
        let parked = parked.ok_or_else(|| ScenarioFailure::new("the Group did not say who is parked"))?;
        let named: Vec<_> = asked.iter().chain(&parked).copied().collect();
        same(named, vec![sibling], "who was asked or is parked")?;
        Ok(parked == [sibling])
    })
    .await?;
    let back = group.join("second").await?;
    same(back.replica(), sibling, "who is used again")?;
    same(ask().await?, (vec![sibling], Some(vec![])), "who is asked and who is parked, when somebody is there again")
}
