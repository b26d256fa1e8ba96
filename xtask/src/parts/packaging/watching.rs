//! The alert rules: promtool reads them, and runs the cases of each alert.

use std::path::PathBuf;

use anyhow::Result;

use crate::provision::prometheus;
use crate::step::Step;
use crate::workspace::Workspace;

/// Runs the checks. The text says how many cases there were.
pub(super) fn run(workspace: &Workspace) -> Result<String> {
    let folder = workspace.root.join("packaging/watching");
    let promtool: PathBuf = prometheus::install(workspace)?.promtool;
    let check = |what: &[&str]| Step::program(&promtool).args(what).within(&folder).run();
    check(&["check", "rules", "alerts.yaml"])?;
    check(&["test", "rules", "alerts.test.yaml"])?;
    let cases = std::fs::read_to_string(folder.join("alerts.test.yaml"))?.matches("- name: ").count();
    Ok(format!("{cases} cases of alerts"))
}
