//! Which topics have a log in a run, and what it keeps: [`LogsOfRun`].

use std::time::Duration;

use dog::{Log, ROOM};

use super::model::Kept;

/// The topics that something is published to. The last one has no log.
pub(crate) const PUBLISHED: &[&str] = &[ROOM, "a", "b", "c"];

/// Returns the topic of this name.
pub(crate) fn published(name: &str) -> &'static str {
    PUBLISHED.iter().find(|topic| **topic == name).copied().unwrap_or(ROOM)
}

/// The logs of the Groups of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogsOfRun {
    /// What decides which bounds they have.
    seed: u64,
}

impl LogsOfRun {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Which topics have a durable log: all, or some, or none.
    fn is_durable(self, topic: &str) -> bool {
        let durable: &[&str] = match (self.seed / 5) % 6 {
            0 => &[],
            1 => &[ROOM, "b"],
            2 => &["a"],
            3 => &["a", "b"],
            _ => PUBLISHED,
        };
        durable.contains(&topic)
    }

    /// What the Groups keep of a topic.
    pub(crate) fn log(self, topic: &str) -> Log {
        let begin: fn() -> Log = if self.is_durable(topic) { Log::durable } else { Log::memory };
        let short = Duration::from_secs(1 + self.seed % 20);
        match topic {
            ROOM if self.seed.is_multiple_of(2) => begin().age(short),
            ROOM => begin(),
            "a" => begin().publications(4).age(3 * short),
            "b" => begin().publications(1000).age(short),
            _ => Log::none(),
        }
    }

    /// What a log of them keeps. `None`: the topic has none.
    pub(super) fn kept(self, topic: &str) -> Option<Kept> {
        self.log(topic).bounds().map(|bounds| Kept {
            publications: bounds.publications.into(),
            age: bounds.age,
            is_durable: self.log(topic).is_durable(),
        })
    }
}
