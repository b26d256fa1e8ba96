//! The crates without a runtime build for a target that has neither threads nor sockets.

use anyhow::Result;

use crate::layers;
use crate::toolchain::{TARGET, WasmToolchain};
use crate::workspace::Workspace;

/// Runs the part.
pub(crate) fn run(workspace: &Workspace) -> Result<String> {
    let toolchain = WasmToolchain::install(workspace)?;
    let packages = layers::runtime_free().flat_map(|package| ["-p", package]);
    let build = workspace.cargo().args(["build", "--lib", "--target", TARGET]).args(packages);
    toolchain.apply(build)?.run()?;
    Ok(format!("{} crates built{}", layers::runtime_free().count(), toolchain.note()))
}
