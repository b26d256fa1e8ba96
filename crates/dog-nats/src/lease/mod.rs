//! A node's lease is one message, which the node replaces after each third of the lease time. It shows that the node is
//! alive, where other nodes reach it, and which versions of the node protocol it supports.
//!
//! No wall clock decides when a lease ends, because the clocks of NATS servers may be wrong. Each other node measures
//! the time since it received the last renewal, and deletes the lease if the whole lease time passes without one. The
//! deletion names the renewal that it replaces, so it fails if there is a later renewal. The node itself stops earlier.
//! It measures from before it sent the renewal, by a clock that also runs while the machine sleeps. It leaves a fifth
//! of the time as a margin for clocks that run at different speeds.
//!
//! - [`LeaseStore`]: the leases in their stream
//! - [`LeaseDeadline`]: the time until which this node may act
//! - [`LeaseKeeper`]: acquires a lease and renews it

mod deadline;
mod keeper;
mod store;

use std::net::SocketAddr;
use std::time::Duration;

use dog_native::cluster::Versions;
use serde::{Deserialize, Serialize};

pub(crate) use deadline::LeaseDeadline;
pub(crate) use keeper::{LeaseKeeper, Renewal};
pub(crate) use store::{LeaseChange, LeaseStore};

/// The content of a node's lease. The names of the fields are part of the wire format.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Lease {
    /// Where the node listens for other nodes.
    address: SocketAddr,
    /// The oldest version of the node protocol that the node supports. Releases that support only one version read only
    /// this field.
    version: u8,
    /// The newest version. `None` from a release that supports only one.
    #[serde(default)]
    newest: Option<u8>,
    /// A random text that identifies this renewal.
    nonce: String,
    /// The lease time in seconds. `None` from a release whose leases expire in the stream by themselves. Other nodes do
    /// not delete those.
    #[serde(default)]
    seconds: Option<u64>,
    /// A random text that identifies the process that wrote it.
    #[serde(default)]
    writer: String,
}

impl Lease {
    pub(crate) fn new(address: SocketAddr, versions: Versions, time: Duration, process: &str) -> Self {
        Self {
            address,
            version: versions.oldest,
            newest: Some(versions.newest),
            nonce: String::new(),
            seconds: Some(time.as_secs()),
            writer: process.to_owned(),
        }
    }

    /// Returns the address on which the node listens for other nodes.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the versions of the node protocol that it supports.
    pub(crate) fn versions(&self) -> Versions {
        Versions { oldest: self.version, newest: self.newest.unwrap_or(self.version) }
    }

    /// Returns the time after which other nodes delete the lease if it is not renewed. `None`: it expires by itself.
    pub(crate) fn time(&self) -> Option<Duration> {
        self.seconds.map(Duration::from_secs)
    }

    /// Returns the random text of the process that wrote it.
    pub(crate) fn process(&self) -> &str {
        &self.writer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_that_speak_one_version_read_the_leases_of_later_ones_and_are_read() {
        let versions = Versions { oldest: 2, newest: 3 };
        let lease = Lease::new(([127, 0, 0, 1], 1).into(), versions, Duration::from_secs(15), "this");
        let written = serde_json::to_value(&lease).unwrap();
        assert_eq!(written["version"], 2, "an earlier release compares this with its own version");
        let earlier = serde_json::json!({ "address": "127.0.0.1:1", "version": 2, "nonce": "" });
        let earlier: Lease = serde_json::from_value(earlier).unwrap();
        assert_eq!(earlier.time(), None, "it expires by itself");
        assert_eq!(earlier.versions(), Versions { oldest: 2, newest: 2 });
    }
}
