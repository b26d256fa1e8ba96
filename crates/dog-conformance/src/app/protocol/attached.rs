//! The structured value of attachments and storage entries.

use serde::{Deserialize, Serialize};

/// A structured value to attach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// Text.
    pub name: String,
    /// A number.
    pub visits: u64,
    /// Nested.
    pub tags: Vec<Option<String>>,
}
