//! What a bare machine lacks: Debian packages, a Python environment, pieces of the Rust toolchain.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::step::Step;
use crate::workspace::Workspace;

/// A browser is some hundred megabytes.
const PACKAGES_LIMIT: Duration = Duration::from_mins(10);
const PYTHON_LIMIT: Duration = Duration::from_mins(3);
/// Some machines have no way to where rustup downloads from, and rustup would try for minutes.
const RUSTUP_LIMIT: Duration = Duration::from_mins(1);

/// Makes sure of a program; where it is missing, of the Debian packages that bring it.
pub(crate) fn programs(wanted: &[(&str, &str)]) -> Result<()> {
    let missing = |(program, _): &&(&str, &str)| find_program(program).is_none();
    let packages: Vec<&str> = wanted.iter().filter(missing).map(|(_, package)| *package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    update_packages()?;
    self::packages(&packages)?;
    match wanted.iter().find(missing) {
        Some((program, package)) => bail!("the package {package} is installed, but there is no program `{program}`"),
        None => Ok(()),
    }
}

/// Makes sure of a server's program, of this name and from this package, and gives it. Debian starts what it installs, and
/// does so again with the machine: not what we install for a measurement.
pub(crate) fn service((program, package): (&str, &str)) -> Result<PathBuf> {
    if let Some(program) = find_server(program) {
        return Ok(program);
    }
    update_packages()?;
    packages(&[package])?;
    for stop in [&["service", package, "stop"][..], &["systemctl", "disable", package]] {
        // Of machines that start no services one of them fails, or both.
        if find_server(stop[0]).is_some()
            && let Err(error) = administrator(stop)?.limit(PACKAGES_LIMIT).run()
        {
            println!("note: {error:#}");
        }
    }
    find_server(program).with_context(|| format!("the package {package} is installed, but there is no `{program}`"))
}

/// As [`find_program`], and where servers lie, which is not on everybody's PATH.
fn find_server(name: &str) -> Option<PathBuf> {
    let usual = Path::new("/usr/sbin").join(name);
    find_program(name).or_else(|| usual.is_file().then_some(usual))
}

/// Makes sure of a C library that is compiled against, by the name that pkg-config has for it.
pub(crate) fn library(name: &str, package: &str) -> Result<()> {
    programs(&[("cc", "gcc"), ("pkg-config", "pkg-config")])?;
    if Step::program("pkg-config").args(["--exists", name]).ask().is_ok() {
        return Ok(());
    }
    update_packages()?;
    packages(&[package])
}

/// Makes sure of a library that a program is linked against when it starts, by its file's name.
pub(crate) fn shared_library(file: &str, package: &str) -> Result<()> {
    programs(&[("ldconfig", "libc-bin")])?;
    if Step::program("ldconfig").args(["-p"]).ask()?.contains(file) {
        return Ok(());
    }
    update_packages()?;
    packages(&[package])
}

/// Has apt learn what there is.
pub(crate) fn update_packages() -> Result<()> {
    if find_program("apt-get").is_none() {
        return Ok(());
    }
    administrator(&["apt-get", "update"])?.limit(PACKAGES_LIMIT).run()
}

/// Installs Debian packages, of which apt must know.
pub(crate) fn packages(packages: &[&str]) -> Result<()> {
    if find_program("apt-get").is_none() {
        bail!("needed here: {}; there is no apt-get, so please install them by hand", packages.join(", "));
    }
    // Another apt may hold the lock for a while, as unattended upgrades do on a fresh machine.
    let install = ["apt-get", "-o", "DPkg::Lock::Timeout=120", "install", "-y", "--no-install-recommends"];
    administrator(&install)?.args(packages).limit(PACKAGES_LIMIT).run()
}

/// A command with an administrator's rights, and no questions asked on the way.
fn administrator(words: &[&str]) -> Result<Step> {
    let is_root = Step::program("id").args(["-u"]).ask()?.trim() == "0";
    let quiet = ["env", "DEBIAN_FRONTEND=noninteractive"];
    match find_program("sudo") {
        _ if is_root => Ok(Step::program(quiet[0]).args(&quiet[1..]).args(words)),
        Some(_) => Ok(Step::program("sudo").args(quiet).args(words)),
        None => bail!("`{}` needs root, and there is no sudo", words.join(" ")),
    }
}

/// A Python environment of our own with exactly this package in it; gives its folder of programs.
pub(crate) fn python_package(workspace: &Workspace, package: &str) -> Result<PathBuf> {
    let folder = workspace.scratch("venv");
    let programs = folder.join("bin");
    // Asking pip, not looking for the folder: an environment breaks when the Python that it was made of goes away.
    if Step::program(programs.join("pip")).args(["--version"]).ask().is_err() {
        python_environment(&folder)?;
    }
    let install = ["install", "--disable-pip-version-check", package];
    Step::program(programs.join("pip")).args(install).limit(PYTHON_LIMIT).run()?;
    Ok(programs)
}

fn python_environment(folder: &Path) -> Result<()> {
    self::programs(&[("python3", "python3")])?;
    let make = || Step::program("python3").args(["-m", "venv", "--clear"]).args([folder]).limit(PYTHON_LIMIT).run();
    // Debian packs the module apart, and only the attempt shows whether it is whole.
    if make().is_err() {
        update_packages()?;
        packages(&["python3-venv"])?;
        make().context("no Python environment, even with python3-venv installed")?;
    }
    Ok(())
}

/// Makes sure of a cargo command that comes as a component of the toolchain.
pub(crate) fn component(command: &str, component: &str) -> Result<()> {
    if Step::cargo().args([command, "--version"]).ask().is_ok() {
        return Ok(());
    }
    Step::program("rustup").args(["component", "add", component]).limit(RUSTUP_LIMIT).run()
}

/// Makes sure of the standard library for a target.
pub(crate) fn target(target: &str) -> Result<()> {
    if has_target(target)? {
        return Ok(());
    }
    Step::program("rustup").args(["target", "add", target]).limit(RUSTUP_LIMIT).run()
}

/// Whether the standard library for a target is there.
pub(crate) fn has_target(target: &str) -> Result<bool> {
    Ok(rust_libraries()?.join(target).join("lib").is_dir())
}

/// Makes sure of the sources of the standard library.
pub(crate) fn rust_source() -> Result<()> {
    if has_rust_source()? {
        return Ok(());
    }
    Step::program("rustup").args(["component", "add", "rust-src"]).limit(RUSTUP_LIMIT).run()
}

/// Whether the sources of the standard library are there.
pub(crate) fn has_rust_source() -> Result<bool> {
    Ok(rust_libraries()?.join("src/rust/library/std").is_dir())
}

fn rust_libraries() -> Result<PathBuf> {
    let toolchain = Step::program("rustc").args(["--print", "sysroot"]).ask()?;
    Ok(Path::new(toolchain.trim()).join("lib/rustlib"))
}

/// Writes a script that can be run.
pub(crate) fn write_program(path: &Path, script: &str) -> Result<()> {
    fs::write(path, script)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

/// The first program of this name on the PATH.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|candidate| candidate.is_file())
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
    fn nothing_is_installed_where_nothing_is_missing() {
        programs(&[("sh", "there-is-no-such-package")]).unwrap();
    }
}
