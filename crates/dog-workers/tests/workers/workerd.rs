//! A workerd with the Worker of the conformance suite: [`Workerd`].

use std::net::SocketAddr;
use std::path::Path;

use dog_test_support::workerd::{self, Worker, any_port};

pub(crate) use dog_test_support::workerd::Disk;

/// A running workerd. Dropping it kills the process.
pub(crate) struct Workerd(workerd::Workerd);

impl Workerd {
    /// Starts workerd and waits until it listens.
    pub(crate) fn start(disk: &Disk, variables: &[(&str, &str)]) -> Self {
        Self::with(disk, variables, None)
    }

    /// The same. `GET /calls` says how many requests between objects each class has got.
    pub(crate) fn counting(disk: &Disk) -> Self {
        Self::with(disk, &[], Some(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/workers/counting.js"))))
    }

    fn with(disk: &Disk, variables: &[(&str, &str)], wrapper: Option<&Path>) -> Self {
        let groups = &["Single", "Pair", "Octet", "Hall", "Match", "Brief", "Named", "Slow"];
        Self(Worker { folder: "worker", groups, variables, wrapper }.start(disk, any_port()))
    }

    /// Returns the address on which it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address()
    }
}
