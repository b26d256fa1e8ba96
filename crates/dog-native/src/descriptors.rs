//! The process's limit of file descriptors, and how many of them connections must leave free.
//!
//! Without free descriptors, the storage could not open files, and health checks would be refused, so that the server
//! would look dead. So clients are refused while some descriptors are still free.

use std::os::fd::AsRawFd;
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::repeats::seldom;

/// The most files that the storage keeps open. This is the storage's own default.
const MOST_FILES: u64 = 900;
/// The fewest files that the storage can work with.
const FEWEST_FILES: u64 = 10;
/// The descriptors that are left for everything else: journals, tables that are being written, the address for
/// operators, other nodes, and the App's own files.
const SPARE: std::ops::RangeInclusive<u64> = 32..=128;

/// The limit of the process, and the storage's share of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptors {
    limit: u64,
    files: u64,
}

static TAKEN: OnceLock<Descriptors> = OnceLock::new();

impl Descriptors {
    /// Returns the limits of this process. The first call raises the soft limit to the hard limit, if the system allows
    /// it.
    pub(crate) fn of_process() -> Self {
        *TAKEN.get_or_init(|| {
            let before = getrlimit(Resource::Nofile);
            let raised = Rlimit { current: before.maximum, maximum: before.maximum };
            let limit = match setrlimit(Resource::Nofile, raised) {
                Ok(()) => before.maximum,
                Err(cause) => {
                    tracing::warn!("the limit of open files could not be raised: {cause}");
                    before.current
                }
            };
            Self::of(limit.unwrap_or(u64::MAX))
        })
    }

    fn of(limit: u64) -> Self {
        Self { limit, files: (limit / 8).clamp(FEWEST_FILES, MOST_FILES) }
    }

    /// Returns the number of descriptors that the process may have.
    pub(crate) fn limit(self) -> u64 {
        self.limit
    }

    /// Returns how many files the storage may keep open.
    pub(crate) fn files(self) -> usize {
        usize::try_from(self.files).unwrap_or(usize::MAX)
    }

    /// Returns whether there are enough descriptors for this connection. The system assigns the lowest free number, so
    /// all lower numbers are in use.
    pub(crate) fn allow(self, connection: &impl AsRawFd) -> bool {
        u64::try_from(connection.as_raw_fd()).is_ok_and(|number| number < self.connections())
    }

    /// Logs that a connection was refused because of this limit.
    pub(crate) fn refused(self) {
        seldom!(
            warn,
            "a connection refused, few descriptors left",
            limit = self.limit,
            "refused: few of the files and sockets that the process may have open are left: raise its hard limit (ulimit \
             -n, LimitNOFILE=)"
        );
    }

    fn connections(self) -> u64 {
        let spare = (self.limit / 8).clamp(*SPARE.start(), *SPARE.end());
        self.limit.saturating_sub(self.files + spare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_what_the_rest_needs() {
        for (limit, files, connections) in
            [(64, 10, 22), (256, 32, 192), (1024, 128, 768), (4096, 512, 3456), (1 << 20, 900, (1 << 20) - 1028)]
        {
            let descriptors = Descriptors::of(limit);
            assert_eq!((descriptors.files, descriptors.connections()), (files, connections), "of {limit}");
        }
        let few = Descriptors::of(20);
        assert!(!few.allow(&std::io::stdin()), "there is none for connections");
        assert!(Descriptors::of(1024).allow(&std::io::stdin()));
    }
}
