//! Promise 19: joins and leaves of each client alternate, and agree with the sockets that were open.

use std::collections::{BTreeMap, BTreeSet};

use dog::MAX_PRESENCE_VALUE;

use super::group_verbs::{BOTH, perform};
use super::hibernation::forgets;
use super::restarts::kill_the_group;
use super::scenario::{Scenario, scenario};
use crate::app::protocol::{Act, PresenceAct, PresenceLine, Why, arrived, left};
use crate::check::{Outcome, ensure, eventually, same};
use crate::client::Client;
use crate::harness::Capability;
use crate::stage::{Stage, TestGroup};

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("presence_says_who_comes_and_goes_on_every_replica", &[19], comes_and_goes),
        scenario("presence_takes_a_reload_for_nothing", &[19], reload),
        scenario("presence_value_is_shown_and_one_over_its_bound_changes_nothing", &[12, 19], values),
        scenario("presence_has_everybody_in_its_pages", &[19], pages),
        scenario("presence_outlives_the_group", &[9, 19], restarts).needing(&[Capability::GroupRestart]),
        scenario("presence_values_are_kept_in_hibernation", &[13, 19], hibernation).needing(&[Capability::Hibernation]),
    ]
}

/// A socket that follows what its Replica is told.
pub(super) struct Watcher {
    client: Client,
    /// Who is in the room, and in each topic. The room has no name.
    there: BTreeMap<String, BTreeSet<String>>,
    /// What came since this was last taken, in the room and in topics.
    lines: Vec<(String, PresenceLine)>,
}

/// The room, for a [`Watcher`].
const ROOM: &str = "";

impl Watcher {
    pub(super) async fn join(group: &TestGroup, name: &str) -> Outcome<Self> {
        let (there, lines) = (BTreeMap::new(), Vec::new());
        let mut watcher = Self { client: group.join(name).await?, there, lines };
        watcher.sees(name, true).await?;
        Ok(watcher)
    }

    /// One on each of five Replicas.
    pub(super) async fn join_five(group: &TestGroup) -> Outcome<Vec<Self>> {
        let mut watchers = Vec::new();
        for name in ["w0", "w1", "w2", "w3", "w4"] {
            watchers.push(Self::join(group, name).await?);
        }
        Ok(watchers)
    }

    /// Reads until a client is in a topic, or is not. Whatever comes has to be possible.
    pub(super) async fn sees_in(&mut self, topic: &str, client: &str, is_there: bool) -> Outcome {
        while self.has_in(topic, client) != is_there {
            let text = self.client.hear().await?;
            // Others send texts too.
            let Ok(line) = serde_json::from_str::<PresenceLine>(&text) else { continue };
            let (topic, line) = match line {
                PresenceLine::InTopic(topic, line) => (topic, *line),
                line => (ROOM.to_owned(), line),
            };
            let place = format!("{} is told of \"{topic}\"", self.client.id());
            apply(self.there.entry(topic.clone()).or_default(), &place, &line)?;
            self.lines.push((topic, line));
        }
        Ok(())
    }

    pub(super) async fn sees(&mut self, client: &str, is_there: bool) -> Outcome {
        self.sees_in(ROOM, client, is_there).await
    }

    pub(super) fn has_in(&self, topic: &str, client: &str) -> bool {
        self.there.get(topic).is_some_and(|there| there.contains(client))
    }

    pub(super) fn forget_lines(&mut self) {
        self.lines.clear();
    }

    /// How often a client has arrived in a topic or left it since the lines were forgotten.
    pub(super) fn moves_in(&self, topic: &str, name: &str) -> usize {
        let is_move = |line: &PresenceLine| matches!(line, PresenceLine::Arrived(client) | PresenceLine::Left(client) if client == name);
        self.lines.iter().filter(|(of, line)| of == topic && is_move(line)).count()
    }

    fn moves_of(&self, name: &str) -> usize {
        self.moves_in(ROOM, name)
    }
}

/// What is told leads from who was there to who is there.
fn apply(there: &mut BTreeSet<String>, place: &str, line: &PresenceLine) -> Outcome {
    match line {
        PresenceLine::Reset(clients) => *there = clients.iter().cloned().collect(),
        PresenceLine::Arrived(client) => {
            ensure(there.insert(client.clone()), format!("{place}: {client} arrives twice"))?;
        }
        PresenceLine::Left(client) => {
            ensure(there.remove(client), format!("{place}: {client} leaves without having been there"))?;
        }
        PresenceLine::Value(client, _) | PresenceLine::Closed(client) => {
            ensure(there.contains(client), format!("{place}: {client} has a connection and is not there"))?;
        }
        PresenceLine::InTopic(..) => ensure(false, format!("{place}: {line:?}"))?,
    }
    Ok(())
}

pub(super) async fn disconnect(group: &TestGroup, client: &str) -> Outcome {
    perform(group, BOTH[0], &format!("disconnect&client={client}")).await.map(drop)
}

/// Clients on all nodes come, leave after the grace time, or are disconnected. The Group's own code is told, too.
async fn comes_and_goes(stage: Stage) -> Outcome {
    let group = stage.spread("named", "comes");
    let mut watchers = Watcher::join_five(&group).await?;
    let mut hears = group.join("hears").await?;
    let (ann, bob) = (group.join("ann").await?, group.join("bob").await?);
    hears.hear_until(&arrived(&"bob")).await?;
    for watcher in &mut watchers {
        watcher.sees("ann", true).await?;
        watcher.sees("bob", true).await?;
    }
    disconnect(&group, "ann").await?;
    for watcher in &mut watchers {
        watcher.sees("ann", false).await?;
        ensure(watcher.has_in(ROOM, "bob"), "bob is still there")?;
    }
    hears.hear_until(&left(&"ann")).await?;
    drop(ann);
    bob.leave().await?;
    // After the grace time.
    hears.hear_until(&left(&"bob")).await?;
    for watcher in &mut watchers {
        watcher.sees("bob", false).await?;
    }
    Ok(())
}

/// A client that comes back within the grace time has neither left nor arrived. It is listed with no socket meanwhile.
async fn reload(stage: Stage) -> Outcome {
    let group = stage.spread("named", "reload");
    let mut watcher = Watcher::join(&group, "watcher").await?;
    let ann = group.join("ann").await?;
    watcher.sees("ann", true).await?;
    ann.leave().await?;
    eventually("ann is listed without a socket", async || {
        let clients = perform(&group, BOTH[0], "clients").await?;
        Ok(clients.split(' ').any(|client| client == "ann:0"))
    })
    .await?;
    let _ann = group.join("ann").await?;
    watcher.forget_lines();
    // What comes later is told later.
    let _bob = group.join("bob").await?;
    watcher.sees("bob", true).await?;
    same(watcher.moves_of("ann"), 0, "arrivals and departures of one who reloads")?;
    same(watcher.has_in(ROOM, "ann"), true, "whether ann is there")
}

async fn values(stage: Stage) -> Outcome {
    let group = stage.spread("named", "values");
    let mut watcher = Watcher::join(&group, "watcher").await?;
    let mut ann = group.join("ann").await?;
    watcher.sees("ann", true).await?;
    ann.set_presence("typing").await?;
    let long = PresenceAct::SetLong { letters: MAX_PRESENCE_VALUE };
    same(ann.refused(Act::Presence(long)).await?, Why::TooLarge, "a value over the bound")?;
    let _bob = group.join("bob").await?;
    watcher.sees("bob", true).await?;
    same(
        watcher.client.presence(100).await?.clients.swap_remove(0),
        ("ann".into(), vec![Some("typing".into())]),
        "ann's value",
    )?;
    let mut other = stage.pinned("hall", "without").join("other").await?;
    let set = Act::Presence(PresenceAct::Set { text: "x".into() });
    same(other.refused(set).await?, Why::NoPresence, "a value in a Group without presence")?;
    same(
        other.refused(Act::Presence(PresenceAct::Read { topic: None, limit: 1 })).await?,
        Why::NoPresence,
        "reading such a Group",
    )
}

async fn pages(stage: Stage) -> Outcome {
    let group = stage.spread("named", "pages");
    let mut clients = group.join_all("client", 9).await?;
    let second = group.join("client0").await?;
    let reader = &mut clients[0];
    eventually("everybody is there", async || {
        let there = reader.presence(4).await?;
        let all = there.clients.iter().map(|(_, connections)| connections.len()).sum::<usize>();
        Ok((there.clients.len(), there.counted, all) == (9, 9, 10))
    })
    .await?;
    drop(second);
    Ok(())
}

/// The next life of the Group goes on: nobody arrives or leaves because of it.
async fn restarts(stage: Stage) -> Outcome {
    let group = stage.spread("named", "restarts");
    let mut watchers = Watcher::join_five(&group).await?;
    let _ann = group.join("ann").await?;
    for watcher in &mut watchers {
        watcher.sees("ann", true).await?;
        watcher.sees("w4", true).await?;
        watcher.forget_lines();
    }
    for round in 0..3 {
        kill_the_group(&group).await?;
        let name = format!("round{round}");
        let newcomer = group.join(&name).await?;
        for watcher in &mut watchers {
            watcher.sees(&name, true).await?;
        }
        disconnect(&group, &name).await?;
        for watcher in &mut watchers {
            watcher.sees(&name, false).await?;
            ensure(watcher.has_in(ROOM, "ann"), "ann is still there")?;
        }
        drop(newcomer);
    }
    for watcher in &watchers {
        same(watcher.moves_of("ann"), 0, "arrivals and departures of one who stayed")?;
    }
    Ok(())
}

async fn hibernation(stage: Stage) -> Outcome {
    let group = stage.pinned("named", "hibernation");
    let mut ann = group.join("ann").await?;
    ann.set_presence("typing").await?;
    forgets(&mut ann).await?;
    let mut bob = group.join("bob").await?;
    eventually("both are there", async || {
        let clients = bob.presence(100).await?.clients;
        Ok(clients == [("ann".to_owned(), vec![Some("typing".to_owned())]), ("bob".to_owned(), vec![None])])
    })
    .await
}
