//! For bare machines: everything here installs what a machine lacks that has only cargo, node and apt, such as a new
//! laptop or a CI runner. On a machine that has everything, it installs nothing.
//!
//! - `apt`: Debian packages.
//! - `python`: programs that PyPI has as wheels, in an environment under `target/`.
//! - `npm`: npm packages, under `target/`.
//! - `prometheus`: Prometheus and promtool.
//! - `rust`: components and targets of the Rust toolchain.
//! - `wasm`: a toolchain that builds for wasm; `debian` makes one of Debian's packages where rustup cannot reach its server.
//! - `worker_tools`: what builds and runs a Worker.

pub(crate) mod apt;
mod debian;
pub(crate) mod npm;
pub(crate) mod prometheus;
pub(crate) mod python;
pub(crate) mod rust;
pub(crate) mod wasm;
pub(crate) mod worker_tools;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The first program of this name on the PATH.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|candidate| candidate.is_file())
}

/// Waits until no other process installs into this folder. The lock ends when the value is dropped. Parts that are prepared
/// beside each other install into the same folders.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.with_extension("lock");
    fs::create_dir_all(folder.parent().unwrap_or(folder))?;
    let file = File::create(&path).with_context(|| format!("{} cannot be written", path.display()))?;
    file.lock()?;
    Ok(file)
}

/// Writes a script that can be executed.
pub(crate) fn write_program(path: &Path, script: &str) -> Result<()> {
    fs::write(path, script)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(find_program("sh").is_some());
        assert!(find_program("there-is-no-such-program").is_none());
    }

    #[test]
    fn a_lock_is_held_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tools");
        let held = lock(&path).unwrap();
        let other = File::open(folder.path().join("tools.lock")).unwrap();
        assert!(other.try_lock().is_err());
        drop(held);
        other.try_lock().unwrap();
    }
}
