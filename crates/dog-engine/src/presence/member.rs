//! A client where it is present: [`Member`].

use dog::ClientId;
use dog::internal::{PresenceChange, Topic};

use super::rosters::RosterChange;

/// A client in the room, or in a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Member {
    /// `None`: the room.
    pub(super) topic: Option<Topic>,
    pub(super) client: ClientId,
}

impl Member {
    pub(super) fn of_room(client: &ClientId) -> Self {
        Self { topic: None, client: client.clone() }
    }

    pub(super) fn of_topic(topic: &Topic, client: &ClientId) -> Self {
        Self { topic: Some(topic.clone()), client: client.clone() }
    }

    /// A change of this member, where it is.
    pub(super) fn changes(&self, change: PresenceChange) -> RosterChange {
        RosterChange { topic: self.topic.clone(), change }
    }
}
