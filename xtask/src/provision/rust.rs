//! Components and targets of the Rust toolchain, which rustup installs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use crate::step::Step;

/// The target of Workers and of the crates without a runtime.
pub(crate) const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// On machines that cannot reach rustup's server, rustup would try for minutes.
const LIMIT: Duration = Duration::from_mins(1);

/// Installs the component of a cargo command, if the command is missing.
pub(crate) fn component(command: &str, component: &str) -> Result<()> {
    if Step::cargo().args([command, "--version"]).ask().is_ok() {
        return Ok(());
    }
    Step::program("rustup").args(["component", "add", component]).limit(LIMIT).run()
}

/// Installs the standard library for a target, if it is missing.
pub(crate) fn target(target: &str) -> Result<()> {
    if has_target(target)? {
        return Ok(());
    }
    Step::program("rustup").args(["target", "add", target]).limit(LIMIT).run()
}

/// Whether the standard library for a target is installed.
pub(super) fn has_target(target: &str) -> Result<bool> {
    Ok(libraries()?.join(target).join("lib").is_dir())
}

/// Installs the sources of the standard library, if they are missing.
pub(super) fn source() -> Result<()> {
    if has_source()? {
        return Ok(());
    }
    Step::program("rustup").args(["component", "add", "rust-src"]).limit(LIMIT).run()
}

/// Whether the sources of the standard library are installed.
pub(super) fn has_source() -> Result<bool> {
    Ok(libraries()?.join("src/rust/library/std").is_dir())
}

fn libraries() -> Result<PathBuf> {
    let toolchain = Step::program("rustc").args(["--print", "sysroot"]).ask()?;
    Ok(Path::new(toolchain.trim()).join("lib/rustlib"))
}
