//! What the checks find: [`Finding`].

/// One thing that is not as it should be: what kind, where, and how.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    pub(super) kind: &'static str,
    /// What an entry in the list of exceptions names.
    pub(super) key: String,
    /// How many files, fields or lines.
    pub(super) size: usize,
    pub(super) text: String,
}
