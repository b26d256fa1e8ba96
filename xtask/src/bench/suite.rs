//! The measurement of all: every peer is installed beneath `target/`, and the suite in `benches/` is run beside them.

use std::path::PathBuf;

use anyhow::Result;

use super::limits::{BUILD_LIMIT, LIMIT, flag};
use super::workers;
use crate::provision::{apt, npm, python as pypi};
use crate::step::text;
use crate::workspace::{RUST_PEERS, Workspace};

/// What is installed of npm, besides what runs npm's `dog`.
const NODE_PEERS: &[&str] = &["ws@8.23.0", "socket.io@4.8.4"];

/// uWebSockets, and the library of Debian's that it is linked against.
const PYTHON_PEER: &str = "socketify==0.0.31";
const PYTHON_LIBRARY: (&str, &str) = ("libuv.so.1", "libuv1");

/// Where the report goes.
const DOCUMENT: &str = "docs/performance.md";

/// What measures nothing, and so needs no peers.
const ONLY_SHOWS: &[&str] = &["--render", "--list", "--help", "-h"];

/// What measures too little for the document.
const PARTIAL: &[&str] = &["--only", "--entrant", "--quick", "--rounds", "--seconds"];

/// Runs it.
pub(super) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let has = |flags: &[&str]| arguments.iter().any(|argument| flags.contains(&flag(argument)));
    let mut step = workspace.cargo().args(["run", "--release", "-p", "dog-benches", "--bin", "suite", "--"]);
    step = step.args(arguments).args(["--results", text(&workspace.scratch("bench.jsonl"))?]);
    if !has(PARTIAL) {
        step = step.args(["--document", text(&workspace.root.join(DOCUMENT))?]);
    }
    if !has(ONLY_SHOWS) {
        for (flag, path) in programs(workspace)? {
            step = step.args([flag, text(&path)?]);
        }
    }
    step.limit(LIMIT).run()
}

/// Builds ours, and what can be had of the peers: each with the flag that names it to the suite.
fn programs(workspace: &Workspace) -> Result<Vec<(&'static str, PathBuf)>> {
    let ours = ["build", "--release", "-p", "relay", "-p", "dog-benches", "--bins"];
    workspace.cargo().args(ours).limit(BUILD_LIMIT).run()?;
    let mut programs = vec![("--ours", workspace.target.join("release"))];
    let peers: [(&str, Peers); 4] =
        [("those in Rust", rust), ("those on node", node), ("uWebSockets", python), ("npm's dog", npm_dog)];
    for (name, install) in peers {
        match install(workspace) {
            Ok(peer) => programs.extend(peer),
            // A run without one of them still tells something of the rest, and says who is missing.
            Err(error) => println!("note: no peers here of {name}: {error:#}"),
        }
    }
    Ok(programs)
}

type Peers = fn(&Workspace) -> Result<Vec<(&'static str, PathBuf)>>;

fn rust(workspace: &Workspace) -> Result<Vec<(&'static str, PathBuf)>> {
    let target = workspace.scratch("peers");
    let what = ["build", "--release", "--locked", "--manifest-path", RUST_PEERS, "--target-dir"];
    workspace.cargo().args(what).args([&target]).limit(BUILD_LIMIT).run()?;
    Ok(vec![("--rust", target.join("release"))])
}

fn node(workspace: &Workspace) -> Result<Vec<(&'static str, PathBuf)>> {
    let folder = workspace.scratch("npm-peers");
    npm::packages(&folder, NODE_PEERS)?;
    Ok(vec![("--node-modules", folder.join("node_modules"))])
}

fn python(workspace: &Workspace) -> Result<Vec<(&'static str, PathBuf)>> {
    let (library, package) = PYTHON_LIBRARY;
    apt::shared_library(library, package)?;
    let programs = pypi::package(workspace, PYTHON_PEER)?;
    Ok(vec![("--python", programs.join("python"))])
}

fn npm_dog(workspace: &Workspace) -> Result<Vec<(&'static str, PathBuf)>> {
    let (workerd, worker) = workers::peer(workspace)?;
    Ok(vec![("--workerd", PathBuf::from(workerd)), ("--npm-dog", worker)])
}
