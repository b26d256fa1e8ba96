//! What the sources may have beyond the rules on structure. The lists only ever get shorter.

use super::finding::Finding;

/// One thing that is allowed.
struct Exception {
    kind: &'static str,
    /// The key of a finding. For a circle it is a prefix that all its files have.
    key: &'static str,
    /// The largest size: how many files, fields or lines.
    size: usize,
    reason: &'static str,
}

const EXCEPTIONS: &[Exception] = &[
    allowed(
        "circle",
        "crates/dog-engine/src/driver/replica/",
        2,
        "a Replica's port calls its driver, which makes the port",
    ),
    allowed("circle", "crates/dog/src/", 3, "Group, Replica and Context name each other in the public API"),
    allowed(
        "field",
        "crates/dog-conformance/src/app/room.rs::Room",
        5,
        "the state of the test App's object, on which its actions act",
    ),
    allowed("field", "crates/dog-native/src/cluster/message.rs::GroupName", 1, "one field, not closed yet"),
    allowed("field", "crates/dog-native/src/cluster/node.rs::Node", 1, "one field, not closed yet"),
    allowed(
        "field",
        "crates/dog-native/src/connection/fan_out.rs::FanOut",
        8,
        "the hot path of the folder works on these fields directly",
    ),
    allowed(
        "field",
        "crates/dog-native/src/connection/fan_out.rs::FanOuts",
        4,
        "the hot path of the folder works on these fields directly",
    ),
    allowed(
        "field",
        "crates/dog-native/src/connection/outbox.rs::Outbox",
        4,
        "the hot path of the folder works on these fields directly",
    ),
    allowed(
        "field",
        "crates/dog-native/src/connection/record.rs::Connection",
        17,
        "the hot path of the folder works on these fields directly",
    ),
    allowed(
        "field",
        "crates/dog-native/src/connection/table.rs::Connections",
        3,
        "the hot path of the folder works on these fields directly",
    ),
    allowed(
        "field",
        "crates/dog-native/src/metrics/counters.rs::Times",
        2,
        "plain figures, which are counted and read in one pass",
    ),
    allowed(
        "field",
        "crates/dog-native/src/metrics/figures.rs::ClassFigures",
        8,
        "plain figures, which are counted and read in one pass",
    ),
    allowed(
        "field",
        "crates/dog-native/src/shared.rs::Shared",
        7,
        "read-only data that all workers of a process share",
    ),
    allowed("field", "crates/dog-native/src/storage/database.rs::Slot", 1, "one field, not closed yet"),
    allowed("field", "crates/dog-native/src/watchdog.rs::Stuck", 1, "one field, not closed yet"),
    allowed(
        "field",
        "crates/dog-native/src/worker/core.rs::Worker",
        11,
        "the list of a worker's objects, which the turn orchestrates",
    ),
    allowed(
        "field",
        "crates/dog-sim/src/record.rs::RunRecord",
        12,
        "what a run has recorded; the checkers read and settle it",
    ),
    allowed(
        "field",
        "crates/dog-sim/src/record.rs::SocketRecord",
        5,
        "what a run has recorded; the checkers read and settle it",
    ),
    allowed(
        "field",
        "crates/dog-workers/src/host.rs::LocalObject",
        3,
        "the host's ports are one file each and share its state",
    ),
    allowed(
        "field",
        "crates/dog-workers/src/host.rs::WorkersHost",
        7,
        "the host's ports are one file each and share its state",
    ),
    allowed(
        "function",
        "crates/dog-engine/src/request.rs::a_host_is_there_once_and_is_one",
        60,
        "a table of hosts, in a test",
    ),
    allowed("name", "Cluster", 2, "the trait of what joins nodes, and the type of the test kit"),
    allowed("name", "Error", 2, "each crate has an error type of its own, as is usual in Rust"),
    allowed("name", "Storage", 2, "the API's handle for a handler, and the backend trait of the native host"),
];

const fn allowed(kind: &'static str, key: &'static str, size: usize, reason: &'static str) -> Exception {
    Exception { kind, key, size, reason }
}

/// Why a finding is allowed; `None` if it is not in the list, or is larger than there.
pub(super) fn reason(finding: &Finding) -> Option<&'static str> {
    EXCEPTIONS.iter().find(|exception| exception.allows(finding)).map(|exception| exception.reason)
}

impl Exception {
    fn allows(&self, finding: &Finding) -> bool {
        let is_same = match self.kind {
            "circle" => finding.key.split(' ').all(|file| file.starts_with(self.key)),
            _ => finding.key == self.key,
        };
        self.kind == finding.kind && is_same && finding.size <= self.size
    }
}

/// The exceptions that nothing needs any more.
pub(super) fn unused(findings: &[Finding]) -> Vec<String> {
    let is_used = |exception: &&Exception| findings.iter().any(|finding| exception.allows(finding));
    let unused = EXCEPTIONS.iter().filter(|exception| !is_used(exception));
    unused.map(|exception| format!("no {} at {} needs an exception any more", exception.kind, exception.key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_is_allowed_within_a_folder_and_up_to_a_size() {
        let exception = Exception { kind: "circle", key: "crates/dog/src/", size: 2, reason: "" };
        let finding = |key: &str, size| Finding { kind: "circle", key: key.to_owned(), size, text: String::new() };
        assert!(exception.allows(&finding("crates/dog/src/a.rs crates/dog/src/b.rs", 2)));
        assert!(!exception.allows(&finding("crates/dog/src/a.rs crates/dog/src/b.rs", 3)));
        assert!(!exception.allows(&finding("crates/dog/src/a.rs crates/dog-sim/src/b.rs", 2)));
    }
}
