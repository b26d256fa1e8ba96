//! The parts `fmt`, `clippy` and `docs`: each is one cargo command.

use anyhow::Result;

use super::length::Length;
use crate::provision::rust;
use crate::workspace::{OTHER_MANIFESTS, Workspace};

/// The sources are formatted by rustfmt.
pub(super) fn fmt(workspace: &Workspace, _: Length) -> Result<String> {
    rust::component("fmt", "rustfmt")?;
    workspace.cargo().args(["fmt", "--all", "--check"]).run()?;
    for manifest in OTHER_MANIFESTS {
        workspace.cargo().args(["fmt", "--manifest-path", manifest, "--check"]).run()?;
    }
    Ok(String::new())
}

/// No warnings in any target, with all features.
pub(super) fn clippy(workspace: &Workspace, _: Length) -> Result<String> {
    rust::component("clippy", "clippy")?;
    let what = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    workspace.cargo().args(what).run()?;
    Ok(String::new())
}

/// The documentation builds without warnings, with all features.
pub(super) fn docs(workspace: &Workspace, _: Length) -> Result<String> {
    let what = ["doc", "--workspace", "--no-deps", "--all-features"];
    workspace.cargo().args(what).env("RUSTDOCFLAGS", "-D warnings").run()?;
    Ok(String::new())
}
