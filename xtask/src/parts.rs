//! The tables of what there is to run, and the run itself with its closing table.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::workspace::Workspace;
use crate::{autobahn, bench, browser, checks, cluster, cluster_bench, deny, faults, fuzz, layers, sim, wasm, workers};

/// One part of `cargo xtask test`. An integration test target that bears the name of a part is left to that part.
pub(crate) struct Part {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// One line for `--list`.
    pub(crate) about: &'static str,
    /// Runs it; the text is a note for the closing table, such as how many cases there were.
    run: fn(&Workspace) -> Result<String>,
}

/// All parts, cheap ones first, so that a slip in style is told before anything slow begins.
pub(crate) const PARTS: &[Part] = &[
    Part { name: "fmt", about: "the sources are as rustfmt writes them", run: checks::fmt },
    Part { name: "clippy", about: "no warning in any target", run: checks::clippy },
    Part { name: "docs", about: "the documentation builds without a warning", run: checks::docs },
    Part {
        name: "layers",
        about: "who may depend on whom, what pure code may name, how long files may be",
        run: layers::run,
    },
    Part { name: "deny", about: "licences, sources, bans and known advisories of all dependencies", run: deny::run },
    Part { name: "wasm", about: "the crates without a runtime build for wasm32-unknown-unknown", run: wasm::run },
    Part { name: "unit", about: "unit, property, integration and documentation tests", run: checks::unit },
    Part {
        name: "conformance",
        about: "the promises, over real connections, on every host here",
        run: checks::conformance,
    },
    Part {
        name: "counting",
        about: "what a delivery takes, in allocations, system calls and wakes",
        run: checks::counting,
    },
    Part {
        name: "sim",
        about: "thousands of seeded runs with crashes and cuts, and five bugs to be found",
        run: sim::run,
    },
    Part { name: "faults", about: "kills, full disks, damaged folders, hostile clients, crowds", run: faults::run },
    Part { name: "autobahn", about: "the Autobahn cases against the relay example", run: autobahn::run },
    Part { name: "browser", about: "the chat page in a real, headless browser", run: browser::run },
    Part {
        name: "cluster",
        about: "the promises on nodes over a real NATS, and what befalls those",
        run: cluster::run,
    },
    Part { name: "workers", about: "the promises on Cloudflare's workerd, and what lives there", run: workers::run },
    Part { name: "fuzz", about: "whatever bytes come, from the kept corpora on, for a short while", run: fuzz::run },
];

/// One measurement of `cargo xtask bench`.
pub(crate) struct Bench {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// One line for `help`.
    pub(crate) about: &'static str,
    /// Runs it with the arguments after its name.
    pub(crate) run: fn(&Workspace, &[String]) -> Result<()>,
}

/// All measurements. The first is done where none is named.
pub(crate) const BENCHES: &[Bench] = &[
    Bench {
        name: "all",
        about: "the relay beside its peers, in every scenario (--list); what `bench` alone does",
        run: bench::run,
    },
    Bench { name: "relay", about: "fan-out of the relay beside a bare epoll+send loop", run: checks::bench_relay },
    Bench { name: "cluster", about: "nodes over NATS beside nodes of others over Redis", run: cluster_bench::run },
    Bench {
        name: "nats",
        about: "what nats-server costs: messages, lookups, claims, leases",
        run: cluster_bench::nats,
    },
    Bench { name: "workers", about: "the relay on workerd beside the same on npm's dog", run: workers::bench },
];

/// How one part ended.
struct Finished {
    name: &'static str,
    took: Duration,
    result: Result<String>,
}

/// Runs these parts, going on after a failure so that one run shows everything; true when all passed.
pub(crate) fn run(parts: &[&Part], workspace: &Workspace) -> bool {
    let finished: Vec<Finished> = parts.iter().map(|part| run_one(part, workspace)).collect();
    println!("\n{}", summary(&finished));
    finished.iter().all(|part| part.result.is_ok())
}

fn run_one(part: &Part, workspace: &Workspace) -> Finished {
    println!("\n=== {}: {}", part.name, part.about);
    let started = Instant::now();
    let result = (part.run)(workspace);
    let took = started.elapsed();
    match &result {
        Ok(_) => println!("=== {} passed in {:.1} s", part.name, took.as_secs_f64()),
        Err(error) => println!("=== {} FAILED in {:.1} s: {error:#}", part.name, took.as_secs_f64()),
    }
    Finished { name: part.name, took, result }
}

/// The closing table, and the plain line that CI reads: `N passed, M failed`, where N and M count parts.
fn summary(finished: &[Finished]) -> String {
    let mut text = format!("{:<12} {:<7} {:>8}  note\n", "part", "result", "seconds");
    for part in finished {
        let (result, note) = match &part.result {
            Ok(note) => ("passed", note.clone()),
            Err(error) => ("FAILED", first_line(&format!("{error:#}"))),
        };
        let row = format!("{:<12} {result:<7} {:>8.1}  {note}", part.name, part.took.as_secs_f64());
        text.push_str(row.trim_end());
        text.push('\n');
    }
    let total: Duration = finished.iter().map(|part| part.took).sum();
    let failed = finished.iter().filter(|part| part.result.is_err()).count();
    text.push_str(&format!("{:<20} {:>8.1}\n\n", "all", total.as_secs_f64()));
    text.push_str(&format!("{} passed, {failed} failed", finished.len() - failed));
    text
}

/// Errors may carry a list; the table has room for its head only.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(name: &'static str, result: Result<String>) -> Finished {
        Finished { name, took: Duration::from_millis(1_500), result }
    }

    #[test]
    fn the_last_line_counts_parts() {
        let text = summary(&[
            ended("fmt", Ok(String::new())),
            ended("unit", Err(anyhow::anyhow!("broken\nin detail"))),
            ended("wasm", Ok("built".to_owned())),
        ]);
        assert_eq!(text.lines().last(), Some("2 passed, 1 failed"));
        assert!(text.contains("unit         FAILED       1.5  broken\n"), "{text}");
        assert!(text.contains("fmt          passed       1.5\n"), "{text}");
    }

    #[test]
    fn names_are_unique() {
        for (index, part) in PARTS.iter().enumerate() {
            assert!(PARTS.iter().skip(index + 1).all(|other| other.name != part.name), "{} is there twice", part.name);
        }
    }
}
