//! Faults that a test can plant, to show that the property tests find them. Without `cfg(test)` no fault can be
//! planted, and the compiler removes the branches.

/// A rule of the cluster that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A node uses its whole lease and leaves no margin for clocks that run at different speeds.
    UsesTheWholeLease,
    /// A node measures its lease from the answer to a renewal, instead of from before the request.
    CountsFromTheAnswer,
    /// A node deletes another node's lease even if it was renewed.
    DeletesRenewedLeases,
    /// A node takes an object's owner for dead if it does not know that node, and does not check the stream.
    BelievesWhatItHasNotHeard,
    /// A claim does not name the message that it replaces.
    ClaimsWithoutExpectation,
    /// A claim that this process made under an earlier lease stays valid after that lease was lost.
    KeepsClaimsOfAnEarlierLease,
    /// A batch does not name the claim or batch that it replaces.
    WritesWithoutExpectation,
    /// After a conflict, any stored batch of this node counts as the one that was sent.
    TakesAnyBatchForItsOwn,
    /// A node stops following the alarms after the first error.
    FollowsAlarmsOnce,
    /// Each process hashes objects differently.
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

    /// Plants a fault in this thread. `None` removes it.
    pub(crate) fn plant(fault: Option<Fault>) {
        PLANTED.set(fault);
    }

    /// Whether a test has planted this fault in this thread.
    pub(crate) fn is_planted(fault: Fault) -> bool {
        PLANTED.get() == Some(fault)
    }
}
