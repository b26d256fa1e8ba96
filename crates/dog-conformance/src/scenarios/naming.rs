//! `clusterize` names the Replicas: what it can return, and what happens if it fails.

use dog::{ClientId, http::StatusCode};

use super::scenario::{Scenario, scenario};
use crate::app::named_replica;
use crate::app::protocol::{
    Act, Ask, BOUND, BOUND_THERE, FAR, Identified, PLACED, TOGETHER, UNPLACEABLE, UNWAKEABLE, Whom,
};
use crate::check::{Outcome, ensure, eventually, same};
use crate::stage::{Stage, TestGroup};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("clusterize_names_the_replica", &[3], named),
        scenario("clusterize_chooses_the_location_of_a_replica", &[3], placed),
        scenario("clusterize_that_names_a_full_replica_leaves_no_room", &[1, 3], no_room),
        scenario("clusterize_that_names_a_closed_replica_leaves_no_room", &[3], no_open_one),
        scenario("clusterize_that_fails_affects_no_other_client", &[14], unplaceable),
        scenario("replica_that_fails_to_activate_is_not_a_member", &[4, 14], unwakeable),
    ]
}

/// `clusterize` names a new Replica. It is called only when a new one is needed.
async fn named(stage: Stage) -> Outcome {
    let group = stage.pinned("named", "names");
    let id = group.group_id();
    let [first, second, third] = group.join_each(["first", "second", "third"]).await?;
    same(first.replica(), named_replica(id, &ClientId::new("first")?), "the first client's Replica")?;
    same(second.replica(), first.replica(), "the second client's Replica")?;
    same(third.replica(), named_replica(id, &ClientId::new("third")?), "the third client's Replica")?;
    // This comes last: its ticket is released only after the answer, and counts as a seat until then.
    same(group.identify("third").await?.group, id, "the Group's id")
}

/// The location is part of the id, and the Replica there works like others.
async fn placed(stage: Stage) -> Outcome {
    let group = stage.pinned("named", "places");
    let names = [PLACED, BOUND_THERE].map(|prefix| [format!("{prefix}a"), format!("{prefix}b")]);
    let [mut a, _b] = group.join_each([&names[0][0], &names[0][1]]).await?;
    let [c, mut d] = group.join_each([&names[1][0], &names[1][1]]).await?;
    same([a.replica().place(), c.replica().place()], [Some(FAR), Some(BOUND)], "the locations")?;
    same(a.confirmed("all", Whom::Everyone).await?, (4, vec![]), "whom a broadcast reaches")?;
    // The Group tells of arrivals, too.
    d.hear_until("all").await.map(drop)
}

/// If every new Replica has the same name, there is only one, and no room once it is full.
async fn no_room(stage: Stage) -> Outcome {
    let group = stage.pinned("named", "full");
    let names = ["a", "b", "c"].map(|name| format!("{TOGETHER}{name}"));
    let [a, b] = group.join_each([&names[0], &names[1]]).await?;
    same(a.replica(), b.replica(), "where those that belong together are")?;
    let refused = group.request("GET", &group.path("identify", &names[2]), "").await?;
    same(refused.status(), StatusCode::SERVICE_UNAVAILABLE, "where no seat is left")?;
    let home = b.replica();
    a.leave().await?;
    // The ticket of the first answer is released only after that answer, so a second request could come too early.
    let mut room = None;
    eventually("there is room again", async || {
        let response = group.request("GET", &group.path("identify", &names[2]), "").await?;
        if response.status() == StatusCode::OK {
            room = Some(serde_json::from_slice::<Identified>(response.body())?.replica);
        }
        Ok(room.is_some())
    })
    .await?;
    same(room, Some(home), "the third one's Replica")
}

/// If every new Replica has the same name, there is only one, and no room for newcomers once it is closed.
async fn no_open_one(stage: Stage) -> Outcome {
    let group = stage.pinned("named", "closed");
    let names = ["a", "b"].map(|name| format!("{TOGETHER}{name}"));
    let mut host = group.join(&names[0]).await?;
    host.obey(Act::CloseToNewcomers).await?;
    let refused = group.post(&names[1], Act::Sockets).await?;
    same(refused.status(), StatusCode::SERVICE_UNAVAILABLE, "where the only Replica is closed")?;
    same(host.report().await?.open, vec![host.id().clone()], "who is there")
}

/// The client does not learn the reason, and others are placed.
async fn unplaceable(stage: Stage) -> Outcome {
    let group = stage.pinned("named", "unplaceable");
    fails_inside(&group, UNPLACEABLE).await?;
    let mut client = group.join("placeable").await?;
    same(client.confirmed("all", Whom::Everyone).await?, (1, vec![]), "whom a broadcast reaches")
}

/// A Replica whose `activate` fails is not a member. Its client does not learn the reason, and others are placed.
async fn unwakeable(stage: Stage) -> Outcome {
    let group = stage.pinned("named", "unwakeable");
    fails_inside(&group, UNWAKEABLE).await?;
    let [mut client, _beside, _another] = group.join_each(["a", "b", "c"]).await?;
    same(client.confirmed("all", Whom::Everyone).await?, (3, vec![]), "whom a broadcast reaches")?;
    same(client.gossip(Ask::Report).await?.1, vec![], "siblings that do not answer")
}

async fn fails_inside(group: &TestGroup, prefix: &str) -> Outcome {
    let refused = group.request("GET", &group.path("identify", &format!("{prefix}x")), "").await?;
    ensure(refused.status().is_server_error(), format!("the status is {}", refused.status()))?;
    ensure(!String::from_utf8_lossy(refused.body()).contains("secret"), "the response tells of the inside")
}
