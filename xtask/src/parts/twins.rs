//! An App with two Groups of one name must not compile for any host. Some targets contain such an App with `--cfg twins`.

use std::fs::{self, File};

use anyhow::{Result, ensure};

use crate::provision::write_program;
use crate::step::{Step, text};
use crate::workspace::Workspace;

/// The tests with such an App, in two packages.
const TESTS: &[&str] = &["twins", "tracing"];

/// Checks it for the hosts that are not Workers. A wrapper of the compiler adds the flag to all packages of the workspace:
/// `cargo rustc` would add it to one target only, but builds one package, and many dependencies again with other features.
pub(super) fn are_refused(workspace: &Workspace) -> Result<()> {
    fs::create_dir_all(workspace.scratch(""))?;
    let wrapper = workspace.scratch("twins-rustc");
    write_program(&wrapper, "#!/bin/sh\nexec \"$@\" --cfg twins\n")?;
    let tests = TESTS.iter().flat_map(|test| ["--test", test]);
    // The flag compiles the engine again. Nothing of it runs.
    let quick = ["--config", "profile.dev.package.durable-object-groups-engine.opt-level=0"];
    let build = workspace.cargo_build().args(quick).args(["--keep-going"]).args(tests);
    check(workspace, build.env("RUSTC_WORKSPACE_WRAPPER", text(&wrapper)?), TESTS.len())
}

/// Checks it for a Worker, which `cargo rustc` builds with this step.
pub(super) fn are_refused_by(workspace: &Workspace, step: Step) -> Result<()> {
    check(workspace, step.args(["--", "--cfg", "twins"]), 1)
}

/// The build must fail, with so many errors and for this reason only.
fn check(workspace: &Workspace, build: Step, count: usize) -> Result<()> {
    fs::create_dir_all(workspace.scratch(""))?;
    let log = workspace.scratch("twins.log");
    let status = build.errors_to(File::create(&log)?).run_to_end()?;
    let log = fs::read_to_string(&log)?;
    let errors = log.lines().filter(|line| line.starts_with("error[")).count();
    let reasons = log.matches("have the same Group::NAME").count();
    let is_refused = !status.success() && errors == count && reasons >= count;
    ensure!(is_refused, "two Groups of one name must be the only error, {count} times:\n{log}");
    Ok(())
}
