//! The part `wasm`: the crates without a runtime build for a target that has neither threads nor sockets, the code of the
//! Workers host has no warnings, also without each feature that an App may leave out, and a Worker with two Groups of one name
//! does not build. Admission builds without public keys too, as a Worker with sessions has it.

use anyhow::Result;

use super::length::Length;
use super::{layers, twins};
use crate::provision::rust::WASM_TARGET;
use crate::provision::wasm::WasmToolchain;
use crate::workspace::Workspace;

/// The packages with code for wasm only, which the part `clippy` does not compile.
const WASM_ONLY: &[&str] =
    &["durable-object-groups-workers", "conformance-worker", "chat-worker", "relay-worker", "game-worker"];

/// What an App may leave out: the features of `dog`.
const FEATURES: &[&str] = &["alarms", "log", "presence", "storage", "streams", "topics"];

/// The crate for admission, which has a feature of its own.
const DOOR: &str = "durable-object-groups-door";

/// Installs a toolchain for wasm, builds the crates and runs clippy.
pub(super) fn prepare(workspace: &Workspace) -> Result<()> {
    let toolchain = WasmToolchain::install(workspace)?;
    build(workspace, &toolchain)?;
    without_features(workspace, &toolchain)?;
    if toolchain.has_clippy() { clippy(workspace, &toolchain) } else { Ok(()) }
}

/// Runs the part.
pub(super) fn run(workspace: &Workspace, _: Length) -> Result<String> {
    let toolchain = WasmToolchain::install(workspace)?;
    let worker = workspace.cargo().args(["rustc", "-p", "conformance-worker", "--lib", "--target", WASM_TARGET]);
    twins::are_refused_by(workspace, toolchain.apply(worker)?)?;
    Ok(format!("{} crates built{}", layers::runtime_free().count(), toolchain.note()))
}

fn build(workspace: &Workspace, toolchain: &WasmToolchain) -> Result<()> {
    let packages = layers::runtime_free().flat_map(|package| ["-p", package]);
    let build = workspace.cargo().args(["build", "--lib", "--target", WASM_TARGET]).args(packages);
    toolchain.apply(build)?.run()
}

fn clippy(workspace: &Workspace, toolchain: &WasmToolchain) -> Result<()> {
    let packages = WASM_ONLY.iter().flat_map(|package| ["-p", package]);
    let step = workspace.cargo().args(["clippy", "--lib", "--target", WASM_TARGET]).args(packages);
    toolchain.apply(step.args(["--", "-D", "warnings"]))?.run()
}

/// The Workers host, and with it the API and the engine, with none of the features and with each alone; and admission without
/// public keys.
fn without_features(workspace: &Workspace, toolchain: &WasmToolchain) -> Result<()> {
    let each = FEATURES.iter().map(|feature| format!("dog/{feature}"));
    for features in std::iter::once(String::new()).chain(each) {
        let what = ["--lib", "--target", WASM_TARGET, "-p", "durable-object-groups-workers", "--features", &features];
        let step = if toolchain.has_clippy() {
            workspace.cargo().args(["clippy"]).args(what).args(["--", "-D", "warnings"])
        } else {
            workspace.cargo().args(["check"]).args(what)
        };
        toolchain.apply(step)?.run()?;
    }
    let door = ["check", "--lib", "--target", WASM_TARGET, "-p", DOOR, "--no-default-features"];
    toolchain.apply(workspace.cargo().args(door))?.run()
}
