//! The measurement `all`: our server beside all peers, which are installed under `target/`.

use std::path::PathBuf;

use anyhow::Result;

use super::program::{self, BUILD_LIMIT, Programs, available};
use super::workers;
use crate::parts::nats_server;
use crate::provision::{apt, npm, python as pypi};
use crate::workspace::{RUST_PEERS, Workspace};

/// The peers from npm, without `dog`.
const NODE_PEERS: &[&str] = &["ws@8.23.0", "socket.io@4.8.4"];

/// uWebSockets, and the Debian library that it is linked against.
const PYTHON_PEER: &str = "socketify==0.0.31";
const PYTHON_LIBRARY: (&str, &str) = ("libuv.so.1", "libuv1");

/// Where the report goes.
const DOCUMENT: &str = "docs/performance.md";

/// Runs it.
pub(super) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let install = || {
        Ok(available(
            workspace,
            &[
                ("the peers in Rust", rust),
                ("the peers on Node", node),
                ("uWebSockets", python),
                ("npm's dog", npm_dog),
                ("nats-server", nats),
            ],
        ))
    };
    program::run(workspace, "all", arguments, install, Some(DOCUMENT))
}

fn rust(workspace: &Workspace) -> Result<Programs> {
    let target = workspace.scratch("peers");
    let what = ["build", "--release", "--locked", "--manifest-path", RUST_PEERS, "--target-dir"];
    workspace.cargo().args(what).args([&target]).limit(BUILD_LIMIT).run()?;
    Ok(vec![("--rust", target.join("release"))])
}

fn node(workspace: &Workspace) -> Result<Programs> {
    let folder = workspace.scratch("npm-peers");
    npm::packages(&folder, NODE_PEERS)?;
    Ok(vec![("--node-modules", folder.join("node_modules"))])
}

fn python(workspace: &Workspace) -> Result<Programs> {
    let (library, package) = PYTHON_LIBRARY;
    apt::shared_library(library, package)?;
    let programs = pypi::package(workspace, PYTHON_PEER)?;
    Ok(vec![("--python", programs.join("python"))])
}

fn nats(workspace: &Workspace) -> Result<Programs> {
    Ok(vec![("--nats-server", nats_server(workspace)?.into())])
}

fn npm_dog(workspace: &Workspace) -> Result<Programs> {
    let (workerd, worker) = workers::peer(workspace)?;
    Ok(vec![("--workerd", PathBuf::from(workerd)), ("--npm-dog", worker)])
}
