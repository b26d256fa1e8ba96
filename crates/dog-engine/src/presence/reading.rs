//! What is answered to those who ask who is in a Group: [`read`].

use dog::internal::{GroupVerb, PresenceCursor, PresenceVersion, VerbAnswer};

use super::PresenceBounds;
use super::roster::{PresenceKey, Roster};
use super::rosters::Rosters;

/// The most bytes of one page.
const MOST_BYTES: usize = 256 * 1024;

/// Whether the verb asks who is in the Group.
pub const fn is_reading(verb: &GroupVerb) -> bool {
    matches!(verb, GroupVerb::Presence { .. } | GroupVerb::PresenceCounts { .. })
}

/// The answer of one who knows this version. `None`: the verb asks for something else.
pub fn read(verb: &GroupVerb, rosters: &Rosters, version: PresenceVersion) -> Option<VerbAnswer> {
    match verb {
        GroupVerb::Presence { topic, after, limit, feature } => {
            let after = after.clone().map(|PresenceCursor { client, connection }| PresenceKey { client, connection });
            let bounds = PresenceBounds { changes: *limit as usize, bytes: MOST_BYTES };
            let roster = rosters.of(topic.as_ref());
            let page = |roster: &Roster| roster.page(after.as_ref(), bounds);
            let (entries, next) = roster.map(page).unwrap_or_default();
            let next = next.map(|PresenceKey { client, connection }| PresenceCursor { client, connection });
            Some(VerbAnswer::Presence { version: Some(version), entries, next, feature: *feature })
        }
        GroupVerb::PresenceCounts { topic, feature } => {
            Some(VerbAnswer::PresenceCounts(*feature, rosters.counts(topic.as_ref())))
        }
        _ => None,
    }
}
