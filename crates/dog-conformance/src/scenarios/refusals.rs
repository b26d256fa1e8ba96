//! Refusals after the upgrade: a client is told with a close, and no object hears of it.

use std::collections::BTreeSet;

use dog::http::StatusCode;

use super::scenario::{Scenario, scenario};
use crate::check::{Outcome, same};
use crate::client::{Ending, TurnedAway};
use crate::harness::Capability;
use crate::stage::{Stage, TestGroup};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("refusal_after_the_upgrade_is_a_close_and_reaches_no_object", &[22], refusal),
        scenario("refusal_after_the_upgrade_ends_the_connection", &[22], end).needing(&[Capability::Hangup]),
        scenario("refusal_after_the_upgrade_is_for_handshakes_only", &[22], no_handshake),
    ]
}

async fn turned_away(group: &TestGroup, query: &str, subprotocols: &str) -> Outcome<TurnedAway> {
    let path = format!("{}&{query}", group.path("turn-away", "client"));
    TurnedAway::hear(group.entry(), &path, subprotocols).await
}

/// The refused stay connected while others come. The Replica has two seats, and both are for those.
async fn refusal(stage: Stage) -> Outcome {
    let group = stage.pinned("pair", "refused");
    let mut refused = Vec::new();
    let mut clients = Vec::new();
    for name in ["ann", "bob"] {
        for (code, reason) in [(4401, "log%20in"), (1013, "later"), (1008, ""), (4403, "no")] {
            let offers = if code == 1008 { "" } else { "chat, bearer.token" };
            let away = turned_away(&group, &format!("code={code}&reason={reason}"), offers).await?;
            let reason = reason.replace("%20", " ");
            same(away.ending(), &Ending { code, reason }, "the close of a refusal")?;
            same(away.subprotocol(), offers.split_once(',').map(|offers| offers.0), "the chosen subprotocol")?;
            refused.push(away);
        }
        clients.push(group.join(name).await?);
    }
    let [ann, bob] = &mut clients[..] else { return same(clients.len(), 2, "clients") };
    same(ann.replica(), bob.replica(), "the Replica of two clients that both fit")?;
    let report = ann.report().await?;
    same((report.seats, report.most), (2, 2), "seats, and most of them")?;
    let came: BTreeSet<&str> = report.entries.iter().map(|entry| entry.client.as_str()).collect();
    same(came, BTreeSet::from(["ann", "bob"]), "who came to the Replica")
}

async fn end(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "ended");
    turned_away(&group, "code=4403&reason=no", "").await?.leave().await
}

/// What is no handshake is answered with what would be one.
async fn no_handshake(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "no-handshake");
    let path = format!("{}&code=4403&reason=no", group.path("turn-away", "client"));
    same(
        group.request("GET", &path, "").await?.status(),
        StatusCode::UPGRADE_REQUIRED,
        "the answer to a plain request",
    )?;
    same(group.request("POST", &path, "").await?.status(), StatusCode::METHOD_NOT_ALLOWED, "the answer to a POST")
}
