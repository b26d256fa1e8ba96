//! The chat page in a real browser. The test itself is the example's; this part sees that there is a browser.

use anyhow::Result;

use crate::checks::Count;
use crate::install;
use crate::step::Step;
use crate::workspace::Workspace;

/// The programs that the test drives, and the Debian packages that bring them.
const PROGRAMS: &[(&str, &str)] = &[("chromium", "chromium"), ("chromedriver", "chromium-driver")];

/// Runs the part.
pub(crate) fn run(workspace: &Workspace) -> Result<String> {
    install::programs(PROGRAMS)?;
    Ok(Count::of(&test(workspace).run_and_keep()?).passed())
}

/// The stories of the page on workerd, which the part `workers` runs: the step lacks the variables that name it.
pub(crate) fn on_workerd(workspace: &Workspace) -> Result<Step> {
    install::programs(PROGRAMS)?;
    Ok(test(workspace).args(["--", "--ignored", "workerd::"]))
}

fn test(workspace: &Workspace) -> Step {
    workspace.cargo().args(["test", "-p", "chat", "--features", "browser", "--test", "browser"])
}
