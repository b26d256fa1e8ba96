//! The part `copied`: a copy of the chat example outside of this repository, with path dependencies, builds and runs.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Length;
use crate::server::Server;
use crate::workspace::Workspace;

/// How long the copy may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the part.
pub(super) fn run(workspace: &Workspace, _: Length) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let copy = folder.path();
    let answer = workspace.cargo().args(["metadata", "--no-deps", "--format-version", "1"]).ask()?;
    fs::write(copy.join("Cargo.toml"), manifest(&serde_json::from_str(&answer)?)?)?;
    fs::copy(workspace.root.join("Cargo.lock"), copy.join("Cargo.lock"))?;
    let example = workspace.root.join("examples/chat");
    fs::copy(example.join("README.md"), copy.join("README.md"))?;
    copy_files(&example.join("src"), &copy.join("src"))?;
    let target = workspace.scratch("copied");
    let build = ["build", "--offline", "--bin", "chat", "--target-dir"];
    workspace.cargo().within(copy).args(build).args([&target]).run()?;
    let server = crate::step::Step::program(target.join("debug/chat")).args(["--listen", "127.0.0.1:0"]);
    let mut server = Server::start(server, PATIENCE)?;
    server.check_alive()?;
    Ok("built and started".to_owned())
}

/// The `Cargo.toml` of the copy: the dependencies of the example as cargo resolves them, without those of its tests.
fn manifest(metadata: &Value) -> Result<String> {
    let packages = metadata["packages"].as_array().context("no packages")?;
    let chat = packages.iter().find(|package| package["name"] == "chat").context("no package `chat`")?;
    let mut manifest = String::from(
        "[package]\nname = \"chat\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [profile.dev]\ndebug = false\n",
    );
    let dependencies = chat["dependencies"].as_array().context("no dependencies")?;
    for dependency in dependencies.iter().filter(|it| it["kind"].is_null() && it["optional"] == false) {
        let name = dependency["name"].as_str().context("a dependency without a name")?;
        let key = dependency["rename"].as_str().unwrap_or(name);
        let table = dependency["target"].as_str().map_or_else(String::new, |target| format!("target.'{target}'."));
        writeln!(manifest, "\n[{table}dependencies.{key}]\npackage = \"{name}\"")?;
        match dependency["path"].as_str() {
            Some(path) => writeln!(manifest, "path = {}", serde_json::to_string(path)?)?,
            None => writeln!(manifest, "version = {}", dependency["req"])?,
        }
        writeln!(manifest, "features = {}", dependency["features"])?;
        writeln!(manifest, "default-features = {}", dependency["uses_default_features"])?;
    }
    ensure!(manifest.contains("path = "), "the example has no dependency on this repository");
    Ok(manifest)
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn a_manifest_has_paths_and_versions_and_no_dependencies_of_tests() {
        let metadata = serde_json::json!({ "packages": [{ "name": "chat", "dependencies": [
            { "name": "durable-object-groups", "rename": "dog", "path": "/dog", "req": "^0.1", "kind": null,
              "optional": false, "features": [], "uses_default_features": true, "target": null },
            { "name": "clap", "req": "^4", "kind": null, "optional": false, "features": ["derive"],
              "uses_default_features": false, "target": "cfg(unix)" },
            { "name": "tempfile", "req": "^3", "kind": "dev", "optional": false },
        ] }] });
        let manifest = manifest(&metadata).unwrap();
        assert!(manifest.contains("[dependencies.dog]\npackage = \"durable-object-groups\"\npath = \"/dog\""));
        assert!(manifest.contains(
            "[target.'cfg(unix)'.dependencies.clap]\npackage = \"clap\"\nversion = \"^4\"\nfeatures = [\"derive\"]\n\
             default-features = false"
        ));
        assert!(!manifest.contains("tempfile"));
    }
}
