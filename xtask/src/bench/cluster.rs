//! The measurements `cluster`, `log` and `nats`: nodes over NATS beside nodes of others over Debian's Redis, what is recorded on one
//! server and over NATS, and NATS alone; and `tls`, which also needs nginx.

use std::path::Path;

use anyhow::{Result, bail};
use dog_test_support::nats::PROGRAM;

use super::program::{self, LIMIT, Programs, available};
use crate::parts::nats_server;
use crate::provision::{apt, npm};
use crate::workspace::Workspace;

/// The peer from npm, with its adapter for Redis.
const NODE_PEERS: &[&str] = &["socket.io@4.8.4", "@socket.io/redis-adapter@8.3.0", "redis@6.3.1"];

/// The peers' broker and the other peer: programs and their Debian packages.
const REDIS: (&str, &str) = ("redis-server", "redis-server");
const NGINX: (&str, &str) = ("nginx", "nginx");
const NCHAN: (&str, &str) = ("ngx_nchan_module.so", "libnginx-mod-nchan");

/// Debian's folder for modules of nginx.
const NGINX_MODULES: &str = "/usr/lib/nginx/modules";

/// Where the report goes.
const DOCUMENT: &str = "docs/performance/cluster.md";

/// Runs it.
pub(super) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let install = || {
        let mut programs = available(workspace, &[("Redis", redis), ("Socket.IO", socket_io), ("nchan", nchan)]);
        programs.push(("--nats-server", nats_server(workspace)?.into()));
        Ok(programs)
    };
    program::run(workspace, "cluster", arguments, install, Some(DOCUMENT))
}

/// What is recorded beside what is not, on one server and on a node over NATS.
pub(super) fn log(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let install = || Ok(vec![("--nats-server", nats_server(workspace)?.into())]);
    program::run(workspace, "log", arguments, install, None)
}

/// TLS beside no TLS, of the relay and of nginx.
pub(super) fn tls(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    program::run(workspace, "tls", arguments, || Ok(available(workspace, &[("nginx", nchan)])), None)
}

/// What NATS costs by itself: the figures that docs/scale.md is based on.
pub(super) fn nats(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let bench = ["bench", "-p", "durable-object-groups-nats", "--bench", "nats"];
    let step = workspace.cargo().args(bench).args(arguments).env(PROGRAM, &nats_server(workspace)?);
    step.limit(LIMIT).run()
}

fn redis(_: &Workspace) -> Result<Programs> {
    Ok(vec![("--redis-server", apt::service(REDIS)?)])
}

fn socket_io(workspace: &Workspace) -> Result<Programs> {
    let folder = workspace.scratch("npm-cluster-peers");
    npm::packages(&folder, NODE_PEERS)?;
    Ok(vec![("--node-modules", folder.join("node_modules"))])
}

fn nchan(_: &Workspace) -> Result<Programs> {
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
