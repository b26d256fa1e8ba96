//! The crates without a runtime build for a target that has neither threads nor sockets.

use anyhow::Result;

use crate::workspace::Workspace;
use crate::{install, layers};

const TARGET: &str = "wasm32-unknown-unknown";

/// Runs the part. Where the target cannot be had, the dependency trees are all that can be asserted, and the note says so.
pub(crate) fn run(workspace: &Workspace) -> Result<String> {
    if let Err(error) = install::target(TARGET) {
        println!("note: {TARGET} cannot be had here ({error:#}), so nothing is built; only the trees are looked at");
        layers::check_trees(workspace)?;
        return Ok(format!("NOT BUILT: {TARGET} cannot be had here; dependency trees only"));
    }
    let packages = layers::runtime_free().flat_map(|package| ["-p", package]);
    workspace.cargo().args(["build", "--lib", "--target", TARGET]).args(packages).run()?;
    Ok(format!("{} crates built", layers::runtime_free().count()))
}
