//! A workerd with the Worker of the conformance suite: [`Workerd`].

use std::net::SocketAddr;

use dog_test_support::workerd::{self, Worker, any_port};

pub(crate) use dog_test_support::workerd::Disk;

/// A running one; dropped, it is killed.
pub(crate) struct Workerd(workerd::Workerd);

impl Workerd {
    /// Starts one and waits until it listens.
    pub(crate) fn start(disk: &Disk, variables: &[(&str, &str)]) -> Self {
        let groups = &["Single", "Pair", "Octet", "Hall", "Brief", "Named", "Slow"];
        Self(Worker { groups, variables }.start(disk, any_port()))
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address()
    }
}
