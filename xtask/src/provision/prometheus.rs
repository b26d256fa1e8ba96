//! Prometheus and promtool: those of this machine, or Debian's, unpacked under `target/`. Installed, the package would start a server.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use super::{apt, find_program, lock};
use crate::workspace::Workspace;

const PACKAGE: &str = "prometheus";

/// The two programs.
pub(crate) struct Prometheus {
    pub(crate) server: PathBuf,
    pub(crate) promtool: PathBuf,
}

/// Unpacks them if they are missing.
pub(crate) fn install(workspace: &Workspace) -> Result<Prometheus> {
    if let (Some(server), Some(promtool)) = (find_program("prometheus"), find_program("promtool")) {
        return Ok(Prometheus { server, promtool });
    }
    let folder = workspace.scratch(PACKAGE);
    let _lock = lock(&folder)?;
    let stamp = folder.join("unpacked");
    if !stamp.is_file() {
        apt::update()?;
        apt::unpack(&[PACKAGE], &folder)?;
        fs::write(stamp, "")?;
    }
    let programs = folder.join("usr/bin");
    Ok(Prometheus { server: programs.join("prometheus"), promtool: programs.join("promtool") })
}
