//! What a Replica is told to do with its tasks and timers: [`TaskAct`].

use serde::{Deserialize, Serialize};

/// A command about tasks and timers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskAct {
    /// Spawn a task with an interval. With each tick it counts one more under its name, and emits [`ticked`].
    Tick {
        /// Its name.
        name: String,
        /// The period, in milliseconds.
        millis: u64,
    },
    /// Return how often tasks of this name have ticked, in all lives of all objects of this thread.
    Ticks {
        /// The name.
        name: String,
    },
    /// Spawn a task that emits [`waiting`](super::waiting) and waits at a gate of this Replica.
    Wait {
        /// The gate.
        gate: String,
    },
    /// Spawn a task that sleeps for a moment, then panics with this text.
    Panic {
        /// The text, which clients must not see.
        text: String,
    },
    /// Tick three times, with a pause after the first tick.
    Skip {
        /// The period, in milliseconds.
        period: u64,
        /// The pause, in milliseconds.
        pause: u64,
    },
    /// Wait at a gate, but not longer than this.
    Timeout {
        /// The gate.
        gate: String,
        /// In milliseconds.
        millis: u64,
    },
    /// Spawn tasks until one is refused, then abort them all and wait until they have ended.
    Fill,
    /// Spawn a task and await what it returns.
    Return {
        /// What.
        value: u64,
    },
}

/// What a task with an interval emits.
pub fn ticked(name: &str) -> String {
    format!("tick of {name}")
}
