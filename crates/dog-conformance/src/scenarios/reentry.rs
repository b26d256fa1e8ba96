//! No verb runs a handler before it returns. Handlers run in a later turn.

use super::scenario::{Scenario, scenario};
use crate::app::protocol::{Act, HOST, OVER, SocketEvent};
use crate::check::{Outcome, same};
use crate::client::{Client, Ending};
use crate::stage::{Stage, TestGroup};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("verbs_run_no_handler_before_they_return", &[7], while_borrowed),
        scenario("verbs_that_close_every_socket_run_no_handler", &[7, 14], close_others),
        scenario("close_of_every_socket_in_on_close", &[7, 14], in_on_close),
    ]
}

/// The other sockets on the Replica: it has seats for these, the one that closes them, and one that observes.
const OTHERS: usize = 48;

/// A handler holds the borrow that every handler takes, and uses every verb. Nothing panics.
async fn while_borrowed(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "borrowed");
    let [mut speaker, mut listener] = group.join_each(["speaker", "listener"]).await?;
    speaker.obey(Act::HoldBorrow).await?;
    for number in 0..5 {
        same(listener.hear().await?, "while it is borrowed", &format!("message {number} to the other"))?;
    }
    same(listener.report().await?.open.len(), 2, "sockets that are open")?;
    speaker.leave().await
}

async fn full_hall(stage: &Stage, first: &str) -> Outcome<(TestGroup, Client, Vec<Client>)> {
    let group = stage.pinned("hall", "everyone");
    let first = group.join(first).await?;
    let others = group.join_all("other", OTHERS).await?;
    Ok((group, first, others))
}

/// All clients get their close, and `on_close` runs once for each, after the handler that closed them.
async fn all_are_over(group: &TestGroup, others: &mut [Client], how: (u16, &str)) -> Outcome {
    for other in others.iter_mut() {
        let ending = Ending { code: how.0, reason: how.1.into() };
        same(other.ended().await?, ending, "how a socket ends that its Replica closes")?;
    }
    let mut witness = group.join("witness").await?;
    same(witness.replica(), others[0].replica(), "where there is room again")?;
    for other in others.iter() {
        let events = witness.report_after(other.id()).await?.of(other.id());
        let ends = events.iter().filter(|event| matches!(event, SocketEvent::End(end) if end.code == how.0)).count();
        same((ends, events.len()), (1, 3), "what befell a socket that was closed")?;
    }
    Ok(())
}

/// A handler closes all other sockets of its Replica while it holds the borrow that their last handlers take.
async fn close_others(stage: Stage) -> Outcome {
    let (group, mut first, mut others) = full_hall(&stage, "first").await?;
    first.obey(Act::CloseOthers { code: 4001, reason: "out".into() }).await?;
    all_are_over(&group, &mut others, (4001, "out")).await?;
    first.leave().await
}

/// `on_close` of one socket closes all others, and their `on_close` runs afterwards.
async fn in_on_close(stage: Stage) -> Outcome {
    let (group, host, mut others) = full_hall(&stage, &format!("{HOST}x")).await?;
    host.leave().await?;
    all_are_over(&group, &mut others, OVER).await
}
