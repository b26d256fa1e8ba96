//! The part `layers`: which crate may depend on which, checked on what cargo resolves, and the structure of the sources.

use anyhow::{Result, bail};

use super::length::Length;
use super::sources;
use crate::structure;
use crate::workspace::{Package, Workspace};

/// What all our published packages are called, or begin with.
const OURS: &str = "durable-object-groups";

/// One of our crates and what it may build on.
struct Layer {
    package: &'static str,
    /// The others of our crates that it may reach, directly or not.
    below: &'static [&'static str],
    /// Whether it must do without a runtime, threads, sockets and randomness of its own.
    runtime_free: bool,
    /// Of what such a crate must not reach: what a library that it needs brings along.
    reaches: &'static [&'static str],
}

/// Our crates from the bottom up. A new crate says here where it stands.
const LAYERS: &[Layer] = &[
    Layer { package: "durable-object-groups", below: &[], runtime_free: true, reaches: &[] },
    Layer {
        package: "durable-object-groups-engine",
        below: &["durable-object-groups"],
        runtime_free: true,
        reaches: &[],
    },
    Layer {
        package: "durable-object-groups-conformance",
        below: &["durable-object-groups"],
        runtime_free: true,
        reaches: &[],
    },
    Layer {
        package: "durable-object-groups-door",
        below: &["durable-object-groups"],
        runtime_free: true,
        // Public-key cryptography, for signatures that this crate does not make.
        reaches: &["getrandom"],
    },
    Layer {
        package: "durable-object-groups-channels",
        below: &["durable-object-groups"],
        runtime_free: true,
        reaches: &[],
    },
    Layer {
        package: "durable-object-groups-testing",
        below: &["durable-object-groups", "durable-object-groups-engine"],
        runtime_free: true,
        reaches: &[],
    },
    Layer {
        package: "durable-object-groups-sim",
        below: &["durable-object-groups", "durable-object-groups-engine", "durable-object-groups-testing"],
        runtime_free: true,
        reaches: &[],
    },
    Layer {
        package: "durable-object-groups-native",
        below: &["durable-object-groups", "durable-object-groups-engine"],
        runtime_free: false,
        reaches: &[],
    },
    Layer {
        package: "durable-object-groups-nats",
        below: &["durable-object-groups", "durable-object-groups-engine", "durable-object-groups-native"],
        runtime_free: false,
        reaches: &[],
    },
    Layer {
        package: "durable-object-groups-workers",
        below: &["durable-object-groups", "durable-object-groups-engine"],
        runtime_free: false,
        reaches: &[],
    },
];

/// What a crate without a runtime must not reach, however deep in its tree.
const RUNTIMES: &[&str] = &["tokio", "mio", "hyper", "socket2", "getrandom", "async-nats", "worker"];

/// Packages that only one crate of ours may name.
const SOLE_USERS: &[(&str, &str)] =
    &[("async-nats", "durable-object-groups-nats"), ("worker", "durable-object-groups-workers")];

/// Runs the part.
pub(super) fn run(workspace: &Workspace, _: Length) -> Result<String> {
    let mut violations = tree_violations(workspace)?;
    violations.extend(name_violations(&workspace.packages));
    println!("reading the sources: words that pure code must not use, lengths, structure");
    violations.extend(sources::violations(&workspace.root)?);
    violations.extend(structure::violations(&workspace.root)?);
    report(&violations)?;
    Ok(format!("{} crates", LAYERS.len()))
}

/// The crates that do without a runtime.
pub(super) fn runtime_free() -> impl Iterator<Item = &'static str> {
    LAYERS.iter().filter(|layer| layer.runtime_free).map(|layer| layer.package)
}

fn report(violations: &[String]) -> Result<()> {
    violations.iter().for_each(|violation| println!("  {violation}"));
    match violations {
        [] => Ok(()),
        [only] => bail!("{only}"),
        [first, rest @ ..] => bail!("{first}, and {} more", rest.len()),
    }
}

fn tree_violations(workspace: &Workspace) -> Result<Vec<String>> {
    let mut violations = Vec::new();
    for layer in LAYERS {
        // For all targets at once: a dependency for wasm only, or for another system only, counts too.
        let what = ["tree", "--edges", "normal", "--target", "all", "--prefix", "none", "--format", "{p}", "-p"];
        let step = workspace.cargo().args(what).args([layer.package]);
        step.show();
        violations.extend(layer.violations(&step.ask()?));
    }
    Ok(violations)
}

impl Layer {
    /// What is wrong with this crate's dependency tree, printed by `cargo tree` one package a line.
    fn violations(&self, tree: &str) -> Vec<String> {
        let mut names: Vec<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
        names.sort_unstable();
        names.dedup();
        if !names.contains(&self.package) {
            return vec![format!("the dependency tree of {} does not name it", self.package)];
        }
        let forbidden = names.into_iter().filter(|name| *name != self.package && !self.allows(name));
        forbidden.map(|name| format!("{} must not depend on {name}", self.package)).collect()
    }

    fn allows(&self, name: &str) -> bool {
        if is_ours(name) {
            return self.below.contains(&name);
        }
        !self.runtime_free || !RUNTIMES.contains(&name) || self.reaches.contains(&name)
    }
}

/// What is wrong with what the members' `Cargo.toml` files name, whatever the kind of dependency.
fn name_violations(packages: &[Package]) -> Vec<String> {
    let mut violations = Vec::new();
    for package in packages {
        if is_ours(&package.name) && LAYERS.iter().all(|layer| layer.package != package.name) {
            violations.push(format!("{} has no place in the table of layers", package.name));
        }
        for (name, user) in SOLE_USERS {
            if package.name != *user && package.dependencies.iter().any(|dependency| dependency == name) {
                violations.push(format!("{} names {name}, which only {user} may", package.name));
            }
        }
    }
    violations
}

fn is_ours(package: &str) -> bool {
    package.strip_prefix(OURS).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(name: &str) -> &'static Layer {
        LAYERS.iter().find(|layer| layer.package == format!("durable-object-groups-{name}")).unwrap()
    }

    #[test]
    fn a_tree_within_its_layer_passes() {
        let tree = "durable-object-groups-engine v0.1.0 (/w)\nbytes v1.0.0\ndurable-object-groups v0.1.0 (/w)\nbytes v1.0.0 (*)\n";
        assert_eq!(layer("engine").violations(tree), [""; 0]);
        let tree =
            "durable-object-groups-native v0.1.0\ndurable-object-groups-engine v0.1.0\ntokio v1.0.0\nmio v1.0.0\n";
        assert_eq!(layer("native").violations(tree), [""; 0]);
    }

    #[test]
    fn a_runtime_deep_in_a_pure_crate_is_found() {
        let tree = "durable-object-groups-engine v0.1.0\nsome-helper v1.0.0\ntokio v1.54.0\ntokio-util v0.7.0\n";
        assert_eq!(layer("engine").violations(tree), ["durable-object-groups-engine must not depend on tokio"]);
    }

    #[test]
    fn what_a_library_brings_along_is_allowed_and_nothing_else() {
        let tree = "durable-object-groups-door v0.1.0\nrand_core v0.6.4\ngetrandom v0.2.17\n";
        assert_eq!(layer("door").violations(tree), [""; 0]);
        let tree = "durable-object-groups-door v0.1.0\ngetrandom v0.2.17\nmio v1.0.0\n";
        assert_eq!(layer("door").violations(tree), ["durable-object-groups-door must not depend on mio"]);
    }

    #[test]
    fn an_arrow_against_the_direction_is_found() {
        let tree = "durable-object-groups-engine v0.1.0\ndurable-object-groups-native v0.1.0 (*)\n";
        assert_eq!(
            layer("engine").violations(tree),
            ["durable-object-groups-engine must not depend on durable-object-groups-native"]
        );
    }

    #[test]
    fn an_empty_tree_does_not_pass_for_a_clean_one() {
        assert_eq!(layer("engine").violations("").len(), 1);
    }

    #[test]
    fn only_its_own_crate_may_name_a_platform() {
        let package = |name: &str, dependency: &str| Package {
            name: name.to_owned(),
            dependencies: vec![dependency.to_owned()],
            integration_tests: Vec::new(),
        };
        assert_eq!(
            name_violations(&[package("chat", "async-nats")]),
            ["chat names async-nats, which only durable-object-groups-nats may"]
        );
        assert_eq!(
            name_violations(&[package("durable-object-groups-new", "bytes")]),
            ["durable-object-groups-new has no place in the table of layers"]
        );
        assert_eq!(name_violations(&[package("durable-object-groups", "worker-macros")]), [""; 0]);
    }
}
