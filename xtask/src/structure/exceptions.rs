//! What the structure may have beyond its rules, each with a reason. The lists only ever get shorter.

/// Kind, what it is, and why it may stay.
const ALLOWED: &[(&str, &str, &str)] = &[];

/// Whether something of this kind is in the list.
pub(super) fn is_allowed(kind: &str, key: &str) -> bool {
    ALLOWED.iter().any(|(other, allowed, _)| *other == kind && *allowed == key)
}
