//! Storage scripts in scenarios: [`Owner`] is the object that runs them.

use dog::http::StatusCode;

use crate::app::protocol::{Act, Found, Range, StorageStep, Told};
use crate::check::{Outcome, ScenarioFailure, same};
use crate::client::Client;
use crate::stage::TestGroup;

/// The object whose storage it is: a Group, or a Replica of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner {
    Group,
    Replica,
}

impl Owner {
    pub(super) const BOTH: [Self; 2] = [Self::Group, Self::Replica];

    /// Runs a script. Returns the result of each step.
    pub(super) async fn does(self, group: &TestGroup, steps: Vec<StorageStep>) -> Outcome<Vec<Found>> {
        self.does_for(group, "scribe", steps).await
    }

    /// Runs a script that this client sends.
    pub(super) async fn does_for(
        self,
        group: &TestGroup,
        client: &str,
        steps: Vec<StorageStep>,
    ) -> Outcome<Vec<Found>> {
        match self {
            Self::Group => {
                let path = format!("{}&do=storage", group.path("group", client));
                let response = group.request("POST", &path, serde_json::to_vec(&steps)?).await?;
                same(response.status(), StatusCode::OK, "the status of a script")?;
                Ok(serde_json::from_slice(response.body())?)
            }
            Self::Replica => found(group.command(client, Act::Storage { steps }).await?.told),
        }
    }

    /// Runs one step and returns its result.
    pub(super) async fn does_one(self, group: &TestGroup, step: StorageStep) -> Outcome<Found> {
        first(self.does(group, vec![step]).await?)
    }
}

impl Client {
    /// Lets its Replica run a script.
    pub(super) async fn keep(&mut self, steps: Vec<StorageStep>) -> Outcome<Vec<Found>> {
        found(self.ask(Act::Storage { steps }).await?)
    }
}

pub(super) fn found(told: Told) -> Outcome<Vec<Found>> {
    match told {
        Told::Storage { found } => Ok(found),
        other => Err(ScenarioFailure::new(format!("a script was answered with {other:?}"))),
    }
}

pub(super) fn first(found: Vec<Found>) -> Outcome<Found> {
    found.into_iter().next().ok_or_else(|| ScenarioFailure::new("a step has found nothing, not even that"))
}

pub(super) fn get(key: &str) -> StorageStep {
    StorageStep::Get(key.into())
}

pub(super) fn put(key: &str, text: &str) -> StorageStep {
    StorageStep::Put(key.into(), text.into())
}

pub(super) fn delete(key: &str) -> StorageStep {
    StorageStep::Delete(key.into())
}

pub(super) fn unawaited(step: StorageStep) -> StorageStep {
    StorageStep::Unawaited(Box::new(step))
}

/// All entries of scenarios. The entries of the App itself sort after them.
pub(super) fn all() -> Range {
    Range { end: Some(crate::app::protocol::OWN.into()), ..Range::default() }
}

pub(super) fn text(text: &str) -> Found {
    Found::Text(Some(text.into()))
}

pub(super) const NO_TEXT: Found = Found::Text(None);

pub(super) fn entries(entries: &[(&str, &str)]) -> Found {
    Found::Entries(entries.iter().map(|(key, text)| ((*key).into(), (*text).into())).collect())
}
