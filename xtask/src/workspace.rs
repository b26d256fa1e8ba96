//! What cargo knows of this workspace: where it lies, where it builds, which packages and test targets it has.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::step::Step;

/// The workspace, as `cargo metadata` tells it.
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
    /// The packages that its `Cargo.toml` names, of every kind.
    pub(crate) dependencies: Vec<String>,
    /// Its integration tests that need no feature to be switched on.
    pub(crate) integration_tests: Vec<String>,
}

impl Workspace {
    /// Asks cargo about the workspace around the current folder.
    pub(crate) fn find() -> Result<Self> {
        let answer = Step::cargo().args(["metadata", "--no-deps", "--format-version", "1"]).ask()?;
        Self::parse(&answer).context("cargo metadata in a form that we do not know")
    }

    fn parse(metadata: &str) -> Result<Self> {
        let metadata: Value = serde_json::from_str(metadata)?;
        Ok(Self {
            root: text(&metadata, "workspace_root")?.into(),
            target: text(&metadata, "target_directory")?.into(),
            packages: list(&metadata, "packages").map(Package::parse).collect::<Result<_>>()?,
        })
    }

    /// Where this command keeps what it makes for itself, such as reports.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.target.join("xtask").join(name)
    }

    /// A path as it is best shown: from the workspace's root, where it lies inside.
    pub(crate) fn show<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }

    /// A cargo command that starts from the workspace's root, wherever we were called.
    pub(crate) fn cargo(&self) -> Step {
        Step::cargo().within(&self.root)
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

/// The elements of a list; none when there is no such list, for cargo leaves out what is empty.
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
