//! Promise 9: a Group's object crashes and restarts in the middle of a busy room.

use std::collections::BTreeSet;

use dog::http::StatusCode;
use futures_util::future::try_join_all;

use super::scenario::{Scenario, scenario};
use super::seats::{SEATS, leave};
use crate::app::protocol::Whom;
use crate::check::{Outcome, ensure, same};
use crate::client::Client;
use crate::harness::Capability;
use crate::stage::{Stage, TestGroup};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("cluster_outlives_its_group_in_a_busy_room", &[1, 6, 9], busy_room)
            .needing(&[Capability::GroupRestart]),
        scenario("clients_return_to_their_replicas_after_a_restart_of_the_group", &[2, 3, 8, 9], books)
            .needing(&[Capability::GroupRestart]),
    ]
}

const SPEAKERS: usize = 12;
const NEWCOMERS: usize = 6;
const ROUNDS: usize = 40;

pub(super) async fn kill_the_group(group: &TestGroup) -> Outcome {
    let path = format!("{}&do=panic", group.path("group", "x"));
    same(group.request("GET", &path, "").await?.status(), StatusCode::INTERNAL_SERVER_ERROR, "a Group that panics")
}

fn said(name: &str, round: usize) -> String {
    format!("{name} {round}")
}

/// Broadcasts again and again. Announces the end when everything has arrived.
async fn speak(speaker: &mut Client) -> Outcome {
    let name = speaker.id().to_string();
    for round in 0..ROUNDS {
        speaker.broadcast(&said(&name, round)).await?;
    }
    same(speaker.confirmed("done", Whom::Others).await?.1, vec![], "who did not answer")
}

/// Crashes the Group several times. A client joins each time.
async fn disturb(group: &TestGroup) -> Outcome<Vec<Client>> {
    let mut newcomers: Vec<Client> = Vec::new();
    for number in 0..NEWCOMERS {
        kill_the_group(group).await?;
        let mut newcomer = group.join(&format!("newcomer{number}")).await?;
        same(newcomer.whisper("speaker0", "found you").await?, 1, "sockets that a whisper reaches")?;
        newcomers.push(newcomer);
    }
    Ok(newcomers)
}

/// Sockets that are open throughout receive everything once and in order. New clients fill the existing Replicas, and it stays
/// one cluster.
async fn busy_room(stage: Stage) -> Outcome {
    let group = stage.spread("octet", "busy");
    let mut clients = group.join_all("speaker", SPEAKERS).await?;
    let speaking = async { try_join_all(clients.iter_mut().map(speak)).await };
    let (_, mut newcomers) = futures_util::try_join!(speaking, disturb(&group))?;
    let all = SPEAKERS + NEWCOMERS;
    same(clients[0].confirmed("end", Whom::Everyone).await?, (all, vec![]), "whom a broadcast reaches")?;
    let names: Vec<_> = clients.iter().map(|client| client.id().to_string()).collect();
    for client in &mut clients {
        let heard = client.hear_until("end").await?;
        for name in &names {
            let of_one: Vec<_> = heard.iter().filter(|text| text.starts_with(&format!("{name} "))).cloned().collect();
            let wanted: Vec<_> = (0..ROUNDS).map(|round| said(name, round)).collect();
            same(of_one, wanted, &format!("what {} heard of {name}", client.id()))?;
        }
    }
    for newcomer in &mut newcomers {
        newcomer.hear_until("end").await?;
    }
    let reports = clients[0].survey().await?;
    ensure(reports.iter().all(|(_, report)| report.most as usize <= SEATS), "more seats than the limit")?;
    same(reports.len(), all.div_ceil(SEATS), "Replicas of the cluster")?;
    same(reports.iter().map(|(_, report)| report.open.len()).sum::<usize>(), all, "open sockets in all reports")
}

/// The books of a restarted Group are correct: where each client is, and how much room each Replica has.
async fn books(stage: Stage) -> Outcome {
    let group = stage.pinned("octet", "books");
    let mut clients = super::seats::join(&group, "client", 2 * SEATS + 1).await?;
    let on: Vec<_> = clients.iter().map(Client::replica).collect();
    same(on.iter().collect::<BTreeSet<_>>().len(), 3, "Replicas")?;
    kill_the_group(&group).await?;
    let names: Vec<_> = clients.iter().map(|client| client.id().to_string()).collect();
    for name in &names {
        same(clients[0].whisper(name, "there?").await?, 1, "sockets that a whisper reaches")?;
    }
    let mut returner = group.join(&names[2 * SEATS]).await?;
    same(returner.replica(), on[2 * SEATS], "where a client's second socket is")?;
    same(returner.whisper(&names[2 * SEATS], "both").await?, 2, "sockets that a whisper reaches")?;
    // All clients of the first Replica leave, some of them while the Group has crashed.
    let home = on[0];
    let mut leavers: Vec<_> = clients.drain(..SEATS).collect();
    ensure(leavers.iter().all(|client| client.replica() == home), "the first eight are not on one Replica")?;
    leave(leavers.drain(..SEATS / 2)).await?;
    kill_the_group(&group).await?;
    leave(leavers).await?;
    group.settles_on(home).await?;
    kill_the_group(&group).await?;
    group.settles_on(home).await?;
    let reached = returner.confirmed("all", Whom::Everyone).await?.0;
    ensure(reached >= SEATS + 2, format!("a broadcast reached {reached} of {} sockets or more", SEATS + 2))
}
