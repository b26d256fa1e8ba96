//! Promises 12 and 18: what cannot be published is a typed error on every host, and nothing of it is kept.

use dog::{MAX_METADATA, MAX_PUBLICATION, MAX_PUBLICATION_KEY, ROOM};

use super::group_verbs::{BOTH, perform};
use super::scenario::{Scenario, scenario};
use crate::app::protocol::{Act, LogAct, LogTold, Told, Why};
use crate::check::{Outcome, ScenarioFailure, same};
use crate::stage::Stage;

const NO_LOG: &str = "no log";

pub(super) fn scenarios() -> Vec<Scenario> {
    vec![scenario("log_refusals_are_typed_and_keep_nothing", &[12, 18], refusals)]
}

/// What a socket is refused.
fn bad_acts() -> Vec<(LogAct, Why)> {
    let long = |letters| LogAct::PublishLong { topic: ROOM.into(), letters };
    let text = String::from("text");
    let publish = |topic: &str, key: Option<&str>| LogAct::Publish {
        topic: topic.into(),
        text: text.clone(),
        key: key.map(Into::into),
    };
    let confirmed = |topic: &str, key: Option<&str>| LogAct::PublishConfirmed {
        topic: topic.into(),
        text: text.clone(),
        key: key.map(Into::into),
    };
    vec![
        (long([MAX_PUBLICATION + 1, 0, 0]), Why::TooLarge),
        (long([0, MAX_METADATA + 1, 0]), Why::TooLarge),
        (long([0, 0, MAX_PUBLICATION_KEY + 1]), Why::TooLarge),
        (confirmed(ROOM, Some(&"k".repeat(MAX_PUBLICATION_KEY + 1))), Why::TooLarge),
        (publish(ROOM, Some("")), Why::InvalidName),
        (confirmed(ROOM, Some("")), Why::InvalidName),
        (publish("a\nb", None), Why::InvalidTopic),
        (confirmed("a\nb", None), Why::InvalidTopic),
        (publish(NO_LOG, None), Why::NoLog),
        (confirmed(NO_LOG, None), Why::NoLog),
        (LogAct::History { topic: NO_LOG.into(), since: None, newest_first: true, limit: 1 }, Why::NoLog),
    ]
}

/// The errors name `Group::log`, and the socket goes on.
async fn refusals(stage: Stage) -> Outcome {
    let group = stage.pinned("pair", "refusals");
    let mut client = group.join("client").await?;
    for (act, why) in bad_acts() {
        let what = format!("{act:.80?}");
        same(client.refused(Act::Log(act)).await?, why, &what)?;
    }
    for by in BOTH {
        for (topic, letters, why) in
            [("", MAX_PUBLICATION + 1, "TooLarge"), ("a%0Ab", 1, "InvalidTopic"), ("no%20log", 1, "NoLog")]
        {
            let told = perform(&group, by, &format!("refused&topic={topic}&letters={letters}")).await?;
            same(told, format!("{why} {why}"), "what the App and the Group are refused")?;
        }
    }
    let history = LogAct::History { topic: ROOM.into(), since: None, newest_first: true, limit: 9 };
    match client.ask(Act::Log(history)).await? {
        Told::Log { log: LogTold::Page { publications, .. } } => same(publications, vec![], "what is kept")?,
        // The host keeps no log in memory.
        Told::Refused { why: Why::NoLog } => {}
        other => return Err(ScenarioFailure::new(format!("an unexpected history: {other:?}"))),
    }
    client.emit("end").await?;
    same(client.hear_until("end").await?, [""; 0], "what is heard")
}
