//! The number of seats of a Replica: [`Limit`].

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The number of seats of a Replica: open sockets, requests in flight and reserved seats together.
///
/// ```
/// use dog::Limit;
///
/// const SEATS: Limit = Limit::new(50);
/// assert_eq!("50".parse(), Ok(SEATS));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Limit(NonZeroU32);

impl Limit {
    /// `seats` per Replica. For a number from outside, use `try_from` or `parse`.
    ///
    /// # Panics
    /// If `seats` is zero. In a constant this is a compile error.
    pub const fn new(seats: u32) -> Self {
        match NonZeroU32::new(seats) {
            Some(seats) => Self(seats),
            None => panic!("a Limit is at least 1"),
        }
    }

    /// The number of seats.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

/// The error for a number that is no [`Limit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidLimit;

impl fmt::Display for InvalidLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a limit is a whole number from 1 to {}", u32::MAX)
    }
}

impl std::error::Error for InvalidLimit {}

impl TryFrom<u32> for Limit {
    type Error = InvalidLimit;

    fn try_from(seats: u32) -> Result<Self, InvalidLimit> {
        NonZeroU32::new(seats).map(Self).ok_or(InvalidLimit)
    }
}

impl FromStr for Limit {
    type Err = InvalidLimit;

    fn from_str(text: &str) -> Result<Self, InvalidLimit> {
        text.parse::<u32>().map_err(|_| InvalidLimit)?.try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_never_zero() {
        assert_eq!("0".parse::<Limit>(), Err(InvalidLimit));
        assert_eq!("-1".parse::<Limit>(), Err(InvalidLimit));
        assert_eq!("2".parse::<Limit>(), Ok(Limit::new(2)));
        assert!(Limit::try_from(0).is_err());
    }
}
