//! The spans that follow a request from the front to its Group and its Replica, across threads. docs/operating.md lists
//! their names and fields. There is one per request and one per call that follows from it, but none per message, and
//! none at all if no subscriber wants them.

use dog_engine::address::{GroupAddress, ReplicaAddress};
use tracing::{Span, info_span};

/// Returns the span of what a Group does for `parent`.
pub(super) fn group(parent: &Span, group: GroupAddress, act: &'static str) -> Span {
    if parent.is_none() { Span::none() } else { info_span!(parent: parent, "group", id = %group.group, act) }
}

/// Returns the span of what a Replica does for `parent`.
pub(super) fn replica(parent: &Span, replica: ReplicaAddress, act: &'static str) -> Span {
    if parent.is_none() {
        return Span::none();
    }
    info_span!(parent: parent, "replica", id = %replica.replica, group = %replica.group.group, act)
}
