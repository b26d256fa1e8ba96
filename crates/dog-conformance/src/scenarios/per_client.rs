//! Promise 22: how many seats one client may have in a Group, on all Replicas and nodes together.

use std::collections::BTreeSet;

use dog::ClientId;
use dog::http::StatusCode;
use dog::http::header::RETRY_AFTER;

use super::late_identity::{assign, stranger};
use super::restarts::kill_the_group;
use super::scenario::{Scenario, scenario};
use super::tickets::Held;
use crate::app::FillsFirst;
use crate::app::protocol::{Act, SocketEvent};
use crate::check::{Outcome, eventually, same};
use crate::client::Client;
use crate::harness::Capability;
use crate::stage::{Stage, TestGroup};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("seats_per_client_are_limited_across_replicas", &[22], across_replicas),
        scenario("seats_per_client_include_reserved_ones", &[22], reserved),
        scenario("seats_per_client_include_assigned_sockets", &[22], assigned),
        scenario("seats_per_client_hold_when_the_group_restarts", &[9, 22], restarted)
            .needing(&[Capability::GroupRestart]),
    ]
}

/// The client that has as many seats as one may have.
const ANN: &str = "ann";

/// Whatever the client asks for is refused, and says when to come back.
async fn is_refused(group: &TestGroup) -> Outcome {
    for action in ["ws", "http", "events", "identify"] {
        let response = group.request("GET", &group.path(action, ANN), "").await?;
        same(response.status(), StatusCode::TOO_MANY_REQUESTS, &format!("the status of {action}"))?;
        same(
            response.headers().get(RETRY_AFTER).map(dog::http::HeaderValue::as_bytes),
            Some(&b"5"[..]),
            "when to come back",
        )?;
        let text = String::from_utf8_lossy(response.body());
        same(text.contains("this client has too many connections to this room"), true, &text)?;
    }
    Ok(())
}

async fn gets_a_seat(group: &TestGroup) -> Outcome {
    eventually("the client gets a seat", async || Ok(group.post(ANN, Act::Sockets).await?.status() == StatusCode::OK))
        .await
}

/// The sockets of one client, on two Replicas, while another client comes and goes as it likes.
async fn across_replicas(stage: Stage) -> Outcome {
    // Through one node, so that the first Replica is full before there is a second one.
    let group = stage.pinned("match", "across");
    let [mut bob, cid] = group.join_each(["bob", "cid"]).await?;
    let mut anns = group.join_each([ANN, ANN, ANN]).await?;
    same(anns.len(), FillsFirst::PER_CLIENT as usize, "sockets of one client")?;
    same(anns.iter().map(Client::replica).collect::<BTreeSet<_>>().len(), 2, "Replicas with sockets of the client")?;
    is_refused(&group).await?;
    let ann = ClientId::new(ANN)?;
    let reports = bob.survey().await?;
    let opened = reports.iter().flat_map(|(_, report)| report.of(&ann)).filter(|event| *event == SocketEvent::Opening);
    same(opened.count(), anns.len(), "what Replicas have heard of the client")?;
    cid.leave().await?;
    group.join("dan").await?.leave().await?;
    same(bob.whisper(ANN, "psst").await?, anns.len(), "sockets that a whisper reaches")?;
    let [first, ..] = &mut anns;
    first.close(Some(1000), "").await?;
    gets_a_seat(&group).await
}

/// A ticket is a seat of its client, until it is given back.
async fn reserved(stage: Stage) -> Outcome {
    let group = stage.pinned("match", "reserved");
    let mut held = Held::new(&group).await?;
    let _anns = group.join_each([ANN, ANN]).await?;
    let path = held.path(ANN, "drop");
    let holding = group.hold(&path, Act::Sockets);
    let meanwhile = async {
        held.is_held(ANN).await?;
        is_refused(&group).await?;
        held.release(ANN).await
    };
    futures_util::try_join!(holding, meanwhile)?;
    gets_a_seat(&group).await
}

/// An assignment is not refused. What was assigned counts from then on.
async fn assigned(stage: Stage) -> Outcome {
    let group = stage.spread("match", "assigned");
    let [first, second] = group.join_each([ANN, ANN]).await?;
    gets_a_seat(&group).await?;
    let (mut third, mut fourth) = (stranger(&group, "assign").await?, stranger(&group, "keep").await?);
    third.obey(assign(ANN)?).await?;
    is_refused(&group).await?;
    fourth.obey(assign(ANN)?).await?;
    same(fourth.whisper(ANN, "psst").await?, 4, "sockets of the client")?;
    first.leave().await?;
    eventually("the client has three sockets", async || Ok(fourth.whisper(ANN, "psst").await? == 3)).await?;
    is_refused(&group).await?;
    second.leave().await?;
    gets_a_seat(&group).await
}

/// The Group counts the seats before it gives another one. It does not know the tickets of its earlier life, and they are good.
async fn restarted(stage: Stage) -> Outcome {
    let group = stage.pinned("match", "restarted");
    let mut held = Held::new(&group).await?;
    let _anns = group.join_each([ANN, ANN]).await?;
    let path = held.path(ANN, "use");
    let holding = group.hold(&path, Act::Sockets);
    let meanwhile = async {
        held.is_held(ANN).await?;
        is_refused(&group).await?;
        kill_the_group(&group).await?;
        let third = group.join(ANN).await?;
        is_refused(&group).await?;
        held.release(ANN).await?;
        Ok(third)
    };
    let (response, _third) = futures_util::try_join!(holding, meanwhile)?;
    same(response.status(), StatusCode::OK, "a ticket of the life before")?;
    is_refused(&group).await
}
