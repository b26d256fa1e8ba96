//! Where a publication stands in the log of its topic: [`Position`]; and what is replayed since one: [`Recovered`].

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Kind};

/// Longest text of a [`LogEpoch`], in bytes.
const MAX_EPOCH: usize = 32;

/// Most digits of an offset in the text of a [`Position`].
const MAX_DIGITS: usize = 16;

/// The name of one unbroken log: 1 to 32 characters of `[A-Za-z0-9_-]`. A topic gets another one only when publications were
/// really lost, or when its log was reset. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogEpoch(Arc<str>);

impl LogEpoch {
    /// The epoch with this name.
    ///
    /// # Errors
    /// [`Kind::InvalidPosition`] if the name is empty, is longer than 32 characters, or has others than `[A-Za-z0-9_-]`.
    pub fn new(name: impl AsRef<str>) -> Result<Self, Error> {
        let name = name.as_ref();
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if (1..=MAX_EPOCH).contains(&name.len()) && name.bytes().all(is_allowed) {
            return Ok(Self(name.into()));
        }
        Err(invalid("the epoch of a log has 1 to 32 characters of A-Z, a-z, 0-9, '_' and '-'"))
    }

    /// An epoch with a name that no other has, if no other was made of this number.
    pub fn from_random(random: u128) -> Self {
        Self(format!("{random:032x}").into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where a publication stands in the log of its topic. The offsets of an epoch begin with 1, and each is one more than the one
/// before. Offset 0 is before the first.
///
/// As text it is `epoch:offset`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    epoch: LogEpoch,
    offset: u64,
}

impl Position {
    /// This offset of this epoch.
    pub const fn new(epoch: LogEpoch, offset: u64) -> Self {
        Self { epoch, offset }
    }

    /// The epoch of the log.
    pub const fn epoch(&self) -> &LogEpoch {
        &self.epoch
    }

    /// The offset.
    pub const fn offset(&self) -> u64 {
        self.offset
    }
}

fn invalid(text: &str) -> Error {
    Error::new(Kind::InvalidPosition, text)
}

impl FromStr for Position {
    type Err = Error;

    /// Reads `epoch:offset`, with an offset of 1 to 16 decimal digits.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || invalid("a position is written as epoch:offset, with an offset of 1 to 16 digits");
        let (epoch, offset) = text.split_once(':').ok_or_else(wrong)?;
        if offset.len() > MAX_DIGITS || !offset.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        Ok(Self { epoch: LogEpoch::new(epoch)?, offset: offset.parse().map_err(|_| wrong())? })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.epoch, self.offset)
    }
}

impl fmt::Display for LogEpoch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for LogEpoch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl Serialize for LogEpoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for LogEpoch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// What [`Socket::resume`](crate::Socket::resume) replays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovered {
    /// How many publications there are since the position.
    pub count: u64,
    /// The position of the last of them, or the one that was given if there are none.
    pub position: Position,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_is_written() {
        for text in ["a:0", "A-z_9:1", &format!("{}:9999999999999999", "e".repeat(32))] {
            assert_eq!(text.parse::<Position>().unwrap().to_string(), text);
        }
        let position = Position::new(LogEpoch::from_random(u128::MAX), 7);
        assert_eq!(position.to_string().parse::<Position>().unwrap(), position);
    }

    #[test]
    fn anything_else_is_refused_with_400() {
        let long = format!("{}:1", "e".repeat(33));
        let wrong =
            ["", ":", "a", "a:", ":1", "a:1:2", "a:+1", "a:-1", "a: 1", "a:1 ", "ä:1", "a.b:1", "a:12345678901234567"];
        for text in wrong.into_iter().chain([long.as_str()]) {
            let error = text.parse::<Position>().unwrap_err();
            assert_eq!(error.status(), http::StatusCode::BAD_REQUEST, "{text}");
        }
    }

    #[test]
    fn an_epoch_that_arrives_is_checked() {
        let read = |name: &str| crate::codec::decode::<LogEpoch>(&crate::codec::encode(&name).unwrap());
        assert_eq!(read("a").unwrap(), LogEpoch::new("a").unwrap());
        assert!(read("a b").unwrap_err().is_encoding());
    }
}
