//! Fields of a configuration that this program does not know: each is warned of once, and the rest works.

use std::collections::BTreeMap;

use serde_json::Value;

/// The paths of the fields, with a prefix.
pub(crate) fn paths<'a>(prefix: &'a str, unknown: &'a BTreeMap<String, Value>) -> impl Iterator<Item = String> + 'a {
    unknown.keys().map(move |name| if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") })
}
