//! The bench `cluster`: nodes of ours over NATS beside nodes of others over Debian's Redis. What they need is installed.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use dog_test_support::nats::PROGRAM;

use super::limits::{BUILD_LIMIT, LIMIT, flag};
use crate::parts::nats_server;
use crate::provision::{apt, npm};
use crate::step::{Step, text};
use crate::workspace::Workspace;

/// What is installed of npm: a server that is measured beside ours, and what makes nodes of it.
const NODE_PEERS: &[&str] = &["socket.io@4.8.4", "@socket.io/redis-adapter@8.3.0", "redis@6.3.1"];

/// What nodes of the peers speak through, and the other one of them, with Debian's names of their packages.
const REDIS: (&str, &str) = ("redis-server", "redis-server");
const NGINX: (&str, &str) = ("nginx", "nginx");
const NCHAN: (&str, &str) = ("ngx_nchan_module.so", "libnginx-mod-nchan");

/// Where Debian has the modules of nginx.
const NGINX_MODULES: &str = "/usr/lib/nginx/modules";

/// Where the report goes.
const DOCUMENT: &str = "docs/performance/cluster.md";

/// What measures too little for the document.
const PARTIAL: &[&str] = &["--only", "--quick", "--rounds", "--seconds", "--sockets", "--bytes", "--rate"];

/// Nodes of ours beside nodes of others.
pub(super) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let has = |flags: &[&str]| arguments.iter().any(|argument| flags.contains(&flag(argument)));
    let ours = ["build", "--release", "-p", "relay", "-p", "dog-benches"];
    let built = ["--bin", "relay", "--bin", "verbs", "--bin", "cluster"];
    workspace.cargo().args(ours).args(built).limit(BUILD_LIMIT).run()?;
    let release = workspace.target.join("release");
    // By itself, not by cargo, which would build it once more: without the relay it has other features.
    let mut step = Step::program(release.join("cluster"));
    if !has(&["--help", "-h"]) {
        let document = (!has(PARTIAL)).then(|| ("--document", workspace.root.join(DOCUMENT)));
        let ours = [("--ours", release), ("--nats-server", nats_server(workspace)?.into())];
        for (flag, path) in ours.into_iter().chain(peers(workspace)).chain(document) {
            step = step.args([flag, text(&path)?]);
        }
    }
    step.args(arguments).limit(LIMIT).run()
}

/// What NATS costs by itself: the figures that docs/scale.md is based on.
pub(super) fn nats(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let bench = ["bench", "-p", "durable-object-groups-nats", "--bench", "nats"];
    let step = workspace.cargo().args(bench).args(arguments).env(PROGRAM, &nats_server(workspace)?);
    step.limit(LIMIT).run()
}

/// What can be had of the peers: each with the flag that names it to the bench.
fn peers(workspace: &Workspace) -> Vec<(&'static str, PathBuf)> {
    let peers: [(&str, Peers); 3] = [("Redis", redis), ("Socket.IO", socket_io), ("nchan", nchan)];
    let mut programs = Vec::new();
    for (name, install) in peers {
        match install(workspace) {
            Ok(peer) => programs.extend(peer),
            // A run without one of them still tells something of the rest.
            Err(error) => println!("note: no {name} here, and nothing that needs it: {error:#}"),
        }
    }
    programs
}

type Peers = fn(&Workspace) -> Result<Vec<(&'static str, PathBuf)>>;

fn redis(_: &Workspace) -> Result<Vec<(&'static str, PathBuf)>> {
    Ok(vec![("--redis-server", apt::service(REDIS)?)])
}

fn socket_io(workspace: &Workspace) -> Result<Vec<(&'static str, PathBuf)>> {
    let folder = workspace.scratch("npm-cluster-peers");
    npm::packages(&folder, NODE_PEERS)?;
    Ok(vec![("--node-modules", folder.join("node_modules"))])
}

fn nchan(_: &Workspace) -> Result<Vec<(&'static str, PathBuf)>> {
    let (nginx, (file, package)) = (apt::service(NGINX)?, NCHAN);
    let module = Path::new(NGINX_MODULES).join(file);
    if !module.is_file() {
        apt::install_current(&[package])?;
    }
    if !module.is_file() {
        bail!("the package {package} is installed, but there is no {}", module.display());
    }
    Ok(vec![("--nginx", nginx), ("--nchan", module)])
}
