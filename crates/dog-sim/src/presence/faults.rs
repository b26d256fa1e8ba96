//! What has gone wrong in a run: [`Faults`].

/// What has gone wrong in the run so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Faults {
    /// How many messages were lost or late.
    pub(crate) harmed: u64,
    /// How many cuts there were, unless there is one now.
    pub(crate) cuts: Option<u64>,
    /// How many lives have crashed.
    pub(crate) crashes: u64,
}

impl Faults {
    /// Whether everything has arrived in time since then.
    pub(super) fn all_has_arrived_since(self, then: Self) -> bool {
        self.harmed == then.harmed && self.cuts.is_some() && self.cuts == then.cuts
    }
}
