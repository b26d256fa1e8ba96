//! The crates without a runtime build for a target that has neither threads nor sockets; and a Worker with two Groups of
//! one name does not.

use anyhow::Result;

use crate::checks::twins_are_refused;
use crate::layers;
use crate::toolchain::{TARGET, WasmToolchain};
use crate::workspace::Workspace;

/// Runs the part.
pub(crate) fn run(workspace: &Workspace) -> Result<String> {
    let toolchain = WasmToolchain::install(workspace)?;
    let packages = layers::runtime_free().flat_map(|package| ["-p", package]);
    let build = workspace.cargo().args(["build", "--lib", "--target", TARGET]).args(packages);
    toolchain.apply(build)?.run()?;
    let worker = workspace.cargo().args(["rustc", "-p", "conformance-worker", "--lib", "--target", TARGET]);
    twins_are_refused(workspace, toolchain.apply(worker)?)?;
    Ok(format!("{} crates built{}", layers::runtime_free().count(), toolchain.note()))
}
