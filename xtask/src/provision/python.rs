//! Programs that PyPI has as wheels, in a Python environment under `target/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::{apt, lock};
use crate::step::Step;
use crate::workspace::Workspace;

const LIMIT: Duration = Duration::from_mins(3);

/// Installs exactly this version of a package (`name==version`) and returns the folder with its programs.
pub(crate) fn package(workspace: &Workspace, package: &str) -> Result<PathBuf> {
    let folder = workspace.scratch("venv");
    let _lock = lock(&folder)?;
    let programs = folder.join("bin");
    // Each stamp is inside the environment: it goes when the environment is made again.
    let stamp = folder.join(format!("{package}.installed"));
    // A question to the environment's own Python, because an environment breaks when the Python it was made with is removed.
    let is_whole = Step::program(programs.join("python")).args(["--version"]).ask().is_ok();
    if is_whole && stamp.is_file() {
        return Ok(programs);
    }
    if !is_whole {
        make_environment(&folder)?;
    }
    let install = ["-m", "pip", "install", "--disable-pip-version-check", package];
    Step::program(programs.join("python")).args(install).limit(LIMIT).run()?;
    fs::write(stamp, "")?;
    Ok(programs)
}

fn make_environment(folder: &Path) -> Result<()> {
    apt::programs(&[("python3", "python3")])?;
    let make = || Step::program("python3").args(["-m", "venv", "--clear"]).args([folder]).limit(LIMIT).run();
    // Debian has the module in a package of its own, and only the attempt shows whether it is installed.
    if make().is_err() {
        apt::install_current(&["python3-venv"])?;
        make().context("no Python environment, although python3-venv is installed")?;
    }
    Ok(())
}
