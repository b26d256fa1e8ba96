//! The structure of the sources, read with `syn`: no circles of imports between files, fields that only their own file can
//! reach, types in few files, public names that are declared once, and files and functions of a readable length.
//!
//! `exceptions` lists what is allowed beyond that, each with a reason.

mod circles;
mod exceptions;
mod finding;
mod lengths;
mod modules;
mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use self::finding::Finding;
use self::modules::Modules;
use self::types::{TypeName, Types};

/// A type's `impl` blocks are in at most this many files.
const IMPL_FILES: usize = 3;
/// The longest function, in lines.
const FUNCTION_LINES: usize = 45;
/// The folders whose packages are read.
const FOLDERS: &[&str] = &["crates", "examples"];
/// The packages beside them.
const PACKAGES: &[&str] = &["benches", "xtask"];

/// Everything that is found, whether or not it is allowed.
fn findings(root: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut public: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
    for package in packages(root)? {
        for start in roots(&package)? {
            let modules = Modules::read(&start)?;
            let types = Types::read(&modules);
            findings.extend(circles::circles(&modules).iter().map(|circle| circle_finding(root, circle)));
            findings.extend(type_findings(root, &types));
            findings.extend(function_findings(root, &modules));
            if start.ends_with("src/lib.rs") && is_published(&package)? {
                for TypeName { file, name } in types.public {
                    public.entry(name).or_default().insert(file);
                }
            }
        }
    }
    findings.extend(name_findings(root, &public));
    findings.sort();
    Ok(findings)
}

/// What is found and not allowed, one line each.
pub(crate) fn violations(root: &Path) -> Result<Vec<String>> {
    let findings = findings(root)?;
    let unused = exceptions::unused(&findings);
    let violations =
        findings.into_iter().filter(|finding| exceptions::reason(finding).is_none()).map(|finding| finding.text);
    Ok(violations.chain(unused).collect())
}

/// Prints everything that is found, whether or not it is allowed.
pub(crate) fn report(root: &Path) -> Result<()> {
    let findings = findings(root)?;
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for finding in &findings {
        let reason = exceptions::reason(finding);
        let count = counts.entry(finding.kind).or_default();
        count.0 += 1;
        count.1 += usize::from(reason.is_some());
        let note = reason.map(|reason| format!(" (allowed: {reason})")).unwrap_or_default();
        println!("{}: {}{note}", finding.kind, finding.text);
    }
    for (kind, (all, allowed)) in counts {
        println!("{kind}: {all}, of which {allowed} are allowed");
    }
    Ok(())
}

/// Whether a package is for users.
fn is_published(package: &Path) -> Result<bool> {
    Ok(!fs::read_to_string(package.join("Cargo.toml"))?.lines().any(|line| line == "publish = false"))
}

fn packages(root: &Path) -> Result<Vec<PathBuf>> {
    let mut packages: Vec<PathBuf> = PACKAGES.iter().map(|package| root.join(package)).collect();
    for folder in FOLDERS {
        packages.extend(entries(&root.join(folder))?);
    }
    packages.retain(|package| package.join("src").is_dir());
    packages.sort();
    Ok(packages)
}

/// The files from which the library and the programs of a package start.
fn roots(package: &Path) -> Result<Vec<PathBuf>> {
    let source = package.join("src");
    let mut roots = vec![source.join("lib.rs"), source.join("main.rs")];
    if source.join("bin").is_dir() {
        for entry in entries(&source.join("bin"))? {
            roots.push(if entry.is_dir() { entry.join("main.rs") } else { entry });
        }
    }
    roots.retain(|root| root.is_file());
    Ok(roots)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let listing = fs::read_dir(folder).with_context(|| format!("{} cannot be listed", folder.display()))?;
    Ok(listing.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<_>>()?)
}

fn shown(root: &Path, file: &Path) -> String {
    file.strip_prefix(root).unwrap_or(file).display().to_string()
}

fn circle_finding(root: &Path, circle: &BTreeSet<PathBuf>) -> Finding {
    let files: Vec<String> = circle.iter().map(|file| shown(root, file)).collect();
    let text = format!("{} files import each other in a circle: {}", files.len(), files.join(", "));
    Finding { kind: "circle", key: files.join(" "), size: files.len(), text }
}

fn type_findings(root: &Path, types: &Types) -> Vec<Finding> {
    let key = |name: &TypeName| format!("{}::{}", shown(root, &name.file), name.name);
    let open = types.open_structs.iter().filter(|found| !found.is_plain).map(|found| Finding {
        kind: "field",
        key: key(&found.name),
        size: found.open.len(),
        text: format!("{} lets other files reach its fields {}", key(&found.name), found.open.join(", ")),
    });
    let spread = types.impl_files.iter().filter(|(_, files)| files.len() > IMPL_FILES).map(|(name, files)| Finding {
        kind: "spread",
        key: key(name),
        size: files.len(),
        text: format!(
            "{} is implemented in {} files, {IMPL_FILES} is the limit: {}",
            key(name),
            files.len(),
            files.iter().map(|file| shown(root, file)).collect::<Vec<_>>().join(", ")
        ),
    });
    open.chain(spread).collect()
}

fn function_findings(root: &Path, modules: &Modules) -> Vec<Finding> {
    let functions = modules.files().flat_map(|(path, file, _)| lengths::functions(path, file));
    let long = functions.filter(|function| function.lines > FUNCTION_LINES);
    long.map(|function| {
        let key = format!("{}::{}", shown(root, &function.file), function.name);
        let text = format!("{key} has {} lines, {FUNCTION_LINES} is the limit", function.lines);
        Finding { kind: "function", key, size: function.lines, text }
    })
    .collect()
}

fn name_findings(root: &Path, public: &BTreeMap<String, BTreeSet<PathBuf>>) -> Vec<Finding> {
    let twice = public.iter().filter(|(_, files)| files.len() > 1);
    twice
        .map(|(name, files)| {
            let files: Vec<String> = files.iter().map(|file| shown(root, file)).collect();
            let text = format!("the public type {name} is declared in {}", files.join(", "));
            Finding { kind: "name", key: name.clone(), size: files.len(), text }
        })
        .collect()
}
