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

    /// Stops it, and gives the instructions that its workers have executed in user mode from its start to its end. Its other
    /// threads do not count: those of the storage work for themselves, and some of them more when the machine is busy.
    ///
    /// # Errors
    /// When it does not end, or no thread has sent anything.
    pub fn stop(self) -> Result<u64> {
        self.server.stop()?;
        // Threads are numbered from 01. A thread that takes the place of one that has ended gets its number.
        let files =
            (1..).map(|number| self.folder.join(format!("{FILE}-{number:02}"))).take_while(|file| file.is_file());
        let mut workers = 0;
        for file in files {
            let written = fs::read_to_string(&file)?;
            if sends(&written) {
                workers += total(&written).with_context(|| format!("there is no sum in {}", file.display()))?;
            }
        }
        ensure!(workers > 0, "no thread of it has sent anything, says what callgrind has written");
        Ok(workers)
    }
}

/// Whether the thread has called the C library's `send`: workers alone do that. The first mention of a function has its name:
/// `fn=(12) send`, or `cfn=` where it is called.
fn sends(written: &str) -> bool {
    written.lines().any(|line| line.contains("fn=(") && line.ends_with(") send"))
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
    fn a_worker_is_a_thread_that_sends() {
        assert!(sends("fl=(3)\nfn=(7) flush\ncfi=(9) send.c\ncfn=(8) send\ncalls=1 24 \n"));
        assert!(!sends("fl=(3) send.c\nfn=(7) flume::send\nfn=(8) resend\n"));
    }
}
