//! Promises 2 and 3: a client returns to its Replica; others go to the Replica with the most room.

use super::scenario::{Scenario, scenario};
use super::seats::{fill, join, leave};
use crate::app::ShortTimes;
use crate::app::protocol::{Act, Ask, Whom, Why};
use crate::check::{Outcome, ensure, eventually, same};
use crate::harness::Capability;
use crate::stage::Stage;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("sticky_while_a_socket_is_open", &[2], sticky_while_open),
        scenario("sticky_for_the_grace_time", &[2], sticky_for_a_while),
        scenario("sticky_no_longer_than_the_grace_time", &[2], sticky_no_longer),
        scenario("least_used_replica_is_next", &[3], least_used),
        scenario("fill_first_fills_a_replica_before_the_next", &[3], fill_first),
        scenario("closed_replica_gets_no_newcomers", &[2, 3], closed),
        scenario("closed_replica_stays_closed_when_its_group_restarts", &[3, 9], closed_and_restarted)
            .needing(&[Capability::GroupRestart]),
        scenario("new_replica_only_when_all_are_full", &[3], new_when_full),
        scenario("parked_replica_is_used_again", &[3, 4], parked).needing(&[Capability::Parking]),
    ]
}

/// A second socket goes to the Replica of the first one, even if another has more room.
async fn sticky_while_open(stage: Stage) -> Outcome {
    let group = stage.pinned("octet", "sticky");
    let mut at_home = fill(&group, "home").await?;
    let away = fill(&group, "away").await?;
    let _slack = join(&group, "slack", 6).await?;
    let (home, elsewhere) = (at_home[0].replica(), away[0].replica());
    leave(at_home.drain(1..6)).await?;
    group.settles_on(home).await?;
    leave(away).await?;
    group.settles_on(elsewhere).await?;
    same(group.join("home0").await?.replica(), home, "the second socket of a client")
}

/// A client whose last socket has closed returns to its Replica, even if another has more room.
async fn sticky_for_a_while(stage: Stage) -> Outcome {
    let group = stage.pinned("octet", "grace");
    let mut at_home = fill(&group, "home").await?;
    let away = fill(&group, "away").await?;
    let _slack = join(&group, "slack", 6).await?;
    let (home, elsewhere) = (at_home[0].replica(), away[0].replica());
    leave(at_home.drain(..5)).await?;
    group.settles_on(home).await?;
    leave(away).await?;
    group.settles_on(elsewhere).await?;
    same(group.join("home0").await?.replica(), home, "where a client comes back to")
}

/// After the grace time, the client is placed as a new one.
async fn sticky_no_longer(stage: Stage) -> Outcome {
    let group = stage.pinned("brief", "forgotten");
    let mut at_home = fill(&group, "home").await?;
    let mut away = fill(&group, "away").await?;
    let _slack = join(&group, "slack", 6).await?;
    let (home, elsewhere) = (at_home[0].replica(), away[0].replica());
    leave(at_home.drain(..5)).await?;
    group.settles_on(home).await?;
    leave(away.drain(1..)).await?;
    group.settles_on(elsewhere).await?;
    // The scenario is about time, so it has to sleep.
    tokio::time::sleep(ShortTimes::SPAN * 3 / 2).await;
    same(group.identify("home0").await?.replica, elsewhere, "where a client belongs after the grace time")
}

/// New clients go to the Replica with the most free seats.
async fn least_used(stage: Stage) -> Outcome {
    let group = stage.pinned("octet", "least");
    let mut replicas = Vec::new();
    for name in ["a", "b", "c"] {
        replicas.push(fill(&group, name).await?);
    }
    let mut stay = join(&group, "slack", 6).await?;
    let most = replicas[2][0].replica();
    for (mut clients, free) in replicas.into_iter().zip([4, 6, 8]) {
        let home = clients[0].replica();
        leave(clients.drain(..free)).await?;
        group.settles_on(home).await?;
        stay.extend(clients);
    }
    same(group.join("stranger").await?.replica(), most, "the Replica with the most room")
}

/// New clients go to the Replica with the most clients that still has a free seat, even if another Replica is empty.
async fn fill_first(stage: Stage) -> Outcome {
    let group = stage.pinned("match", "fill");
    let first = group.join_each(["a", "b", "c", "d"]).await?;
    let [e, mut f] = group.join_each(["e", "f"]).await?;
    let (full, next) = (first[0].replica(), e.replica());
    ensure(first.iter().all(|client| client.replica() == full), "the first four are on several Replicas")?;
    same((next == full, f.replica()), (false, next), "where the fifth and the sixth are")?;
    let [one, two, three, _stays] = first;
    for client in [one, two, three] {
        client.leave().await?;
    }
    group.settles_on(next).await?;
    let g = group.join("g").await?;
    same(g.replica(), next, "the Replica with two clients, and not the one with one")?;
    same(f.confirmed("all", Whom::Others).await?, (3, vec![]), "whom a broadcast reaches")
}

/// Nobody comes to a Replica that has closed itself but those who are known there. When it opens, others come again.
async fn closed(stage: Stage) -> Outcome {
    let group = stage.pinned("match", "closed");
    let [mut host, guest] = group.join_each(["host", "guest"]).await?;
    let home = host.replica();
    same(guest.replica(), home, "where the first two are")?;
    guest.leave().await?;
    host.obey(Act::CloseToNewcomers).await?;
    let away = group.join("newcomer").await?.replica();
    ensure(away != home, "a newcomer came to a Replica that is closed")?;
    let (guest, host_again) = (group.join("guest").await?, group.identify("host").await?);
    same((guest.replica(), host_again.replica), (home, home), "where those come who are known there")?;
    // Two of four seats are taken. A ticket that is given back may take a third for a moment longer.
    host.obey(Act::OpenToNewcomers).await?;
    group.settles_on(home).await?;
    same(group.join("late").await?.replica(), home, "the fuller of two Replicas that are open")
}

/// The census says that it is closed.
async fn closed_and_restarted(stage: Stage) -> Outcome {
    let group = stage.pinned("match", "closed-restarted");
    let mut host = group.join("host").await?;
    host.obey(Act::CloseToNewcomers).await?;
    let away = group.join("newcomer").await?;
    ensure(away.replica() != host.replica(), "a newcomer came to a Replica that is closed")?;
    group.request("GET", &format!("{}&do=panic", group.path("group", "x")), "").await?;
    let late = group.join("late").await?;
    same(late.replica(), away.replica(), "the only Replica that is open")?;
    same(group.join("host").await?.replica(), host.replica(), "where the client is known")
}

/// A cluster grows by one Replica when the last seat is taken, and not before.
async fn new_when_full(stage: Stage) -> Outcome {
    let group = stage.pinned("pair", "grow");
    let [a, b, c, d, e] = group.join_each(["a", "b", "c", "d", "e"]).await?;
    same(a.replica(), b.replica(), "the first two clients")?;
    same(c.replica(), d.replica(), "the next two clients")?;
    ensure(a.replica() != c.replica(), "the third client is on a full Replica")?;
    ensure(![a.replica(), c.replica()].contains(&e.replica()), "the fifth client is on a full Replica")?;
    same(group.identify("a").await?.replica, e.replica(), "where there is room, even for one who would rather be home")
}

/// A Replica that was empty for a while is out of fan-out. It is used again before a new one is created.
async fn parked(stage: Stage) -> Outcome {
    let group = stage.pinned("brief", "parked");
    let mut clients = fill(&group, "stays").await?;
    let last = group.join("last").await?;
    let emptied = last.replica();
    ensure(emptied != clients[0].replica(), "a ninth client on a Replica of eight seats")?;
    last.leave().await?;
    eventually("the empty Replica is parked", async || {
        let (answers, missing) = clients[0].gossip(Ask::Report).await?;
        ensure(missing.iter().all(|(_, why)| *why == Why::Deadline), format!("no answer from {missing:?}"))?;
        Ok(answers.is_empty() && missing.is_empty())
    })
    .await?;
    let mut newcomer = group.join("newcomer").await?;
    same(newcomer.replica(), emptied, "the Replica of the client that needed one more")?;
    same(clients[0].confirmed("welcome back", Whom::Everyone).await?, (9, vec![]), "whom a broadcast reaches")?;
    same(newcomer.hear().await?, "welcome back", "what the newcomer hears")
}
