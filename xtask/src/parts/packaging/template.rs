//! The template for `cargo generate`: what it generates is built as a static program, with musl where its standard library can be had,
//! and its tests run.
//!
//! cargo-generate itself is not used, because it takes minutes to build: the template has plain placeholders only, which are filled in
//! here.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::provision::{apt, rust};
use crate::step::{Step, text};
use crate::workspace::Workspace;

const NAME: &str = "my-rooms";
const LIMIT: Duration = Duration::from_mins(10);

/// What was generated.
pub(super) struct Generated {
    /// The program, which needs no library of the machine.
    pub(super) program: PathBuf,
    /// The target that it was built for.
    pub(super) target: String,
}

/// Generates a project and builds it.
pub(super) fn prepare(workspace: &Workspace) -> Result<()> {
    let folder = folder(workspace);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let values = [("project-name", NAME), ("crate_name", &NAME.replace('-', "_")), ("dog", text(&workspace.root)?)];
    generate(&workspace.root.join("packaging/template"), &folder, &values)?;
    // The versions that everything else is tested with.
    fs::copy(workspace.root.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    test(workspace, &static_target()?).args(["--no-run"]).run()
}

/// Runs the tests of the project, which [`prepare`] has built.
pub(super) fn run(workspace: &Workspace) -> Result<Generated> {
    let target = static_target()?;
    test(workspace, &target).run()?;
    Ok(Generated { program: build_folder(workspace).join(&target).join("debug").join(NAME), target })
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.scratch("template")
}

fn build_folder(workspace: &Workspace) -> PathBuf {
    workspace.scratch("template-target")
}

fn test(workspace: &Workspace, target: &str) -> Step {
    let step = Step::cargo().args(["test", "--target", target, "--target-dir"]).args([build_folder(workspace)]);
    let step = step.within(&folder(workspace)).env("CARGO_PROFILE_DEV_DEBUG", "false").limit(LIMIT);
    if target.ends_with("-musl") { step } else { step.env("RUSTFLAGS", "-Ctarget-feature=+crt-static") }
}

/// Copies the files of a template with its placeholders filled in. All of them must be known.
fn generate(template: &Path, folder: &Path, values: &[(&str, &str)]) -> Result<()> {
    fs::create_dir_all(folder)?;
    for entry in template.read_dir()? {
        let entry = entry?;
        let (from, to) = (entry.path(), folder.join(entry.file_name()));
        if from.is_dir() {
            generate(&from, &to, values)?;
        } else if !from.ends_with("cargo-generate.toml") {
            fs::write(to, filled_in(&fs::read_to_string(&from)?, values).with_context(|| from.display().to_string())?)?;
        }
    }
    Ok(())
}

fn filled_in(template: &str, values: &[(&str, &str)]) -> Result<String> {
    let fill = |text: String, (name, value): &(&str, &str)| text.replace(&format!("{{{{{name}}}}}"), value);
    let filled = values.iter().fold(template.to_owned(), fill);
    match filled.find("{{") {
        Some(at) => bail!("a placeholder that is not known: {}", filled[at..].lines().next().unwrap_or_default()),
        None => Ok(filled),
    }
}

/// This machine's target with musl, or else the one with glibc, which can be linked statically too.
fn static_target() -> Result<String> {
    let about = Step::program("rustc").args(["-vV"]).ask()?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let musl = host.replace("-gnu", "-musl");
    match rust::target(&musl) {
        Ok(()) => {
            apt::programs(&[("musl-gcc", "musl-tools")])?;
            Ok(musl)
        }
        Err(error) => {
            println!("note: no standard library for {musl}: {error:#}");
            Ok(host.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_in_and_unknown_ones_are_errors() {
        let values = [("project-name", "a"), ("dog", "/b")];
        assert_eq!(filled_in("{{project-name}} in {{dog}}/c, and {} too", &values).unwrap(), "a in /b/c, and {} too");
        let error = filled_in("x\n{{other}} y\nz", &values).unwrap_err().to_string();
        assert!(error.ends_with("{{other}} y"), "{error}");
    }
}
