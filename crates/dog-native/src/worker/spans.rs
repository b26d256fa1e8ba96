//! The spans that follow a request from the front to its Group and its Replica, on whatever threads those live. Their
//! names and fields are in docs/operating.md. One is made a request and one a call that follows from it, never one a
//! message; none where no subscriber wants them.

use dog::Request;
use dog_engine::address::{GroupAddress, ReplicaAddress};
use tracing::{Span, info_span};

use super::Worker;

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

impl Worker {
    /// The span of a request from outside. The path is there, the query is not: people put secrets into it.
    pub(crate) fn request_span(&self, request: &Request) -> Span {
        if tracing::level_filters::LevelFilter::current() < tracing::Level::INFO {
            return Span::none();
        }
        // Unlike any other of this process: every worker counts in steps of their number.
        let number = self.next_request.get();
        self.next_request.set(number + self.shared.post.workers() as u64);
        info_span!("request", number, method = %request.method(), path = request.uri().path())
    }
}
