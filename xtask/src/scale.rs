//! The command `scale`: NATS is measured by a bench of its own, and then the model of large clusters is asked. It writes
//! `docs/scale.md`.

use std::fs;

use anyhow::{Context, Result};

use crate::checks::BENCH_LIMIT;
use crate::cluster;
use crate::toolchain::text;
use crate::workspace::Workspace;

/// Where the report goes.
const DOCUMENT: &str = "docs/scale.md";

/// Measures, counts and reckons, in half a minute once all is built.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let program = cluster::server(workspace)?;
    let bench = ["bench", "-p", "durable-object-groups-nats", "--bench", "nats"];
    let figures = workspace.cargo().args(bench).env(cluster::PROGRAM, &program).limit(BENCH_LIMIT).run_and_keep()?;
    let kept = workspace.scratch("scale.jsonl");
    fs::write(&kept, figures).with_context(|| format!("{} cannot be written", kept.display()))?;
    let document = workspace.root.join(DOCUMENT);
    let model = ["run", "--release", "-p", "dog-benches", "--bin", "scale", "--", "--nats", text(&kept)?];
    workspace.cargo().args(model).args(["--document", text(&document)?]).limit(BENCH_LIMIT).run()
}
