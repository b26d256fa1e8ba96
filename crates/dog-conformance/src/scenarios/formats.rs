//! Promise 17: a socket gets each publication in its format, whichever way it gets it.

use dog::{Format, Position, ROOM};

use super::hibernation::forgets;
use super::log::DURABLE;
use super::scenario::{Scenario, scenario};
use crate::app::protocol::{LOGGED, RETURNING, rendered};
use crate::check::{Outcome, same};
use crate::client::Client;
use crate::harness::Capability;
use crate::stage::Stage;

const FIRST: Format = Format::new(1);
const LAST: Format = Format::new(7);

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("format_of_a_socket_is_that_of_its_publications", &[17], formats),
        scenario("format_of_a_socket_outlives_hibernation", &[13, 17], hibernation).needing(&[Capability::Hibernation]),
    ]
}

async fn hears(client: &mut Client, format: Format, published: &[(Position, String)]) -> Outcome {
    for (position, text) in published {
        let wanted = if format == Format::DEFAULT { text.clone() } else { rendered(format, position, text) };
        same(client.hear().await?, wanted, "the next that a client hears")?;
    }
    Ok(())
}

/// Publishes two texts.
async fn publish(client: &mut Client, topic: &str, name: &str) -> Outcome<Vec<(Position, String)>> {
    let mut published = Vec::new();
    for number in 1..=2 {
        let text = format!("{name} {number}");
        published.push((client.publish(topic, &text).await?, text));
    }
    Ok(published)
}

/// On several Replicas, at once and after a return, in the room and in a topic.
async fn formats(stage: Stage) -> Outcome {
    const CLIENTS: usize = 6;
    let group = stage.spread(DURABLE, "formats");
    let mut speaker = group.join("speaker").await?;
    let mut others = Vec::new();
    for number in 0..CLIENTS {
        let format = [FIRST, LAST][number % 2];
        others.push((format, group.join_in(&format!("client{number}"), format, None).await?));
    }
    let first = publish(&mut speaker, ROOM, "room").await?;
    hears(&mut speaker, Format::DEFAULT, &first).await?;
    for (format, client) in &mut others {
        hears(client, *format, &first).await?;
    }
    for format in [FIRST, LAST] {
        let since = Some(&first[0].0);
        let mut back = group.join_in(&format!("{RETURNING}{format}"), format, since).await?;
        same(back.told_what_it_has_missed().await?, Ok(1), "how much is replayed")?;
        hears(&mut back, format, &first[1..]).await?;
        let topic = format!("{LOGGED}t");
        back.subscribe(&topic).await?;
        let of_topic = publish(&mut speaker, &topic, "topic").await?;
        hears(&mut back, format, &of_topic).await?;
        same(back.resume(&topic, &of_topic[0].0).await?, Ok(1), "how much is replayed again")?;
        hears(&mut back, format, &of_topic[1..]).await?;
    }
    let mut back = group.rejoin(&format!("{RETURNING}0"), &first[0].0).await?;
    same(back.told_what_it_has_missed().await?, Ok(1), "how much is replayed")?;
    hears(&mut back, Format::DEFAULT, &first[1..]).await
}

/// Its Replica hibernates before a publication, and before a replay.
async fn hibernation(stage: Stage) -> Outcome {
    let group = stage.pinned(DURABLE, "formats-hibernation");
    let mut speaker = group.join("speaker").await?;
    let mut client = group.join_in("client", LAST, None).await?;
    forgets(&mut client).await?;
    let published = publish(&mut speaker, ROOM, "room").await?;
    hears(&mut client, LAST, &published).await?;
    forgets(&mut client).await?;
    same(client.resume(ROOM, &published[0].0).await?, Ok(1), "how much is replayed")?;
    hears(&mut client, LAST, &published[1..]).await?;
    hears(&mut speaker, Format::DEFAULT, &published).await
}
