//! npm packages, each set in a folder of its own under `target/`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::{apt, lock};
use crate::step::Step;

const LIMIT: Duration = Duration::from_mins(10);

/// Installs exactly these versions of packages (`name@version`) into a folder.
pub(crate) fn packages(folder: &Path, packages: &[&str]) -> Result<()> {
    apt::programs(&[("node", "nodejs"), ("npm", "npm")])?;
    let _lock = lock(folder)?;
    let stamp = folder.join("installed");
    let wanted = packages.join(" ");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    fs::write(folder.join("package.json"), "{\"private\":true}")?;
    let install = ["install", "--no-audit", "--no-fund", "--ignore-scripts"];
    Step::program("npm").args(install).args(packages).within(folder).limit(LIMIT).run()?;
    fs::write(stamp, wanted)?;
    Ok(())
}
