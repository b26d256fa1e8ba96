//! Promise 5: what one object sends reaches any one socket in the order sent.

use super::scenario::{Scenario, scenario};
use crate::app::protocol::{Act, Step, Told, Whom};
use crate::check::{Outcome, same};
use crate::stage::Stage;

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario("order_of_all_verbs_mixed", &[5], mixed_verbs),
        scenario("order_of_many_messages", &[5, 7], many_messages),
        scenario("order_of_large_and_small", &[5], large_and_small),
    ]
}

/// Five hundred numbers by five verbs, to the sender, another socket of its Replica and one on another Replica.
async fn mixed_verbs(stage: Stage) -> Outcome {
    const COUNT: u32 = 500;
    let group = stage.spread("pair", "mixed");
    let [mut speaker, mut second, mut third] = group.join_each(["speaker", "second", "third"]).await?;
    let command = Act::Sequence { count: COUNT, clients: vec![second.id().clone(), third.id().clone()] };
    let command = speaker.tell(command).await?;
    let home = speaker.replica();
    for (number, client) in [&mut second, &mut third].into_iter().enumerate() {
        let near = client.replica() == home;
        let due = (0..COUNT).filter(|step| match Step::of(*step, 2) {
            Step::Send => false,
            Step::Emit => near,
            Step::Broadcast | Step::Confirmed => true,
            Step::Whisper(to) => to == number,
        });
        for step in due {
            same(client.hear().await?, step.to_string(), "the next number that a listener hears")?;
        }
    }
    for step in (0..COUNT).filter(|step| !matches!(Step::of(*step, 2), Step::Whisper(_))) {
        same(speaker.hear().await?, step.to_string(), "the next number that the speaker hears")?;
    }
    same(speaker.reply(command).await?.told, Told::Done, "the sequence")?;
    speaker.broadcast("end").await?;
    for client in [&mut second, &mut third] {
        same(client.hear().await?, "end", "what comes after the numbers")?;
    }
    Ok(())
}

/// Commands that are sent without waiting are handled in order, and what they send arrives in order.
async fn many_messages(stage: Stage) -> Outcome {
    const COUNT: usize = 300;
    let group = stage.spread("pair", "many");
    let [mut speaker, mut second, mut third] = group.join_each(["speaker", "second", "third"]).await?;
    let mut commands = Vec::new();
    for number in 0..COUNT {
        let (text, to) = (number.to_string(), Whom::Others);
        let act = if number % 3 == 0 { Act::Confirmed { text, to } } else { Act::Broadcast { text, to } };
        commands.push(speaker.tell(act).await?);
    }
    for client in [&mut second, &mut third] {
        for number in 0..COUNT {
            same(client.hear().await?, number.to_string(), "the next number")?;
        }
    }
    for command in commands {
        speaker.reply(command).await?;
    }
    Ok(())
}

/// Small messages do not overtake a large one.
async fn large_and_small(stage: Stage) -> Outcome {
    let group = stage.spread("single", "sizes");
    let [mut speaker, mut listener] = group.join_each(["speaker", "listener"]).await?;
    for round in 0..10 {
        for length in [1, 100_000, 10, 1_000] {
            let text = format!("{round}{}", "x".repeat(length));
            speaker.tell(Act::Broadcast { text, to: Whom::Others }).await?;
        }
        for length in [1, 100_000, 10, 1_000] {
            let text = listener.hear().await?;
            same((text.len(), &text[..1]), (length + 1, round.to_string().as_str()), "the next message")?;
        }
    }
    Ok(())
}
