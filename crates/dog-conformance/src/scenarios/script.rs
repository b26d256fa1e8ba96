//! How scenarios have an object do a script on its storage and its alarm: [`Owner`].

use dog::http::StatusCode;

use crate::app::protocol::{Act, Found, Keep, Range, Told};
use crate::check::{Outcome, Trouble, same};
use crate::client::Client;
use crate::stage::Place;

/// Whose storage: a Group's, or that of a Replica of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner {
    Group,
    Replica,
}

impl Owner {
    pub(super) const BOTH: [Self; 2] = [Self::Group, Self::Replica];

    /// What each step has found.
    pub(super) async fn does(self, place: &Place, steps: Vec<Keep>) -> Outcome<Vec<Found>> {
        self.does_for(place, "scribe", steps).await
    }

    /// The same, asked by this client.
    pub(super) async fn does_for(self, place: &Place, client: &str, steps: Vec<Keep>) -> Outcome<Vec<Found>> {
        match self {
            Self::Group => {
                let path = format!("{}&do=keep", place.path("group", client));
                let response = place.request("POST", &path, serde_json::to_vec(&steps)?).await?;
                same(response.status(), StatusCode::OK, "the status of a script")?;
                Ok(serde_json::from_slice(response.body())?)
            }
            Self::Replica => found(place.command(client, Act::Keep { steps }).await?.told),
        }
    }

    /// What one step has found.
    pub(super) async fn does_one(self, place: &Place, step: Keep) -> Outcome<Found> {
        first(self.does(place, vec![step]).await?)
    }
}

impl Client {
    /// Has its Replica do a script.
    pub(super) async fn keep(&mut self, steps: Vec<Keep>) -> Outcome<Vec<Found>> {
        found(self.ask(Act::Keep { steps }).await?)
    }
}

pub(super) fn found(told: Told) -> Outcome<Vec<Found>> {
    match told {
        Told::Kept { found } => Ok(found),
        other => Err(Trouble::new(format!("a script was answered with {other:?}"))),
    }
}

pub(super) fn first(found: Vec<Found>) -> Outcome<Found> {
    found.into_iter().next().ok_or_else(|| Trouble::new("a step has found nothing, not even that"))
}

pub(super) fn get(key: &str) -> Keep {
    Keep::Get(key.into())
}

pub(super) fn put(key: &str, text: &str) -> Keep {
    Keep::Put(key.into(), text.into())
}

pub(super) fn delete(key: &str) -> Keep {
    Keep::Delete(key.into())
}

pub(super) fn unawaited(step: Keep) -> Keep {
    Keep::Unawaited(Box::new(step))
}

/// All that scenarios keep: what the App keeps for itself stands behind.
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
