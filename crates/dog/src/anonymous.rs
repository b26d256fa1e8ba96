//! Clients that are not known yet when their connection opens: [`Anonymous`], and the ids that are generated for them.

use crate::error::{Error, Kind};
use crate::id::{ClientId, RESERVED};
use crate::numbers::Epoch;

/// Follows [`RESERVED`] in the id of a client that [`Socket::assign`](crate::Socket::assign) has to name in time.
const UNTIL_ASSIGNED: char = '?';
/// Follows [`RESERVED`] in the id of a client that may keep it.
const FOR_GOOD: char = '=';

/// For how long a connection may have a generated id. See
/// [`GroupHandle::identify_anonymous`](crate::GroupHandle::identify_anonymous).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Anonymous {
    /// Until [`Socket::assign`](crate::Socket::assign) names the client. A socket that is not assigned within
    /// [`Policy::assign_deadline`](crate::Policy::assign_deadline) (default 10 s) closes with
    /// [`Policy::unassigned_code`](crate::Policy::unassigned_code) (default 1008).
    UntilAssigned,
    /// As long as the connection lasts. Its client may be assigned at any time, or never.
    ForGood,
}

/// For the engine: generated ids.
impl ClientId {
    /// Asks the Group to generate an id.
    #[doc(hidden)]
    pub fn to_be_generated(anonymous: Anonymous) -> Self {
        let kind = match anonymous {
            Anonymous::UntilAssigned => UNTIL_ASSIGNED,
            Anonymous::ForGood => FOR_GOOD,
        };
        Self::reserved(&format!("{RESERVED}{kind}"))
    }

    /// The id that is generated, if one is asked for. The epoch of the Group and the number together are used once.
    #[doc(hidden)]
    pub fn generate(&self, epoch: Epoch, number: impl FnOnce() -> u64) -> Option<Self> {
        let is_asked_for = self.is_anonymous() && self.as_str().len() == 2;
        is_asked_for.then(|| Self::reserved(&format!("{}{}-{}", self.as_str(), epoch.as_u64(), number())))
    }

    /// Whether a socket of this client has to be assigned in time.
    #[doc(hidden)]
    pub fn awaits_assignment(&self) -> bool {
        self.as_str().as_bytes().starts_with(&[RESERVED as u8, UNTIL_ASSIGNED as u8])
    }

    /// The error if this id was generated: an App cannot name a client so.
    pub(crate) fn check_known(&self) -> Result<(), Error> {
        if self.is_anonymous() {
            let text = "the client identifier was generated for an anonymous client: give one of your own";
            return Err(Error::new(Kind::InvalidClient, text));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_identifier_of_an_app_is_a_generated_one() {
        for text in ["\0", "\0?", "\0?1-1", "\0ann"] {
            let error = ClientId::new(text).unwrap_err();
            assert!(error.is_invalid_client() && error.to_string().contains("NUL"), "{error}");
        }
        assert!(!ClientId::new("?1-1").unwrap().is_anonymous());
        assert!(!ClientId::new("a\0").unwrap().is_anonymous());
    }

    #[test]
    fn each_generated_id_is_another_and_says_whether_it_has_to_be_assigned() {
        let epoch = Epoch::from_raw(7);
        let generate = |anonymous, number| ClientId::to_be_generated(anonymous).generate(epoch, || number).unwrap();
        let first = generate(Anonymous::UntilAssigned, 1);
        assert!(first.is_anonymous() && first.awaits_assignment());
        assert_ne!(first, generate(Anonymous::UntilAssigned, 2));
        let kept = generate(Anonymous::ForGood, 1);
        assert!(kept.is_anonymous() && !kept.awaits_assignment());
        assert_eq!(first.generate(epoch, || 3), None, "it is there already");
        assert_eq!(ClientId::new("ann").unwrap().generate(epoch, || 3), None);
        assert!(first.check_known().unwrap_err().is_invalid_client());
    }

    #[test]
    fn a_generated_id_travels() {
        let id = ClientId::to_be_generated(Anonymous::ForGood);
        assert_eq!(serde_json::from_str::<ClientId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
        assert!(serde_json::from_str::<ClientId>("\"\"").is_err());
        let too_long = format!("\"\\u0000{}\"", "x".repeat(crate::MAX_CLIENT_ID));
        assert!(serde_json::from_str::<ClientId>(&too_long).is_err());
    }
}
