//! The measurement `workers`, and npm's `dog` as a peer of the others.

use std::path::PathBuf;

use anyhow::Result;

use super::program;
use crate::parts::compressed_size;
use crate::provision::npm;
use crate::provision::worker_tools::{WorkerPackages, WorkerTools};
use crate::step::{Step, text};
use crate::workspace::Workspace;

/// The peer.
const PEER: &str = "dog@1.1.3";

/// The relay beside the same on npm's `dog`, both on workerd.
pub(super) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    program::run(workspace, "workers", arguments, || workers(workspace), None)
}

/// Builds both Workers, and says how large ours are.
fn workers(workspace: &Workspace) -> Result<program::Programs> {
    let tools = WorkerTools::install(workspace)?;
    let ours = tools.build_to_deploy(workspace, "examples/relay/worker", "relay-worker")?;
    let chat = tools.build_to_deploy(workspace, "examples/chat/worker", "chat-worker")?;
    let peer = bundle_peer(workspace, tools.npm())?;
    for (name, folder) in [("relay", &ours), ("chat room", &chat)] {
        println!("the {name}'s Worker takes {} KiB compressed", compressed_size(folder)?.div_ceil(1024));
    }
    Ok(vec![("--workerd", tools.npm().workerd()?.into()), ("--worker", ours), ("--npm-dog", peer)])
}

/// What a measurement of npm's `dog` needs: workerd, and the folder of the peer's Worker.
pub(super) fn peer(workspace: &Workspace) -> Result<(String, PathBuf)> {
    let npm = WorkerPackages::install(workspace)?;
    Ok((npm.workerd()?, bundle_peer(workspace, &npm)?))
}

/// Bundles the Worker on npm's `dog` and returns the folder with its module.
fn bundle_peer(workspace: &Workspace, npm: &WorkerPackages) -> Result<PathBuf> {
    let (packages, folder) = (workspace.scratch("npm-dog"), workspace.scratch("npm-dog-worker"));
    npm::packages(&packages, &[PEER])?;
    let module = format!("--outfile={}", text(&folder.join("index.js"))?);
    Step::program(npm.program("esbuild")?)
        .args(["worker.js", "--bundle", "--format=esm", "--log-level=warning", &module])
        .within(&workspace.root.join("benches/peers/npm-dog"))
        .env("NODE_PATH", text(&packages.join("node_modules"))?)
        .run()?;
    Ok(folder)
}
