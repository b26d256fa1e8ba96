//! Promise 4: siblings know a new Replica before its first client is answered.

use std::cell::{Cell, RefCell};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::scenario::{Scenario, scenario};
use crate::app::protocol::{Act, Told, Whom};
use crate::check::{Outcome, ensure, same};
use crate::client::Client;
use crate::stage::{Stage, TestGroup};

/// How many sockets open during the broadcasts, each on another Replica.
const JOINERS: usize = 60;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("joined_before_served", &[4, 6], before_served),
        scenario("joined_before_served_by_http", &[4], before_served_by_http),
        scenario("reachable_as_soon_as_open", &[4, 7], as_soon_as_open),
    ]
}

/// A socket that is open before a broadcast begins receives it, while the cluster grows by sixty Replicas.
async fn before_served(stage: Stage) -> Outcome {
    let group = stage.spread("single", "growing");
    let mut speaker = group.join("speaker").await?;
    let begun = Cell::new(0_u32);
    let joined = RefCell::new(Vec::new());
    let joining = async {
        let joins = stream::iter(0..JOINERS).map(|number| join(&group, number, &begun));
        let mut joins = joins.buffer_unordered(6);
        while let Some(join) = joins.try_next().await? {
            joined.borrow_mut().push(join);
        }
        Ok(())
    };
    let speaking = async {
        while joined.borrow().len() < JOINERS {
            begun.set(begun.get() + 1);
            let open = joined.borrow().len();
            let (reached, missing) = speaker.confirmed(&begun.get().to_string(), Whom::Everyone).await?;
            ensure(reached > open, format!("a broadcast to {} sockets or more reached {reached}", open + 1))?;
            same(missing, vec![], "Replicas that did not answer")?;
        }
        speaker.broadcast("end").await
    };
    futures_util::try_join!(joining, speaking)?;
    for (mut client, from) in joined.into_inner() {
        let heard = client.hear_until("end").await?;
        // It may have been open a little longer than its client knows.
        let first = heard.first().map_or(Ok(u32::MAX), |text| text.parse())?.min(from + 1);
        let due: Vec<_> = (first..=begun.get()).map(|number| number.to_string()).collect();
        same(heard, due, &format!("what {} heard, which was open before {}", client.id(), from + 1))?;
    }
    Ok(())
}

/// Opens a socket. Returns the last broadcast that may have begun before it was open.
async fn join(group: &TestGroup, number: usize, begun: &Cell<u32>) -> Outcome<(Client, u32)> {
    let client = group.join(&format!("joiner{number}")).await?;
    Ok((client, begun.get()))
}

/// A request for which the cluster grows broadcasts, and all receive the message.
async fn before_served_by_http(stage: Stage) -> Outcome {
    let group = stage.spread("single", "called");
    let mut clients = group.join_each(["a", "b", "c"]).await?;
    for number in 0..10 {
        let text = format!("call {number}");
        let act = Act::Confirmed { text: text.clone(), to: Whom::Everyone };
        let told = group.command(&format!("caller{number}"), act).await?.told;
        same(told, Told::Reached { sockets: 3, missing: vec![] }, "whom a broadcast reaches")?;
        for client in &mut clients {
            same(client.hear().await?, text.as_str(), "what a socket hears")?;
        }
    }
    Ok(())
}

/// A whisper that begins when a socket is open reaches it on any Replica.
async fn as_soon_as_open(stage: Stage) -> Outcome {
    let group = stage.spread("pair", "soon");
    let mut speaker = group.join("speaker").await?;
    let mut all = Vec::new();
    for number in 0..30 {
        let name = format!("joiner{number}");
        let mut joiner = group.join(&name).await?;
        same(speaker.whisper(&name, &name).await?, 1, "sockets that a whisper reaches")?;
        same(joiner.hear().await?, name, "what the joiner hears")?;
        all.push(joiner);
    }
    Ok(())
}
