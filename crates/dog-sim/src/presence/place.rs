//! Where a client can be present in a run: [`Place`].

use std::fmt;

use dog::Topic;

/// The room, or a topic that has a presence.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(Option<&'static str>);

impl Place {
    pub(crate) const ROOM: Self = Self(None);

    /// All of them. Of the topics of a run, one with a log and one without have a presence.
    pub(crate) const ALL: [Self; 3] = [Self::ROOM, Self(Some("a")), Self(Some("c"))];

    /// A topic, if it has a presence.
    pub(crate) fn of_topic(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|place| place.topic() == Some(name))
    }

    /// Where something has changed.
    ///
    /// # Errors
    /// It is a topic without a presence.
    pub(crate) fn of_change(topic: Option<&Topic>) -> Result<Self, String> {
        let Some(topic) = topic else { return Ok(Self::ROOM) };
        Self::of_topic(topic).ok_or_else(|| format!("something is told of {topic:?}, which has no presence"))
    }

    /// Its topic. `None`: it is the room.
    pub(crate) fn topic(self) -> Option<&'static str> {
        self.0
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => formatter.write_str("the room"),
            Some(topic) => write!(formatter, "topic {topic}"),
        }
    }
}
