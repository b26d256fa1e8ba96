//! Counts how often each promise was checked, because a checker that never runs finds nothing.

use std::fmt;
use std::ops::AddAssign;

/// The highest number of a promise in DESIGN.md.
const PROMISES: usize = 22;

/// A promise that was broken.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) promise: u8,
    pub(crate) what: String,
}

/// How often each promise was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checks([u64; PROMISES + 1]);

impl Checks {
    /// Returns how often this promise was checked.
    #[must_use]
    pub fn of(&self, promise: u8) -> u64 {
        self.0.get(usize::from(promise)).copied().unwrap_or_default()
    }

    pub(crate) fn count(&mut self, promise: u8) {
        if let Some(checks) = self.0.get_mut(usize::from(promise)) {
            *checks += 1;
        }
    }
}

impl AddAssign for Checks {
    fn add_assign(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, checks)| *sum += checks);
    }
}

impl fmt::Display for Checks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checked = self.0.iter().enumerate().filter(|(_, checks)| **checks > 0);
        let all: Vec<String> = checked.map(|(promise, checks)| format!("{promise}: {checks}")).collect();
        formatter.write_str(&all.join(", "))
    }
}
