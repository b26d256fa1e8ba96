//! Debian packages.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{find_program, lock};
use crate::step::Step;

/// The largest package is a browser of some hundred megabytes.
const LIMIT: Duration = Duration::from_mins(10);

/// Installs the Debian packages of those programs that are missing. Each entry is a program and its package.
pub(crate) fn programs(wanted: &[(&str, &str)]) -> Result<()> {
    let missing = |(program, _): &&(&str, &str)| find_program(program).is_none();
    let packages: Vec<&str> = wanted.iter().filter(missing).map(|(_, package)| *package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    install_current(&packages)?;
    match wanted.iter().find(missing) {
        Some((program, package)) => bail!("the package {package} is installed, but there is no program `{program}`"),
        None => Ok(()),
    }
}

/// Installs the package of a server if it is missing, and returns the path of the server's program. Debian starts every
/// server that it installs, and again when the machine starts: this one is stopped, because it is only measured.
pub(crate) fn service((program, package): (&str, &str)) -> Result<PathBuf> {
    if let Some(program) = find_server(program) {
        return Ok(program);
    }
    install_current(&[package])?;
    for stop in [&["service", package, "stop"][..], &["systemctl", "disable", package]] {
        // On machines that start no services, one of the two fails, or both.
        if find_server(stop[0]).is_some()
            && let Err(error) = administrator(stop)?.limit(LIMIT).run()
        {
            println!("note: {error:#}");
        }
    }
    find_server(program).with_context(|| format!("the package {package} is installed, but there is no `{program}`"))
}

/// As [`find_program`], and in the folder of servers, which is not on every PATH.
fn find_server(name: &str) -> Option<PathBuf> {
    let usual = Path::new("/usr/sbin").join(name);
    find_program(name).or_else(|| usual.is_file().then_some(usual))
}

/// Installs the package of a C library with its headers, if pkg-config does not know the library by this name.
pub(crate) fn library(name: &str, package: &str) -> Result<()> {
    programs(&[("cc", "gcc"), ("pkg-config", "pkg-config")])?;
    if Step::program("pkg-config").args(["--exists", name]).ask().is_ok() {
        return Ok(());
    }
    install_current(&[package])
}

/// Installs the package of a shared library, if the dynamic linker does not know this file.
pub(crate) fn shared_library(file: &str, package: &str) -> Result<()> {
    programs(&[("ldconfig", "libc-bin")])?;
    if Step::program("ldconfig").args(["-p"]).ask()?.contains(file) {
        return Ok(());
    }
    install_current(&[package])
}

/// Updates the list of packages and installs these.
pub(crate) fn install_current(packages: &[&str]) -> Result<()> {
    update()?;
    install(packages)
}

/// Updates the list of packages.
pub(crate) fn update() -> Result<()> {
    if find_program("apt-get").is_none() {
        return Ok(());
    }
    let _lock = lock_apt()?;
    administrator(&["apt-get", "update"])?.limit(LIMIT).run()
}

/// Installs these packages from the list of packages as it is.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    if find_program("apt-get").is_none() {
        bail!("this machine lacks {} and has no apt-get: install them by hand", packages.join(", "));
    }
    let _lock = lock_apt()?;
    // Another apt may hold the lock for a while, for example unattended upgrades on a new machine.
    let install = ["apt-get", "-o", "DPkg::Lock::Timeout=120", "install", "-y", "--no-install-recommends"];
    administrator(&install)?.args(packages).limit(LIMIT).run()
}

/// Downloads packages and unpacks them into a folder. They are not installed: no server starts, and what they depend on must be there.
pub(crate) fn unpack(packages: &[impl AsRef<OsStr>], folder: &Path) -> Result<()> {
    let downloads = tempfile::tempdir()?;
    Step::program("apt-get").args(["download"]).args(packages).within(downloads.path()).limit(LIMIT).run()?;
    for file in downloads.path().read_dir()? {
        Step::program("dpkg-deb").args(["-x".as_ref(), file?.path().as_os_str(), folder.as_os_str()]).run()?;
    }
    Ok(())
}

fn lock_apt() -> Result<std::fs::File> {
    lock(&std::env::temp_dir().join("dog-xtask-apt"))
}

/// A command with root's rights that asks no questions.
fn administrator(words: &[&str]) -> Result<Step> {
    let is_root = Step::program("id").args(["-u"]).ask()?.trim() == "0";
    let quiet = ["env", "DEBIAN_FRONTEND=noninteractive"];
    match find_program("sudo") {
        _ if is_root => Ok(Step::program(quiet[0]).args(&quiet[1..]).args(words)),
        Some(_) => Ok(Step::program("sudo").args(quiet).args(words)),
        None => bail!("`{}` needs root, and there is no sudo", words.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_installed_where_nothing_is_missing() {
        programs(&[("sh", "there-is-no-such-package")]).unwrap();
    }
}
