//! The chat page in a real browser. The test itself is the example's; this part sees that there is a browser.

use anyhow::Result;

use crate::install;
use crate::workspace::Workspace;

/// The programs that the test drives, and the Debian packages that bring them.
const PROGRAMS: &[(&str, &str)] = &[("chromium", "chromium"), ("chromedriver", "chromium-driver")];

/// Runs the part.
pub(crate) fn run(workspace: &Workspace) -> Result<String> {
    install::programs(PROGRAMS)?;
    workspace.cargo().args(["test", "-p", "chat", "--features", "browser", "--test", "browser"]).run()?;
    Ok(String::new())
}
