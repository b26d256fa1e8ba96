//! The crates for crates.io: their metadata, and what cargo packs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::step::{Step, text};
use crate::workspace::Workspace;

/// What crates.io shows, or requires.
const TEXTS: &[&str] = &["description", "license", "rust_version", "readme"];
/// At most five of each.
const LISTS: &[&str] = &["keywords", "categories", "authors"];
/// What each crate must contain beside its sources. People who get a crate get nothing else of this repository.
const FILES: &[&str] = &["Cargo.toml", "LICENSE", "README.md", "src/lib.rs"];

/// Runs the checks. The text says how many crates there are.
pub(super) fn run(workspace: &Workspace) -> Result<String> {
    let answer = workspace.cargo().args(["metadata", "--no-deps", "--format-version", "1"]).ask()?;
    let published = published(&serde_json::from_str(&answer)?)?;
    // They depend on each other, so one command packs them all. They were compiled before.
    let packages = published.iter().flat_map(|name| ["-p", name]);
    let target = workspace.scratch("crates");
    if target.exists() {
        // What an earlier version packed must not count.
        std::fs::remove_dir_all(&target)?;
    }
    let pack = workspace.cargo().args(["package", "--no-verify", "--allow-dirty", "--target-dir"]).args([&target]);
    pack.args(packages).run()?;
    for name in &published {
        contains(&packed(&target, name)?, name)?;
    }
    Ok(format!("{} crates packed", published.len()))
}

/// The names of the packages for crates.io. Their metadata must be complete.
fn published(metadata: &Value) -> Result<Vec<String>> {
    let packages = metadata["packages"].as_array().context("no packages")?;
    // `publish = false` is an empty list of registries.
    let published = packages.iter().filter(|package| package["publish"].is_null());
    let names: Vec<String> = published
        .map(|package| {
            let name = package["name"].as_str().context("a package without a name")?;
            complete(package).with_context(|| format!("the metadata of {name}"))?;
            Ok(name.to_owned())
        })
        .collect::<Result<_>>()?;
    ensure!(!names.is_empty(), "no package is for crates.io");
    Ok(names)
}

fn complete(package: &Value) -> Result<()> {
    for field in TEXTS {
        ensure!(package[field].as_str().is_some_and(|text| !text.is_empty()), "there is no {field}");
    }
    for field in LISTS {
        let count = package[field].as_array().map_or(0, Vec::len);
        ensure!((1..=5).contains(&count), "{count} {field}: 1 to 5 are allowed");
    }
    Ok(())
}

fn packed(target: &Path, name: &str) -> Result<PathBuf> {
    let files = target.join("package").read_dir()?.flatten().map(|entry| entry.path());
    let is_it = |path: &PathBuf| {
        let version = path.file_stem().and_then(|stem| stem.to_str()?.strip_prefix(name)?.strip_prefix('-'));
        path.extension().is_some_and(|it| it == "crate")
            && version.is_some_and(|it| it.starts_with(|c: char| c.is_ascii_digit()))
    };
    files.into_iter().find(is_it).with_context(|| format!("cargo has packed no {name}"))
}

fn contains(archive: &Path, name: &str) -> Result<()> {
    let list = Step::program("tar").args(["-tzf", text(archive)?]).ask()?;
    let files: Vec<&str> = list.lines().filter_map(|path| Some(path.split_once('/')?.1)).collect();
    match FILES.iter().find(|file| !files.contains(file)) {
        Some(missing) => bail!("the crate {name} does not contain {missing}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_published_must_have_complete_metadata() {
        let complete = json!({ "name": "dog", "description": "d", "license": "MIT", "rust_version": "1.95", "readme": "README.md",
            "keywords": ["actor"], "categories": ["concurrency"], "authors": ["us"], "publish": null });
        let private = json!({ "name": "xtask", "publish": [] });
        let names = |packages: &[&Value]| published(&json!({ "packages": packages }));
        assert_eq!(names(&[&complete, &private]).unwrap(), ["dog"]);
        assert!(names(&[&private]).is_err());
        for (field, wrong) in [("license", json!(null)), ("description", json!("")), ("categories", json!([]))] {
            let mut package = complete.clone();
            package[field] = wrong;
            let error = format!("{:#}", names(&[&package]).unwrap_err());
            assert!(error.contains("the metadata of dog") && error.contains(field), "{error}");
        }
    }
}
