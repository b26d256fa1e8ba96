//! The part `workers`: the conformance suite and more on Cloudflare's workerd, the pages of the chat and of the game on it, and the
//! sizes of two Workers.

use anyhow::Result;

use super::count::Count;
use super::length::Length;
use super::{browser, bundle};
use crate::provision::worker_tools::WorkerTools;
use crate::workspace::Workspace;

/// The folder of the conformance suite's Worker.
const SUITE: &str = "worker";
/// The folder of the Worker that admits by token.
const DOOR: &str = "door-worker";
/// The folder of the chat example's Worker, built as it is deployed.
const CHAT: &str = "chat-worker";
/// The folder of the relay example's Worker, which leaves out every optional feature.
const RELAY: &str = "relay-worker";
/// The folder of the game's Worker. It is built for tests as the two of the suite are: what they use is compiled once.
const GAME: &str = "game-worker";

/// Installs the tools and the browser, and builds the Workers.
pub(super) fn prepare(workspace: &Workspace) -> Result<()> {
    browser::prepare(workspace)?;
    let tools = WorkerTools::install(workspace)?;
    tools.build(workspace, "crates/dog-workers/tests/worker", SUITE)?;
    tools.build(workspace, "crates/dog-workers/tests/door-worker", DOOR)?;
    tools.build(workspace, "examples/game/worker", GAME)?;
    tools.build_to_deploy(workspace, "examples/chat/worker", CHAT)?;
    tools.build_to_deploy(workspace, "examples/relay/worker", RELAY).map(drop)
}

/// Runs the part.
pub(super) fn run(workspace: &Workspace, _: Length) -> Result<String> {
    let tools = WorkerTools::install(workspace)?;
    let chat = bundle::check("the chat room's Worker", &workspace.scratch(CHAT), bundle::CHAT_MOST)?;
    let relay = bundle::check("the relay's", &workspace.scratch(RELAY), bundle::RELAY_MOST)?;
    println!("{chat}, {relay}");
    let suite = workspace.cargo_test().args(["--test", "workers", "--", "--test-threads=1", "--show-output"]);
    // Both run, even if the first fails: one run shows everything.
    let suite = tools.with_workers(workspace, suite)?.run_and_keep();
    let pages = tools.with_workers(workspace, browser::on_workerd(workspace))?.run_and_keep();
    let (suite, pages) = (Count::of(&suite?), Count::of(&pages?));
    Ok(format!("{suite}; the pages: {pages}; {chat}, {relay}{}", tools.toolchain().note()))
}
