//! The table of parts.

use anyhow::Result;

use super::length::Length;
use super::{
    autobahn, browser, clients, cluster, copied, deny, door, faults, fuzz, layers, lints, packaging, sdks, sim, tests,
    wasm, workers,
};
use crate::workspace::Workspace;

/// One part. A part's `run` expects that its `prepare` has succeeded.
pub(super) struct Part {
    pub(super) name: &'static str,
    /// What it checks, in one line.
    pub(super) about: &'static str,
    pub(super) when: When,
    /// Installs and builds what `run` needs.
    pub(super) prepare: fn(&Workspace) -> Result<()>,
    /// Runs it. The text is a note for the closing table, for example how many cases there were.
    pub(super) run: fn(&Workspace, Length) -> Result<String>,
}

/// When a part runs, if several are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// While the parts of the other kinds are prepared. It compiles, or it does not mind a busy machine.
    First,
    /// While nothing else runs.
    Alone,
    /// While the part `cluster` runs, which waits most of the time. It uses one core and compiles nothing.
    BesideCluster,
    /// While nothing else runs, and only with `--all` or by name.
    OnRequest,
}

/// All parts in the order in which they start. Those that find careless mistakes come first.
pub(super) const PARTS: &[Part] = &[
    part("fmt", "the sources are formatted by rustfmt", When::First, nothing, lints::fmt),
    part(
        "layers",
        "dependencies between crates, structure of the sources, lengths of files",
        When::First,
        nothing,
        layers::run,
    ),
    part("clippy", "no warnings in any target", When::First, nothing, lints::clippy),
    part("docs", "the documentation builds without warnings", When::First, nothing, lints::docs),
    part("unit", "unit, property, integration and documentation tests", When::First, tests::build, tests::unit),
    part("conformance", "the promises, over real connections, on every host", When::First, nothing, tests::conformance),
    part("deny", "licences, sources, bans and known advisories of dependencies", When::Alone, deny::prepare, deny::run),
    part(
        "wasm",
        "the crates without a runtime build for wasm32-unknown-unknown",
        When::Alone,
        wasm::prepare,
        wasm::run,
    ),
    part(
        "counting",
        "allocations, system calls and wake-ups per delivery",
        When::Alone,
        tests::prepare_counting,
        tests::counting,
    ),
    part(
        "sim",
        "thousands of seeded runs with crashes and cuts, and planted bugs that must be found",
        When::Alone,
        sim::prepare,
        sim::run,
    ),
    part(
        "faults",
        "kills, full disks, damaged folders, hostile clients, crowds",
        When::Alone,
        faults::prepare,
        faults::run,
    ),
    part(
        "door",
        "forged and revoked tokens, pages of other sites, floods, half-open TLS, and what others see meanwhile",
        When::Alone,
        door::prepare,
        door::run,
    ),
    part(
        "packaging",
        "dashboard, alerts, Caddyfile, chart, units and crates, with the real programs",
        When::Alone,
        packaging::prepare,
        packaging::run,
    ),
    part(
        "sdks",
        "other people's clients of the Centrifuge protocol against the channels example",
        When::Alone,
        sdks::prepare,
        sdks::run,
    ),
    part(
        "cluster",
        "nodes over a real NATS: kills, pauses, network cuts, wrong clocks",
        When::Alone,
        cluster::prepare,
        cluster::run,
    ),
    part(
        "autobahn",
        "the Autobahn WebSocket cases against the relay example",
        When::BesideCluster,
        autobahn::prepare,
        autobahn::run,
    ),
    part(
        "fuzz",
        "random bytes into each fuzz target, from the kept corpora on",
        When::BesideCluster,
        fuzz::prepare,
        fuzz::run,
    ),
    part("browser", "the pages of the examples in a headless browser", When::Alone, browser::prepare, browser::run),
    part(
        "clients",
        "the JavaScript client in node and in a headless browser, with kills, cuts and sleep",
        When::Alone,
        clients::prepare,
        clients::run,
    ),
    part(
        "workers",
        "the promises on Cloudflare's workerd, and the size of a Worker",
        When::Alone,
        workers::prepare,
        workers::run,
    ),
    part(
        "copied",
        "a copy of the chat example outside of this repository builds and runs (only with --all, or by name)",
        When::OnRequest,
        nothing,
        copied::run,
    ),
];

const fn part(
    name: &'static str,
    about: &'static str,
    when: When,
    prepare: fn(&Workspace) -> Result<()>,
    run: fn(&Workspace, Length) -> Result<String>,
) -> Part {
    Part { name, about, when, prepare, run }
}

fn nothing(_: &Workspace) -> Result<()> {
    Ok(())
}

/// The name of each part.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    PARTS.iter().map(|part| part.name)
}

/// The name of each part and what it checks, one part per line.
pub(crate) fn list() -> String {
    PARTS.iter().map(|part| format!("{:<12} {}\n", part.name, part.about)).collect()
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for (index, part) in PARTS.iter().enumerate() {
            assert!(PARTS.iter().skip(index + 1).all(|other| other.name != part.name), "{} is there twice", part.name);
        }
    }

    #[test]
    fn a_test_target_that_unit_leaves_out_is_a_part() {
        assert!(tests::OTHER_PARTS.iter().all(|target| names().any(|name| name == *target)));
    }

    #[test]
    fn parts_that_run_first_come_first_and_those_beside_the_cluster_follow_it() {
        let position = |name: &str| PARTS.iter().position(|part| part.name == name).unwrap();
        let first = PARTS.iter().take_while(|part| part.when == When::First).count();
        assert!(PARTS[first..].iter().all(|part| part.when != When::First));
        let beside = PARTS.iter().filter(|part| part.when == When::BesideCluster);
        assert!(beside.into_iter().all(|part| position(part.name) > position("cluster")));
    }
}
