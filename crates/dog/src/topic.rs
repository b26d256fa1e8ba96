//! The names of topics: [`Topic`]. The methods that use them are in `subscriptions`.

#[cfg(feature = "topics")]
mod subscriptions;

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Kind};
use crate::features::Topics;

/// Longest name of a topic, in bytes.
pub const MAX_TOPIC: usize = 256;

/// Most topics of one socket.
pub const MAX_TOPICS: usize = 128;

/// Most bytes in the names of all topics of one socket.
pub const MAX_TOPIC_BYTES: usize = 8 * 1024;

/// The name of a topic: a subset of a Group's sockets, which [subscribe](crate::Socket::subscribe) to it.
///
/// It has 1 to 256 bytes and no control characters. Cloning is cheap. The verbs take names as `&str` and check them; make a
/// `Topic` to check a name earlier, for example that of a request before it takes a seat:
///
/// ```
/// use dog::Topic;
///
/// let topic = Topic::new("scores/tennis")?;
/// assert_eq!(&*topic, "scores/tennis");
/// assert!(Topic::new("two\nlines").unwrap_err().is_invalid_topic());
/// # Ok::<(), dog::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(Arc<str>, Topics);

impl Topic {
    /// The topic with this name.
    ///
    /// # Errors
    /// [`Error::is_invalid_topic`] if the name is empty, is longer than 256 bytes, or contains a control character. Returned
    /// from [`App::fetch`](crate::App::fetch), the error answers with 400 and its text.
    pub fn new(name: impl AsRef<str>) -> Result<Self, Error> {
        let name = name.as_ref();
        check_topic(name)?;
        let Some(topics) = Topics::get() else { return Err(Error::new(Kind::InvalidTopic, "there are no topics")) };
        Ok(Self(name.into(), topics))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks a name without making a [`Topic`] of it.
pub(crate) fn check_topic(name: &str) -> Result<(), Error> {
    let length = name.len();
    let wrong = match length {
        0 => "the name of the topic is empty: pass 1 to 256 bytes".to_owned(),
        1..=MAX_TOPIC if name.chars().any(char::is_control) => {
            "the name of the topic contains a control character: pass printable text".to_owned()
        }
        1..=MAX_TOPIC => return Ok(()),
        _ => format!("the name of the topic is {length} bytes long: pass 1 to 256 bytes"),
    };
    Err(Error::new(Kind::InvalidTopic, wrong))
}

impl FromStr for Topic {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::new(name)
    }
}

impl Deref for Topic {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Topic {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

impl Serialize for Topic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Topic {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[cfg(feature = "topics")]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_1_to_256_bytes_without_control_characters() {
        for good in ["a", "scores/tennis", "über alles", &"x".repeat(256), "💬"] {
            assert_eq!(&*Topic::new(good).unwrap(), good);
        }
        for bad in ["", &"x".repeat(257), "a\0b", "a\nb", "\u{7f}", "\u{85}"] {
            assert!(Topic::new(bad).unwrap_err().is_invalid_topic(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_that_arrives_is_checked() {
        let read = |name: &str| crate::codec::decode::<Topic>(&crate::codec::encode(&name).unwrap());
        assert_eq!(read("a").unwrap(), Topic::new("a").unwrap());
        assert!(read("\n").unwrap_err().is_encoding());
    }
}
