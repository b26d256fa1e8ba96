//! The Group's own code names its Replicas: what it says, and what it cannot say.

use dog::{ClientId, http::StatusCode};

use super::{Scenario, scenario};
use crate::app::named_replica;
use crate::app::protocol::{Ask, BOUND, BOUND_THERE, FAR, Identified, PLACED, TOGETHER, UNPLACEABLE, UNWAKEABLE, Whom};
use crate::check::{Outcome, ensure, eventually, same};
use crate::stage::{Place, Stage};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("clusterize_names_the_replica", &[3], named),
        scenario("clusterize_says_where_a_replica_lives", &[3], placed),
        scenario("clusterize_that_names_a_full_replica_leaves_no_room", &[1, 3], no_room),
        scenario("clusterize_that_fails_harms_nobody", &[14], unplaceable),
        scenario("replica_that_cannot_wake_is_no_member", &[4, 14], unwakeable),
    ]
}

/// The Group's own code says how a new Replica is called; it is asked only when a new one is needed.
async fn named(stage: Stage) -> Outcome {
    let place = stage.pinned("named", "names");
    let group = place.group_id();
    let [first, second, third] = place.join_each(["first", "second", "third"]).await?;
    same(first.replica(), named_replica(group, &ClientId::new("first")?), "the first client's Replica")?;
    same(second.replica(), first.replica(), "the second client's Replica")?;
    same(third.replica(), named_replica(group, &ClientId::new("third")?), "the third client's Replica")?;
    // Last: the ticket that comes with it is given back behind the answer, and counts as a seat until then.
    same(place.identify("third").await?.group, group, "the Group's id")
}

/// A place is part of the id, and the Replica there one like others.
async fn placed(stage: Stage) -> Outcome {
    let place = stage.pinned("named", "places");
    let names = [PLACED, BOUND_THERE].map(|prefix| [format!("{prefix}a"), format!("{prefix}b")]);
    let [mut a, _b] = place.join_each([&names[0][0], &names[0][1]]).await?;
    let [c, mut d] = place.join_each([&names[1][0], &names[1][1]]).await?;
    same([a.replica().place(), c.replica().place()], [Some(FAR), Some(BOUND)], "the places")?;
    same(a.confirmed("all", Whom::Everyone).await?, (4, vec![]), "whom a broadcast reaches")?;
    same(d.hear().await?, "all", "what the farthest hears")
}

/// Where every new Replica has the same name, there is one, and no room when it is full.
async fn no_room(stage: Stage) -> Outcome {
    let place = stage.pinned("named", "full");
    let names = ["a", "b", "c"].map(|name| format!("{TOGETHER}{name}"));
    let [a, b] = place.join_each([&names[0], &names[1]]).await?;
    same(a.replica(), b.replica(), "where those that belong together are")?;
    let refused = place.request("GET", &place.path("identify", &names[2]), "").await?;
    same(refused.status(), StatusCode::SERVICE_UNAVAILABLE, "where no seat is left")?;
    let home = b.replica();
    a.leave().await?;
    // The ticket of the first answer is given back behind that answer, so a second question could come too early.
    let mut room = None;
    eventually("there is room again", async || {
        let response = place.request("GET", &place.path("identify", &names[2]), "").await?;
        if response.status() == StatusCode::OK {
            room = Some(serde_json::from_slice::<Identified>(response.body())?.replica);
        }
        Ok(room.is_some())
    })
    .await?;
    same(room, Some(home), "the third one's Replica")
}

/// The client is told nothing of why, and others are placed all the same.
async fn unplaceable(stage: Stage) -> Outcome {
    let place = stage.pinned("named", "unplaceable");
    fails_inside(&place, UNPLACEABLE).await?;
    let mut client = place.join("placeable").await?;
    same(client.confirmed("all", Whom::Everyone).await?, (1, vec![]), "whom a broadcast reaches")
}

/// A Replica that fails to wake is no member: its client is told nothing of why, others are placed all the same.
async fn unwakeable(stage: Stage) -> Outcome {
    let place = stage.pinned("named", "unwakeable");
    fails_inside(&place, UNWAKEABLE).await?;
    let [mut client, _beside, _another] = place.join_each(["a", "b", "c"]).await?;
    same(client.confirmed("all", Whom::Everyone).await?, (3, vec![]), "whom a broadcast reaches")?;
    same(client.gossip(Ask::Report).await?.1, vec![], "siblings that do not answer")
}

async fn fails_inside(place: &Place, prefix: &str) -> Outcome {
    let refused = place.request("GET", &place.path("identify", &format!("{prefix}x")), "").await?;
    ensure(refused.status().is_server_error(), format!("the status is {}", refused.status()))?;
    ensure(!String::from_utf8_lossy(refused.body()).contains("secret"), "the response tells of the inside")
}
