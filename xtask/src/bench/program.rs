//! How a measurement runs the program `dog-bench` of `benches/`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::step::{Step, text};
use crate::workspace::Workspace;

/// A measurement warms up, repeats, and runs its peers: no limit of a test fits it.
pub(super) const LIMIT: Duration = Duration::from_hours(2);

/// Building the peers takes a while: they have some hundred dependencies, and there may be two cores.
pub(super) const BUILD_LIMIT: Duration = Duration::from_mins(20);

/// Arguments that measure nothing, and so need no peers.
const ONLY_SHOWS: &[&str] = &["--render", "--list", "--help", "-h"];

/// Arguments that measure too little for the document.
const PARTIAL: &[&str] = &["--only", "--entrant", "--quick", "--rounds", "--seconds", "--sockets", "--bytes", "--rate"];

/// Programs for the benchmark: each with the flag that names it.
pub(super) type Programs = Vec<(&'static str, PathBuf)>;

/// A peer: its name for people, and what installs it.
pub(super) type Peer = (&'static str, fn(&Workspace) -> Result<Programs>);

/// Builds the benchmark and our servers, and runs a family of scenarios. `install` supplies the peers' programs. A run
/// that measures everything is written into `document`.
pub(super) fn run(
    workspace: &Workspace,
    family: &str,
    arguments: &[String],
    install: impl FnOnce() -> Result<Programs>,
    document: Option<&str>,
) -> Result<()> {
    let has = |flags: &[&str]| arguments.iter().any(|argument| flags.contains(&flag(argument)));
    let ours = ["build", "--release", "-p", "relay", "-p", "dog-benches", "--bins"];
    workspace.cargo().args(ours).limit(BUILD_LIMIT).run()?;
    // Not with `cargo run`, which would build it once more: without the relay it has other features.
    let mut step = Step::program(workspace.target.join("release/dog-bench")).args([family]).args(arguments);
    step = step.args(["--results", text(&workspace.scratch(&format!("bench-{family}.jsonl")))?]);
    if let Some(document) = document.filter(|_| !has(PARTIAL)) {
        step = step.args(["--document", text(&workspace.root.join(document))?]);
    }
    if !has(ONLY_SHOWS) {
        for (flag, path) in install()? {
            step = step.args([flag, text(&path)?]);
        }
    }
    step.limit(LIMIT).run()
}

/// Installs what can be installed of the peers. The benchmark measures the others, and names those that are missing.
pub(super) fn available(workspace: &Workspace, peers: &[Peer]) -> Programs {
    let mut programs = Vec::new();
    for (name, install) in peers {
        match install(workspace) {
            Ok(peer) => programs.extend(peer),
            Err(error) => println!("note: {name} cannot be installed here: {error:#}"),
        }
    }
    programs
}

/// The name of a flag: `--seconds=3` is `--seconds`.
fn flag(argument: &str) -> &str {
    argument.split('=').next().unwrap_or(argument)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_known_with_its_value() {
        assert_eq!(flag("--only=one"), "--only");
        assert_eq!(flag("--quick"), "--quick");
    }
}
