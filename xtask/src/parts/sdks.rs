//! The part `sdks`: the channels example as other people's clients see it, with restarts and on two nodes.

use std::path::PathBuf;

use anyhow::Result;
use dog_test_support::nats::PROGRAM;

use super::count::Count;
use super::length::Length;
use super::nats_server;
use crate::provision::{npm, python};
use crate::step::text;
use crate::workspace::Workspace;

const TEST: &[&str] = &["--test", "sdks"];

/// The client, and the WebSocket and the event stream that it uses in node.
const NPM_PACKAGES: &[&str] = &["centrifuge@5.8.0", "ws@8.23.0", "eventsource@2.0.2"];

/// The client for Python, and the library for backends.
const PYTHON_PACKAGES: &[&str] = &["centrifuge-python==0.7.0", "cent==5.2.0"];

/// Tells the tests where the packages of npm are.
const CENTRIFUGE: &str = "DOG_CENTRIFUGE";

/// Tells them which Python has the others.
const PYTHON: &str = "DOG_PYTHON";

/// The folder of the packages, in that of what this program installs.
const FOLDER: &str = "npm-centrifuge";

/// Installs the clients and builds the test.
pub(super) fn prepare(workspace: &Workspace) -> Result<()> {
    npm::packages(&workspace.scratch(FOLDER), NPM_PACKAGES)?;
    programs(workspace)?;
    nats_server(workspace)?;
    workspace.cargo_test().args(TEST).args(["--no-run"]).run()
}

/// Runs the part.
pub(super) fn run(workspace: &Workspace, _: Length) -> Result<String> {
    let folder = workspace.scratch(FOLDER);
    let python = programs(workspace)?.join("python");
    let step = workspace.cargo_test().args(TEST).env(CENTRIFUGE, text(&folder)?).env(PYTHON, text(&python)?);
    let step = step.env(PROGRAM, &nats_server(workspace)?);
    Ok(Count::of(&step.run_and_keep()?).passed())
}

/// The folder with the Python that has the packages, which it installs.
fn programs(workspace: &Workspace) -> Result<PathBuf> {
    let mut programs = PathBuf::new();
    for package in PYTHON_PACKAGES {
        programs = python::package(workspace, package)?;
    }
    Ok(programs)
}
