//! Faults that can be put in, to show that the simulation finds them.

use std::fmt;
use std::str::FromStr;

/// A bug of the npm package `dog`, put in from outside, or, where the engine guards against it, inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bug {
    /// A restarted Group knows nothing of its Replicas.
    ForgottenBooks,
    /// The seat of a client that vanished is never given back.
    LeakedSeat,
    /// A new Replica serves before its siblings know it.
    UnawaitedJoin,
    /// One dead Replica stops a broadcast to all.
    AllOrNothing,
    /// A socket that ends is ended twice. Wants the feature `bugs`.
    DoubleClose,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::ForgottenBooks, Self::LeakedSeat, Self::UnawaitedJoin, Self::AllOrNothing, Self::DoubleClose];

    /// What it is called on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ForgottenBooks => "forgotten-books",
            Self::LeakedSeat => "leaked-seat",
            Self::UnawaitedJoin => "unawaited-join",
            Self::AllOrNothing => "all-or-nothing",
            Self::DoubleClose => "double-close",
        }
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Bug {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|bug| bug.name() == name);
        found.ok_or_else(|| format!("there is no bug \"{name}\"; there are: {}", Self::ALL.map(Self::name).join(", ")))
    }
}
