//! Logs that begin anew: what the App does with `reset_log` and `purge_log`. Promise 18.

use dog::{Error, Position};

use super::model::Anew;
use super::publisher::Publisher;
use crate::witness::Witness;

/// The commands that let a log begin anew.
pub(crate) const VERBS: &[&str] = &["reset", "purge"];

/// Runs one of the [`VERBS`] on a topic.
pub(super) async fn obey(witness: &Witness, publisher: &impl Publisher, (verb, topic): (&str, &'static str)) {
    let (of, anew) = ((publisher.group(), topic), if verb == "reset" { Anew::Reset } else { Anew::Purge });
    let known = witness.record().logs().begins_anew(of, anew);
    let answer: Result<Option<Position>, Error> = match anew {
        Anew::Reset => publisher.reset(topic).await.map(Some),
        Anew::Purge => publisher.purge(topic).await.map(|()| None),
    };
    let mut record = witness.record();
    let now = record.now_of(of.0);
    let outcome = record.logs().has_begun_anew(of, anew, &known, &answer, now);
    record.check(18, outcome);
}
