//! Promise 17: a client that comes back gets what it has missed, or is told why not.

use std::cell::Cell;

use dog::{Position, ROOM};
use futures_util::future::try_join_all;

use super::hibernation::forgets;
use super::scenario::{Scenario, scenario};
use crate::app::protocol::{Act, LOGGED, LogAct, RETURNING, SHORT};
use crate::check::{Outcome, ScenarioFailure, same};
use crate::client::Client;
use crate::harness::Capability;
use crate::stage::Stage;

pub(super) fn scenarios() -> Vec<Scenario> {
    let asleep =
        scenario("recovery_goes_on_over_hibernation", &[13, 17], hibernation).needing(&[Capability::Hibernation]);
    vec![
        scenario("recovery_goes_on_where_a_client_was", &[17], where_it_was),
        scenario("recovery_says_why_it_is_not_possible", &[17], reasons),
        scenario("recovery_misses_nothing_in_a_storm", &[17], storm),
        scenario("recovery_serves_many_at_once", &[17], many),
        asleep,
    ]
}

fn at(position: &Position, offset: u64) -> Position {
    Position::new(position.epoch().clone(), offset)
}

/// Publishes `1`, `2` and so on. Returns the last position.
async fn count_to(client: &mut Client, topic: &str, last: u64) -> Outcome<Position> {
    let mut position = client.publish(topic, "1").await?;
    for number in 2..=last {
        position = client.publish(topic, &number.to_string()).await?;
    }
    Ok(position)
}

async fn hears(client: &mut Client, numbers: std::ops::RangeInclusive<u64>) -> Outcome {
    for number in numbers {
        same(client.hear().await?, number.to_string(), "the next that a client hears")?;
    }
    Ok(())
}

/// In the room it goes on when it opens, in a topic when it says so. What follows comes once.
async fn where_it_was(stage: Stage) -> Outcome {
    let group = stage.spread("pair", "was");
    let mut speaker = group.join("speaker").await?;
    let head = count_to(&mut speaker, ROOM, 9).await?;
    hears(&mut speaker, 1..=9).await?;
    for since in [0, 4, 8, 9] {
        let mut back = group.rejoin(&format!("{RETURNING}{since}"), &at(&head, since)).await?;
        same(back.told_what_it_has_missed().await?, Ok(9 - since), "how much is replayed")?;
        hears(&mut back, since + 1..=9).await?;
        speaker.publish(&format!("{LOGGED}{since}"), "not subscribed").await?;
        speaker.broadcast("end").await?;
        same(back.hear().await?, "end", "what follows")?;
    }
    let topic = format!("{LOGGED}t");
    let head = count_to(&mut speaker, &topic, 5).await?;
    let mut other = group.join("other").await?;
    for since in [1, 5] {
        same(other.resume(&topic, &at(&head, since)).await?, Ok(5 - since), "how much is replayed")?;
        hears(&mut other, since + 1..=5).await?;
    }
    speaker.publish(&topic, "6").await?;
    hears(&mut other, 6..=6).await?;
    same(other.topics().await?, [topic], "the topics")
}

async fn reasons(stage: Stage) -> Outcome {
    let group = stage.spread("pair", "reasons");
    let mut client = group.join("client").await?;
    let (short, long) = (format!("{SHORT}x"), format!("{LOGGED}x"));
    let head = count_to(&mut client, &short, 5).await?;
    let large = LogAct::PublishLong { topic: long.clone(), letters: [200 << 10, 0, 0] };
    let mut large_head = None;
    for _ in 0..3 {
        large_head = client.published(large.clone()).await?.pop();
    }
    let large_head = large_head.unwrap_or_else(|| head.clone());
    let other = Position::new(format!("{}x:1", &head.epoch().as_str()[1..]).parse::<Position>()?.epoch().clone(), 1);
    for (topic, since, reason) in [
        (&short, at(&head, 1), "expired"),
        (&short, at(&head, 6), "future"),
        (&short, other, "epoch_unknown"),
        (&long, at(&large_head, 0), "gap_too_large"),
    ] {
        same(client.resume(topic, &since).await?, Err(reason.into()), "why nothing is replayed")?;
        same(client.topics().await?, [""; 0], "what a socket is subscribed to then")?;
    }
    same(client.resume(&long, &at(&large_head, 1)).await?, Ok(2), "how much is replayed")?;
    for _ in 0..2 {
        same(client.hear().await?.len(), 200 << 10, "what is heard")?;
    }
    let mut back = group.rejoin(&format!("{RETURNING}late"), &at(&head, 7)).await?;
    same(back.told_what_it_has_missed().await?, Err("epoch_unknown".into()), "a position of another topic")?;
    client.publish(ROOM, "1").await?;
    hears(&mut back, 1..=1).await
}

/// A client is lost and comes back again and again, while others publish.
async fn storm(stage: Stage) -> Outcome {
    const RETURNS: usize = 8;
    const AHEAD: u64 = 60;
    let group = stage.spread("pair", "storm");
    let mut speaker = group.join("speaker").await?;
    let first = speaker.publish(ROOM, "1").await?;
    let (seen, is_over) = (Cell::new(1), Cell::new(false));
    let speaking = async {
        let mut number = 1;
        while !is_over.get() {
            if number - seen.get() < AHEAD {
                number += 1;
                speaker.publish(ROOM, &number.to_string()).await?;
            } else {
                // The log keeps 100.
                speaker.ask(Act::Sockets).await?;
            }
        }
        Ok(())
    };
    let returning = async {
        for round in 0..RETURNS {
            let mut back = group.rejoin(&format!("{RETURNING}{round}"), &at(&first, seen.get())).await?;
            let told = back.told_what_it_has_missed().await?;
            let count = told.map_err(ScenarioFailure::new)?;
            let next = seen.get() + 1;
            for number in next..=next + count + 5 {
                hears(&mut back, number..=number).await?;
                // The speaker waits for this when it is far ahead.
                seen.set(number);
            }
        }
        is_over.set(true);
        Ok(())
    };
    futures_util::try_join!(speaking, returning).map(drop)
}

/// All of a Replica, and several Replicas.
async fn many(stage: Stage) -> Outcome {
    const CLIENTS: u64 = 120;
    const COUNT: u64 = 30;
    let group = stage.spread("hall", "many");
    let mut speaker = group.join("speaker").await?;
    let head = count_to(&mut speaker, ROOM, COUNT).await?;
    let (group, head) = (&group, &head);
    let clients = (0..CLIENTS).map(|number| async move {
        let since = number % COUNT;
        let mut back = group.rejoin(&format!("{RETURNING}{number}"), &at(head, since)).await?;
        same(back.told_what_it_has_missed().await?, Ok(COUNT - since), "how much is replayed")?;
        hears(&mut back, since + 1..=COUNT).await?;
        Ok::<_, ScenarioFailure>(back)
    });
    let mut clients: Vec<Client> = try_join_all(clients).await?;
    speaker.publish(ROOM, &(COUNT + 1).to_string()).await?;
    for client in &mut clients {
        hears(client, COUNT + 1..=COUNT + 1).await?;
    }
    Ok(())
}

/// Its Replica hibernates before, between and after.
async fn hibernation(stage: Stage) -> Outcome {
    let group = stage.pinned("hall", "hibernation");
    let [mut speaker, mut client] = group.join_each(["speaker", "client"]).await?;
    let topic = format!("{LOGGED}t");
    let head = count_to(&mut speaker, &topic, 3).await?;
    forgets(&mut client).await?;
    same(client.resume(&topic, &at(&head, 1)).await?, Ok(2), "how much is replayed")?;
    hears(&mut client, 2..=3).await?;
    for number in 4..=6 {
        forgets(&mut client).await?;
        speaker.publish(&topic, &number.to_string()).await?;
        hears(&mut client, number..=number).await?;
    }
    forgets(&mut client).await?;
    same(client.resume(&topic, &at(&head, 4)).await?, Ok(2), "how much is replayed again")?;
    hears(&mut client, 5..=6).await
}
