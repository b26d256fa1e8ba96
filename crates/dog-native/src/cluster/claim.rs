//! The claims of this node on objects, and how they number the lives of an object.

use dog::Epoch;

/// This node's claim on an object. The epoch of a life consists of the number of the claim and a number within it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClaimedObject {
    claim: u64,
    lives: u64,
    /// Whether a life began since the last check for eviction.
    used: bool,
}

/// The number of low bits of an epoch that number the lives within a claim.
const LIVES: u32 = 20;

impl ClaimedObject {
    pub(crate) fn new(claim: u64) -> Self {
        Self { claim, lives: 0, used: true }
    }

    pub(crate) fn claim(&self) -> u64 {
        self.claim
    }

    /// Returns whether a life began since this was last called.
    pub(crate) fn take_used(&mut self) -> bool {
        std::mem::take(&mut self.used)
    }

    /// Returns the epoch of the next life. Returns `None` if the claim has no numbers left and a new claim is
    /// necessary.
    pub(crate) fn next_epoch(&mut self) -> Option<Epoch> {
        self.used = true;
        self.lives += 1;
        (self.lives < 1 << LIVES).then(|| Epoch::from_raw(self.claim << LIVES | self.lives))
    }
}

/// Returns the claim that an epoch was made from. [`Storage::write`](super::Storage::write) must fail if the object has
/// a later one.
pub fn claim_of(epoch: Epoch) -> u64 {
    epoch.as_u64() >> LIVES
}
