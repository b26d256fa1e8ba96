//! In which of several forms a socket gets publications: [`Format`].

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of formats: 8.
pub const MAX_FORMATS: u8 = 8;

/// In which form a socket gets publications. An App gives the numbers 0 to 7 their meaning: one per version of its protocol, or one
/// for JSON and one for Protobuf. A socket has the format that [`Accept::format`](crate::Accept::format) has chosen, or number 0,
/// and [`Replica::render`](crate::Replica::render) writes publications in it.
///
/// ```
/// use dog::Format;
///
/// const JSON: Format = Format::DEFAULT;
/// const PROTOBUF: Format = Format::new(1);
/// assert_ne!(JSON, PROTOBUF);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Format(u8);

impl Format {
    /// Number 0: the format of every socket for which no other was chosen.
    pub const DEFAULT: Self = Self(0);

    /// The format with this number, 0 to 7.
    ///
    /// # Panics
    /// If the number is 8 or more. In a constant this is a compile error.
    pub const fn new(number: u8) -> Self {
        assert!(number < MAX_FORMATS, "a Format is 0 to 7");
        Self(number)
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The format with a number that was stored.
    #[doc(hidden)]
    pub const fn from_stored(number: u8) -> Self {
        Self(number % MAX_FORMATS)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}
