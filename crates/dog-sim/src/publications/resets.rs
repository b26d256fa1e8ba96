//! Logs that begin again: what the App does with `reset_log` and `purge_log`. Promise 18.

use dog::{Error, Position};

use super::model::LogReset;
use super::publisher::Publisher;
use crate::witness::Witness;

/// The commands that let a log begin again.
pub(crate) const VERBS: &[&str] = &["reset", "purge"];

/// Runs one of the [`VERBS`] on a topic.
pub(super) async fn obey(witness: &Witness, publisher: &impl Publisher, (verb, topic): (&str, &'static str)) {
    let (of, reset) = ((publisher.group(), topic), if verb == "reset" { LogReset::Reset } else { LogReset::Purge });
    let known = witness.record().logs().begins_again(of, reset);
    let answer: Result<Option<Position>, Error> = match reset {
        LogReset::Reset => publisher.reset(topic).await.map(Some),
        LogReset::Purge => publisher.purge(topic).await.map(|()| None),
    };
    let mut record = witness.record();
    let now = record.now_of(of.0);
    let outcome = record.logs().has_begun_again(of, reset, &known, &answer, now);
    record.check(18, outcome);
}
