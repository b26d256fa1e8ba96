//! A whisper reaches all sockets of one client, on all Replicas, and no others.

use super::scenario::{Scenario, scenario};
use crate::app::protocol::Whom;
use crate::check::{Outcome, eventually, same};
use crate::stage::Stage;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("whisper_reaches_all_sockets_of_a_client", &[6], all_sockets),
        scenario("whisper_to_oneself_reaches_all_own_sockets", &[6], oneself),
        scenario("whisper_to_an_absent_client_reaches_no_socket", &[6], nobody),
        scenario("whisper_follows_a_client_that_moves", &[6, 8], moves),
    ]
}

/// Three sockets of one client, each on another Replica.
async fn all_sockets(stage: Stage) -> Outcome {
    let group = stage.spread("single", "target");
    let [mut speaker, mut other] = group.join_each(["speaker", "other"]).await?;
    let mut target = group.join_each(["target", "target", "target"]).await?;
    same(speaker.whisper("target", "psst").await?, 3, "sockets that a whisper reaches")?;
    same(speaker.confirmed("end", Whom::Everyone).await?, (5, vec![]), "whom a broadcast reaches")?;
    for client in &mut target {
        same(client.hear_until("end").await?, ["psst"], "what the client hears")?;
    }
    for client in [&mut speaker, &mut other] {
        same(client.hear_until("end").await?, [""; 0], "what others hear")?;
    }
    Ok(())
}

/// The socket that whispers is one of the receivers.
async fn oneself(stage: Stage) -> Outcome {
    let group = stage.spread("pair", "self");
    let mut own = group.join_each(["self", "self", "self"]).await?;
    same(own[0].whisper("self", "note to self").await?, 3, "sockets that a whisper reaches")?;
    for client in &mut own {
        same(client.hear().await?, "note to self", "what the client hears")?;
    }
    Ok(())
}

/// A client that is not there: 0 sockets and no error. The same for a client that was there and is only remembered.
async fn nobody(stage: Stage) -> Outcome {
    let group = stage.spread("single", "nobody");
    let mut speaker = group.join("speaker").await?;
    same(speaker.whisper("never", "psst").await?, 0, "sockets of a client that never came")?;
    group.identify("ticket").await?;
    same(speaker.whisper("ticket", "psst").await?, 0, "sockets of a client that was only identified")?;
    group.join("gone").await?.leave().await?;
    same(speaker.whisper("gone", "psst").await?, 0, "sockets of a client that has left")?;
    let lost = group.join("lost").await?;
    drop(lost);
    eventually("the lost client is missed", async || Ok(speaker.whisper("lost", "psst").await? == 0)).await
}

/// A client's sockets open and close. The open ones are reached.
async fn moves(stage: Stage) -> Outcome {
    let group = stage.spread("single", "moves");
    let [mut speaker, first, mut second] = group.join_each(["speaker", "mover", "mover"]).await?;
    same(speaker.whisper("mover", "first and second").await?, 2, "sockets that a whisper reaches")?;
    first.leave().await?;
    same(speaker.whisper("mover", "second").await?, 1, "sockets that a whisper reaches")?;
    let mut third = group.join("mover").await?;
    same(speaker.whisper("mover", "second and third").await?, 2, "sockets that a whisper reaches")?;
    same(second.hear_until("second and third").await?, ["first and second", "second"], "what the second hears")?;
    second.leave().await?;
    same(speaker.whisper("mover", "third").await?, 1, "sockets that a whisper reaches")?;
    same(third.hear_until("third").await?, ["second and third"], "what the third hears")
}
