//! A server whose instructions are counted: [`CountedServer`]. valgrind's callgrind runs it, some fifty times slower.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::load::connect::Endpoint;

use super::process::ServerProcess;

/// The beginning of the names of callgrind's files.
const FILE: &str = "out";

/// A server that callgrind runs.
pub struct CountedServer {
    server: ServerProcess,
    /// Where callgrind writes when the server ends: a file per thread.
    folder: PathBuf,
}

/// The instructions of each thread, in the order in which the threads began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadInstructions(Vec<u64>);

impl ThreadInstructions {
    /// Those of the busiest thread that were executed beyond `earlier`, a shorter run of the same program: the thread whose
    /// count has grown most.
    pub fn busiest_beyond(&self, earlier: &Self) -> u64 {
        let grown = self.0.iter().zip(&earlier.0).map(|(all, earlier)| all.saturating_sub(*earlier));
        grown.max().unwrap_or_default()
    }
}

impl CountedServer {
    /// Starts it. `scratch` is a folder for what callgrind writes.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(
        bench: &Path,
        processors: &[usize],
        valgrind: &Path,
        program: &Path,
        arguments: &[&str],
        scratch: &Path,
    ) -> Result<Self> {
        let folder = scratch.join("callgrind");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let file = format!("--callgrind-out-file={}", folder.join(FILE).display());
        let program_path = program.to_str().context("a path is not UTF-8")?;
        let own = ["--tool=callgrind", "--separate-threads=yes", "--quiet", &file, program_path];
        let arguments: Vec<&str> = own.into_iter().chain(arguments.iter().copied()).collect();
        Ok(Self { server: ServerProcess::start(bench, processors, valgrind, &arguments)?, folder })
    }

    /// How to connect to it.
    pub fn endpoint(&self) -> Endpoint {
        self.server.address().into()
    }

    /// Stops it, and gives the instructions that its threads have executed in user mode from its start to its end.
    ///
    /// # Errors
    /// When it does not end, or callgrind has written no sum.
    pub fn stop(self) -> Result<ThreadInstructions> {
        self.server.stop()?;
        // Threads are numbered from 01. A thread that takes the place of one that has ended gets its number.
        let files =
            (1..).map(|number| self.folder.join(format!("{FILE}-{number:02}"))).take_while(|file| file.is_file());
        let count = |file: PathBuf| {
            let written = fs::read_to_string(&file)?;
            total(&written).with_context(|| format!("there is no sum in {}", file.display()))
        };
        let threads = files.map(count).collect::<Result<Vec<_>>>()?;
        ensure!(!threads.is_empty(), "callgrind has written nothing");
        Ok(ThreadInstructions(threads))
    }
}

/// From `totals: 1234`. The other sum in the file, `summary`, lacks what has not been written before.
fn total(written: &str) -> Option<u64> {
    written.lines().find_map(|line| line.strip_prefix("totals:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_found_in_what_callgrind_writes() {
        assert_eq!(total("version: 1\nevents: Ir\nsummary: 0\n\nfn=(1)\n0 5\n\ntotals: 4711\n"), Some(4711));
        assert_eq!(total("version: 1\nevents: Ir\n"), None);
    }

    #[test]
    fn a_thread_that_works_for_itself_does_not_count() {
        let [few, many] = [[9, 70, 100], [9, 90, 400]].map(|threads| ThreadInstructions(threads.to_vec()));
        assert_eq!(many.busiest_beyond(&few), 300);
        assert_eq!(few.busiest_beyond(&ThreadInstructions::default()), 0);
    }
}
