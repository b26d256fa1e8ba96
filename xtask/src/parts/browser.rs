//! The part `browser`: the pages of the examples in a real browser. The tests belong to the examples; this part installs
//! the browser.

use anyhow::Result;

use super::count::Count;
use super::length::Length;
use crate::provision::apt;
use crate::step::Step;
use crate::workspace::Workspace;

/// The programs that the tests drive, and their Debian packages.
const PROGRAMS: &[(&str, &str)] = &[("chromium", "chromium"), ("chromedriver", "chromium-driver")];

/// Installs the browser.
pub(super) fn prepare(_: &Workspace) -> Result<()> {
    apt::programs(PROGRAMS)
}

/// Runs the part.
pub(super) fn run(workspace: &Workspace, _: Length) -> Result<String> {
    Ok(Count::of(&test(workspace).run_and_keep()?).passed())
}

/// The tests of the pages on workerd, which the part `workers` runs. The caller adds the variables that name workerd.
pub(super) fn on_workerd(workspace: &Workspace) -> Step {
    test(workspace).args(["--", "--ignored", "workerd::"])
}

fn test(workspace: &Workspace) -> Step {
    workspace.cargo_test().args(["--test", "browser"])
}
