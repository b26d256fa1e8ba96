//! How many files and sockets the process may have open, and how many of them connections leave to the rest.
//!
//! A storage that cannot open a file fails, and a probe that is not accepted looks like a server that is dead. So clients
//! are refused while there is still something left for these.

use std::os::fd::AsRawFd;
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::repeats::seldom;

/// Files of the storage that stay open, at most: what the storage would take by itself.
const MOST_FILES: u64 = 900;
/// The fewest that the storage can do with.
const FEWEST_FILES: u64 = 10;
/// What is left for all else: journals, tables being made, the operator's address, other nodes, the App's own files.
const SPARE: std::ops::RangeInclusive<u64> = 32..=128;

/// The process's bound, and who may have how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptors {
    limit: u64,
    files: u64,
}

static TAKEN: OnceLock<Descriptors> = OnceLock::new();

impl Descriptors {
    /// Those of this process. The first who asks raises its soft limit to the hard one, as far as the system lets it.
    pub(crate) fn of_process() -> Self {
        *TAKEN.get_or_init(|| {
            let before = getrlimit(Resource::Nofile);
            let raised = Rlimit { current: before.maximum, maximum: before.maximum };
            let limit = match setrlimit(Resource::Nofile, raised) {
                Ok(()) => before.maximum,
                Err(cause) => {
                    tracing::warn!("the limit of open files stays as it is: {cause}");
                    before.current
                }
            };
            Self::of(limit.unwrap_or(u64::MAX))
        })
    }

    fn of(limit: u64) -> Self {
        Self { limit, files: (limit / 8).clamp(FEWEST_FILES, MOST_FILES) }
    }

    /// How many there are.
    pub(crate) fn limit(self) -> u64 {
        self.limit
    }

    /// How many files of the storage may stay open.
    pub(crate) fn files(self) -> usize {
        usize::try_from(self.files).unwrap_or(usize::MAX)
    }

    /// Whether a connection leaves enough for the rest. The system gives out the lowest number that is free: so all below
    /// it are in use, by whomever.
    pub(crate) fn allow(self, connection: &impl AsRawFd) -> bool {
        u64::try_from(connection.as_raw_fd()).is_ok_and(|number| number < self.connections())
    }

    /// A connection was refused for that.
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
