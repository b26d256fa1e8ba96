//! The part `clients`: the JavaScript client in node and in a real browser, against the examples. `clients/js/tests` has the tests;
//! this part installs and builds what they use.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::browser;
use super::length::Length;
use crate::provision::npm;
use crate::step::Step;
use crate::workspace::Workspace;

/// A WebSocket for node, another client that the chat has to serve, and the compiler that reads the types.
const PACKAGES: &[&str] = &["ws@8.23.0", "partysocket@1.3.0", "typescript@5.9.3"];

/// Tell the tests where the programs are.
const PROGRAMS: &[(&str, &str)] = &[("DOG_CHAT", "chat"), ("DOG_GAME", "game"), ("DOG_RELAY", "relay")];

/// Tells the tests where the packages are.
const PACKAGES_FOLDER: &str = "DOG_PACKAGES";

/// Installs node, the browser and the packages, and builds the examples.
pub(super) fn prepare(workspace: &Workspace) -> Result<()> {
    npm::packages(&folder(workspace), PACKAGES)?;
    browser::prepare(workspace)?;
    let programs = PROGRAMS.iter().flat_map(|(_, program)| ["--bin", program]);
    workspace.cargo_build().args(programs).run()
}

/// Runs the part.
pub(super) fn run(workspace: &Workspace, _: Length) -> Result<String> {
    let step =
        Step::program("node").args(["--test", "--test-reporter=spec"]).args(tests(workspace)?).within(&workspace.root);
    let step = step.env(PACKAGES_FOLDER, &folder(workspace).to_string_lossy());
    let step = PROGRAMS
        .iter()
        .fold(step, |step, (name, program)| step.env(name, &workspace.program(program).to_string_lossy()));
    passed(&step.run_and_keep()?)
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.scratch("clients")
}

/// The test files, in order.
fn tests(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let folder = workspace.root.join("clients/js/tests");
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        files
            .extend(name.ends_with(".test.js").then(|| path.strip_prefix(&workspace.root).unwrap_or(&path).to_owned()));
    }
    files.sort();
    Ok(files)
}

/// How many tests passed, as node's reporter says: `ℹ pass 12`.
fn passed(output: &str) -> Result<String> {
    let told =
        output.lines().find_map(|line| line.split_once(" pass ")).context("node did not say how many tests passed")?;
    let count: u32 = told.1.trim().parse()?;
    ensure!(count > 0, "no test ran");
    Ok(format!("{count} passed"))
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn the_count_is_what_node_says() {
        assert_eq!(passed("✔ bytes arrive (3 ms)\nℹ tests 12\nℹ pass 12\nℹ fail 0").unwrap(), "12 passed");
        assert!(passed("ℹ pass 0").is_err() && passed("nothing").is_err());
    }
}
