//! The ids of Groups, Replicas and clients.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::error::{Error, Kind};

mod place;

pub use place::{Jurisdiction, Place, Region};

/// How every generated client identifier begins. No identifier of an App can begin like this.
pub(crate) const RESERVED: char = '\0';

/// Longest client identifier, in bytes.
pub const MAX_CLIENT_ID: usize = 256;

/// The hexadecimal digits of an id. Ids travel as text between objects, and formatting them byte by byte was most of the
/// cost of writing a message.
fn digits(bytes: &[u8; 32]) -> [u8; 64] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    std::array::from_fn(|at| {
        let byte = bytes[at / 2];
        DIGITS[usize::from(if at % 2 == 0 { byte >> 4 } else { byte & 0x0F })]
    })
}

/// An id of 32 bytes, written as 64 hexadecimal digits. The code is the same for every kind of object; the types keep the
/// kinds apart.
macro_rules! object_id {
    ($(#[$doc:meta])* $name:ident, $domain:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The id that belongs to `name` in `class`. It is the same on every host and in every release.
            pub fn from_name(class: &str, name: &str) -> Self {
                let mut hash = Sha256::new();
                // The length separates class and name, so that different pairs give different input.
                hash.update(concat!("dog ", $domain, "\0"));
                hash.update((class.len() as u64).to_be_bytes());
                hash.update(class);
                hash.update(name);
                Self(hash.finalize().into())
            }

            #[doc(hidden)]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(std::str::from_utf8(&digits(&self.0)).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            /// The first eight digits, which are enough to tell ids apart in a log.
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!(stringify!($name), "("))?;
                self.0[..4].iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))?;
                formatter.write_str("…)")
            }
        }

        impl FromStr for $name {
            type Err = Error;

            /// # Errors
            /// When `text` is not 64 hexadecimal digits ([`Error::is_invalid_id`]).
            fn from_str(text: &str) -> Result<Self, Error> {
                let invalid = || Error::new(Kind::InvalidId, concat!("a ", stringify!($name), " is 64 hexadecimal digits"));
                let digits = text.as_bytes();
                if digits.len() != 64 {
                    return Err(invalid());
                }
                let mut bytes = [0; 32];
                for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
                    let high = (pair[0] as char).to_digit(16).ok_or_else(invalid)?;
                    let low = (pair[1] as char).to_digit(16).ok_or_else(invalid)?;
                    *byte = u8::try_from(high * 16 + low).map_err(|_| invalid())?;
                }
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

object_id! {
    /// The id of a [`Group`](crate::Group), derived from its name.
    ///
    /// ```
    /// use dog::GroupId;
    /// let id = GroupId::from_name("lobby", "lobby-id");
    /// assert_eq!(id, id.to_string().parse()?);
    /// # Ok::<(), dog::Error>(())
    /// ```
    GroupId, "group"
}

object_id! {
    /// The id of a [`Replica`](crate::Replica): unique by default, or derived from a name by
    /// [`Group::clusterize`](crate::Group::clusterize).
    ReplicaId, "replica"
}

/// The identifier of a client, chosen by your App: from a session, a token or the query.
///
/// It has 1 to 256 bytes, and does not begin with a NUL character. Several connections may share it; a whisper reaches all of them. Cloning is cheap.
///
/// ```
/// let ann = dog::ClientId::new("ann")?;
/// assert_eq!(ann.as_str(), "ann");
/// # Ok::<(), dog::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(Arc<str>);

impl ClientId {
    /// The client with this identifier.
    ///
    /// # Errors
    /// [`Error::is_invalid_client`] if it is empty, longer than 256 bytes, or begins with a NUL character. Returned from
    /// [`App::fetch`](crate::App::fetch), the error answers with 400 and its text.
    pub fn new(identifier: impl AsRef<str>) -> Result<Self, Error> {
        let identifier = identifier.as_ref();
        if identifier.starts_with(RESERVED) {
            let text = "the client identifier begins with a NUL character, which is reserved";
            return Err(Error::new(Kind::InvalidClient, text));
        }
        Self::of_any_kind(identifier)
    }

    /// Also one that was generated.
    ///
    /// # Errors
    /// If it is empty or longer than 256 bytes.
    #[doc(hidden)]
    pub fn of_any_kind(identifier: &str) -> Result<Self, Error> {
        let length = identifier.len();
        match length {
            0 => Err(Error::new(Kind::InvalidClient, "the client identifier is empty: pass 1 to 256 bytes")),
            1..=MAX_CLIENT_ID => Ok(Self(identifier.into())),
            _ => Err(Error::new(
                Kind::InvalidClient,
                format!("the client identifier is {length} bytes long: pass 1 to 256 bytes"),
            )),
        }
    }

    pub(crate) fn reserved(identifier: &str) -> Self {
        Self(identifier.into())
    }

    /// Whether the identifier was generated for a client that is not known: see
    /// [`GroupHandle::identify_anonymous`](crate::GroupHandle::identify_anonymous). Nothing else is to be read from such an
    /// identifier.
    pub fn is_anonymous(&self) -> bool {
        self.0.starts_with(RESERVED)
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClientId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::new(text)
    }
}

impl AsRef<str> for ClientId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

impl Serialize for ClientId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ClientId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Objects send generated identifiers to each other. `identify` and `assign` accept none.
        Self::of_any_kind(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_from_names_are_apart_by_class_kind_and_name() {
        let id = GroupId::from_name("lobby", "a");
        assert_eq!(id, GroupId::from_name("lobby", "a"));
        assert_ne!(id, GroupId::from_name("lobby", "b"));
        assert_ne!(id, GroupId::from_name("lobb", "ya"));
        assert_ne!(id.as_bytes(), ReplicaId::from_name("lobby", "a").as_bytes());
    }

    #[test]
    fn ids_read_what_they_write_and_refuse_the_rest() {
        let id = ReplicaId::from_name("room", "1");
        assert_eq!(id.to_string().len(), 64);
        assert_eq!(id.to_string().parse::<ReplicaId>().unwrap(), id);
        for bad in ["", "12", &"g".repeat(64), &"ä".repeat(32)] {
            assert!(bad.parse::<ReplicaId>().unwrap_err().is_invalid_id(), "{bad}");
        }
    }

    #[test]
    fn a_client_identifier_is_1_to_256_bytes() {
        assert!(ClientId::new("").unwrap_err().is_invalid_client());
        assert_eq!(ClientId::new("x".repeat(256)).unwrap().as_str().len(), 256);
        assert!(ClientId::new("x".repeat(257)).unwrap_err().to_string().contains("257 bytes"));
    }
}
