//! What transactions publish: [`TransactionRecord`].

use dog::GroupId;

/// What a transaction publishes, and what its caller knows of it.
#[derive(Clone, Debug)]
pub(crate) struct TransactionRecord {
    pub(crate) group: GroupId,
    pub(crate) numbers: Vec<u64>,
    pub(crate) outcome: Outcome,
}

/// How a transaction has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It has not, or with an error that does not say whether it was made.
    Unknown,
    Made,
    /// Nothing has happened.
    Refused,
}
