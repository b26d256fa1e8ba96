//! The spans that follow a request from the front to its Group and its Replica, on all threads that these live on. Their
//! names and fields are in docs/operating.md. There is one for each request and for each call that follows from it, never for a
//! message, and none if no subscriber wants them.

use dog_engine::address::{GroupAddress, ReplicaAddress};
use tracing::{Span, info_span};

/// What a Group does for `parent`.
pub(super) fn group(parent: &Span, group: GroupAddress, act: &'static str) -> Span {
    if parent.is_none() { Span::none() } else { info_span!(parent: parent, "group", id = %group.group, act) }
}

/// What a Replica does for `parent`.
pub(super) fn replica(parent: &Span, replica: ReplicaAddress, act: &'static str) -> Span {
    if parent.is_none() {
        return Span::none();
    }
    info_span!(parent: parent, "replica", id = %replica.replica, group = %replica.group.group, act)
}
