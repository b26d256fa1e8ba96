//! Whether a Group has a presence, and its times: [`Presence`].

use std::time::Duration;

use crate::features::Presences;

/// The shortest tick: 10 ms.
const SHORTEST_TICK: Duration = Duration::from_millis(10);

/// The longest grace time: an hour.
const LONGEST_GRACE: Duration = Duration::from_secs(3600);

/// That a Group knows who is in it, and tells it: [`Policy::presence`](crate::Policy::presence).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    grace: Duration,
    tick: Duration,
    feature: Presences,
}

impl Presence {
    /// A presence with a grace time of 5 s and a tick of 100 ms. `None`: the feature is off.
    #[doc(hidden)]
    pub const fn of_feature() -> Option<Self> {
        match Presences::get() {
            Some(feature) => Some(Self { grace: Duration::from_secs(5), tick: Duration::from_millis(100), feature }),
            None => None,
        }
    }

    /// How long a client stays after its last connection. Default 5 s, an hour at most. A client that comes back within it has
    /// neither left nor arrived.
    #[must_use]
    pub fn grace(self, grace: Duration) -> Self {
        Self { grace: grace.min(LONGEST_GRACE), ..self }
    }

    /// How long changes are collected before they are told. Default 100 ms, 10 ms at least.
    #[must_use]
    pub fn tick(self, tick: Duration) -> Self {
        Self { tick: tick.max(SHORTEST_TICK), ..self }
    }

    #[doc(hidden)]
    pub const fn grace_time(&self) -> Duration {
        self.grace
    }

    #[doc(hidden)]
    pub const fn tick_time(&self) -> Duration {
        self.tick
    }

    #[doc(hidden)]
    pub const fn feature(&self) -> Presences {
        self.feature
    }
}

/// A grace time of 5 s and a tick of 100 ms.
#[cfg(feature = "presence")]
impl Default for Presence {
    fn default() -> Self {
        Self::of_feature().unwrap_or_else(|| unreachable!("the feature is on"))
    }
}
