//! Faults that a test can plant, to show that the property tests find them. Without `cfg(test)` none can be planted, and the
//! compiler removes the branches.

/// A rule of the cluster that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A node uses its lease to the end: no part is left for clocks that run at different speeds.
    UsesTheWholeLease,
    /// A node measures its lease from the answer to a renewal instead of from before the request.
    CountsFromTheAnswer,
    /// A node deletes a lease whichever renewal is the last.
    DeletesRenewedLeases,
    /// A node takes the owner of an object for dead when it has not heard of it, and does not ask the stream.
    BelievesWhatItHasNotHeard,
    /// A claim does not name the message that it replaces.
    ClaimsWithoutExpectation,
    /// A claim that was made under an earlier lease of this process counts after that lease was lost.
    KeepsClaimsOfAnEarlierLease,
    /// A batch does not name the claim or batch that it replaces.
    WritesWithoutExpectation,
    /// After a conflict, every batch of this node that is stored counts as the one that was sent.
    TakesAnyBatchForItsOwn,
    /// A node stops following the alarms after the first error.
    FollowsAlarmsOnce,
    /// Each process hashes objects in another way.
    HashesDifferentlyInEachProcess,
}

#[cfg(test)]
pub(crate) use planted::{is_planted, plant};

/// Always false outside tests.
#[cfg(not(test))]
pub(crate) const fn is_planted(_: Fault) -> bool {
    false
}

#[cfg(test)]
mod planted {
    use std::cell::Cell;

    use super::Fault;

    thread_local! {
        static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) };
    }

    /// Plants a fault in this thread, or removes it.
    pub(crate) fn plant(fault: Option<Fault>) {
        PLANTED.set(fault);
    }

    /// Whether a test has planted this fault in this thread.
    pub(crate) fn is_planted(fault: Fault) -> bool {
        PLANTED.get() == Some(fault)
    }
}
