//! What cargo knows of this workspace: its folder, its target folder, its packages and their test targets.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::step::Step;

/// The packages outside the workspace.
pub(crate) const OTHER_MANIFESTS: &[&str] = &["fuzz/Cargo.toml", RUST_PEERS];
/// The servers in Rust that the benchmarks compare with: outside the workspace, so that nothing else compiles what they need.
pub(crate) const RUST_PEERS: &str = "benches/peers/rust/Cargo.toml";

/// Cargo's arguments for everything that tests are compiled for: every package, and the feature that tests in a browser need. Cargo
/// compiles a dependency again if another choice of packages gives it other features, so all parts make the same choice.
const ALL_PACKAGES: &[&str] = &["--workspace", "--features", "chat/browser,game/browser,jobs/browser"];
/// Cargo's profile for tests that count in hundreds of thousands.
const OPTIMISED: &[&str] = &["--profile", "optimised-test"];

/// The workspace, as `cargo metadata` describes it.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The folder of the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
    /// The members.
    pub(crate) packages: Vec<Package>,
}

/// One member.
#[derive(Debug)]
pub(crate) struct Package {
    /// Its package name.
    pub(crate) name: String,
    /// The packages that its `Cargo.toml` names as dependencies of any kind.
    pub(crate) dependencies: Vec<String>,
    /// Its integration tests that need no feature.
    pub(crate) integration_tests: Vec<String>,
}

impl Workspace {
    /// Asks cargo about the workspace around the current folder.
    pub(crate) fn find() -> Result<Self> {
        let answer = Step::cargo().args(["metadata", "--no-deps", "--format-version", "1"]).ask()?;
        Self::parse(&answer).context("cargo metadata of an unknown form")
    }

    fn parse(metadata: &str) -> Result<Self> {
        let metadata: Value = serde_json::from_str(metadata)?;
        Ok(Self {
            root: text(&metadata, "workspace_root")?.into(),
            target: text(&metadata, "target_directory")?.into(),
            packages: list(&metadata, "packages").map(Package::parse).collect::<Result<_>>()?,
        })
    }

    /// A path for files of these commands, for example reports.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.target.join("xtask").join(name)
    }

    /// A path for people: relative to the workspace's root, if it is inside.
    pub(crate) fn show<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }

    /// A cargo command in the workspace's root.
    pub(crate) fn cargo(&self) -> Step {
        Step::cargo().within(&self.root)
    }

    /// `cargo test` with the packages and features that all parts use.
    pub(crate) fn cargo_test(&self) -> Step {
        self.cargo().args(["test"]).args(ALL_PACKAGES)
    }

    /// `cargo build` with the same packages and features.
    pub(crate) fn cargo_build(&self) -> Step {
        self.cargo().args(["build"]).args(ALL_PACKAGES)
    }

    /// As [`Workspace::cargo_test`], optimised.
    pub(crate) fn optimised_test(&self) -> Step {
        self.cargo_test().args(OPTIMISED)
    }

    /// Builds everything that the parts run optimised, with one cargo command.
    pub(crate) fn build_optimised(&self) -> Result<()> {
        let targets = ["--bin", "relay", "--test", "faults"];
        self.cargo_build().args(OPTIMISED).args(targets).run()
    }

    /// The path of a program that [`Workspace::cargo_test`] built for its integration tests.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.target.join("debug").join(name)
    }

    /// The path of a program that [`Workspace::build_optimised`] built.
    pub(crate) fn optimised_program(&self, name: &str) -> PathBuf {
        self.target.join(OPTIMISED[1]).join(name)
    }
}

impl Package {
    fn parse(package: &Value) -> Result<Self> {
        let is_free_test = |target: &&Value| {
            list(target, "kind").any(|kind| kind == "test") && list(target, "required-features").next().is_none()
        };
        Ok(Self {
            name: text(package, "name")?,
            dependencies: list(package, "dependencies").map(|it| text(it, "name")).collect::<Result<_>>()?,
            integration_tests: list(package, "targets")
                .filter(is_free_test)
                .map(|it| text(it, "name"))
                .collect::<Result<_>>()?,
        })
    }
}

fn text(value: &Value, key: &str) -> Result<String> {
    Ok(value[key].as_str().with_context(|| format!("no text `{key}`"))?.to_owned())
}

/// The elements of a list; none if there is no such list, because cargo leaves out what is empty.
fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_gives_packages_and_their_free_integration_tests() {
        let workspace = Workspace::parse(
            r#"{ "workspace_root": "/w", "target_directory": "/w/target", "packages": [ {
                "name": "chat", "dependencies": [ { "name": "tokio", "kind": "dev" } ], "targets": [
                    { "name": "chat", "kind": ["bin"] },
                    { "name": "room", "kind": ["test"] },
                    { "name": "browser", "kind": ["test"], "required-features": ["browser"] } ] } ] }"#,
        )
        .unwrap();
        let package = &workspace.packages[0];
        assert_eq!((package.name.as_str(), package.dependencies.as_slice()), ("chat", &["tokio".to_owned()][..]));
        assert_eq!(package.integration_tests, ["room"]);
        assert_eq!(workspace.scratch("report"), Path::new("/w/target/xtask/report"));
        assert_eq!(workspace.show(Path::new("/w/src/main.rs")).to_string(), "src/main.rs");
    }

    #[test]
    fn metadata_of_another_form_is_an_error() {
        assert!(Workspace::parse("{}").is_err());
        assert!(Workspace::parse("nonsense").is_err());
    }
}
