//! A Rust toolchain for wasm made of Debian's packages, for machines where rustup cannot reach its server: [`Toolchain`].
//!
//! Debian has a current compiler, because Firefox and Chromium need one, but no package with the standard library for wasm.
//! This module unpacks the compiler and the library's sources under `target/`. It does not install them, because they would
//! conflict with rustup. It builds the library from the sources. The linker is the one in rustup's toolchain.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::rust::WASM_TARGET;
use super::{apt, lock, write_program};
use crate::step::{Step, text};
use crate::workspace::Workspace;

/// The compiler, the libraries that it links on this machine, and the sources of the standard library.
const PACKAGES: &[&str] = &["rustc-web", "libstd-rust-web-dev", "rust-web-src"];

/// Increase the number when the way the toolchain is made changes.
const RECIPE: &str = "recipe 1";

/// A toolchain that has been made.
pub(super) struct Toolchain {
    folder: PathBuf,
    linker: PathBuf,
}

/// Whether an earlier run has made it.
pub(super) fn is_made(workspace: &Workspace) -> bool {
    Toolchain::stamp(&folder(workspace)).is_some()
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.scratch("debian")
}

impl Toolchain {
    /// Makes it, unless an earlier run has made it.
    pub(super) fn install(workspace: &Workspace) -> Result<Self> {
        let toolchain = Self { folder: folder(workspace), linker: linker()? };
        let _lock = lock(&toolchain.folder)?;
        if let Some(made) = Self::stamp(&toolchain.folder) {
            println!("the wasm toolchain was made by an earlier run: {made}");
            return Ok(toolchain);
        }
        apt::update()?;
        let packages = packages()?;
        // An earlier run may have been interrupted.
        match fs::remove_dir_all(&toolchain.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => fs::create_dir_all(&toolchain.folder)?,
        }
        apt::unpack(&packages, &toolchain.root())?;
        toolchain.write_rustc()?;
        toolchain.link_sources()?;
        toolchain.build_library()?;
        fs::write(toolchain.folder.join("made"), format!("{RECIPE}: {}", packages.join(" ")))?;
        Ok(toolchain)
    }

    /// What was made there, if it is complete and of this recipe.
    fn stamp(folder: &Path) -> Option<String> {
        fs::read_to_string(folder.join("made")).ok().filter(|made| made.starts_with(&format!("{RECIPE}: ")))
    }

    fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// The compiler.
    pub(super) fn rustc(&self) -> PathBuf {
        self.folder.join("rustc")
    }

    /// The target folder for what it compiles.
    pub(super) fn build_folder(&self) -> PathBuf {
        self.folder.join("build")
    }

    /// Makes a step compile with it.
    pub(super) fn apply(&self, step: Step) -> Result<Step> {
        let step = step.env("RUSTC", text(&self.rustc())?);
        Ok(step.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", text(&self.linker)?))
    }

    /// A script that runs the compiler with its shared libraries, which the dynamic linker would not find.
    fn write_rustc(&self) -> Result<()> {
        let library = self.root().join("usr/lib");
        let is_shared = |folder: &PathBuf| folder.extension().is_none() && ends_with(folder, "-linux-gnu");
        let shared = entries(&library)?.into_iter().find(is_shared).context("rustc-web without shared libraries")?;
        let rustc = self.root().join("usr/bin/rustc");
        let script = format!(
            "#!/bin/sh\nLD_LIBRARY_PATH='{}'\"${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}\" exec '{}' \"$@\"\n",
            shared.display(),
            rustc.display()
        );
        write_program(&self.rustc(), &script)
    }

    /// Cargo expects the library's sources where rustup puts them. Debian puts them with all other sources.
    fn link_sources(&self) -> Result<()> {
        let link = self.root().join("usr/lib/rustlib/src/rust");
        if link.join("library/std").is_dir() {
            return Ok(());
        }
        fs::create_dir_all(link.parent().context("a parent")?)?;
        // A dangling link: its target is an absolute path.
        let _ = fs::remove_file(&link);
        Ok(symlink(self.sources()?, link)?)
    }

    fn sources(&self) -> Result<PathBuf> {
        let all = entries(&self.root().join("usr/src"))?;
        all.into_iter().find(|folder| folder.join("library/std").is_dir()).context("rust-web-src without a library")
    }

    /// Builds the library into the compiler's own folder of libraries.
    fn build_library(&self) -> Result<()> {
        let built = self.folder.join("library");
        let what = ["build", "--release", "--locked", "--target", WASM_TARGET, "--target-dir", text(&built)?];
        Step::cargo()
            .args(what)
            .within(&self.sources()?.join("library/sysroot"))
            .env("RUSTC", text(&self.rustc())?)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", "-Zforce-unstable-if-unmarked -Cembed-bitcode=yes")
            .run()?;
        let libraries = self.root().join("usr/lib/rustlib").join(WASM_TARGET).join("lib");
        fs::create_dir_all(&libraries)?;
        for file in entries(&built.join(WASM_TARGET).join("release/deps"))? {
            if file.extension().is_some_and(|extension| extension == "rlib") {
                fs::copy(&file, libraries.join(file.file_name().context("a name")?))?;
            }
        }
        fs::remove_dir_all(built)?;
        Ok(())
    }
}

/// The packages to unpack, with their versions. Installs what they need from the rest of the system.
fn packages() -> Result<Vec<String>> {
    let shared = depends("libstd-rust-web-dev", "libstd-rust-web-")?;
    // LLVM has many dependencies. Debian can install several versions of it side by side.
    apt::install(&[&depends(&shared, "libllvm")?])?;
    PACKAGES.iter().copied().chain([shared.as_str()]).map(candidate).collect()
}

/// `package=version`, with the version that apt would install.
fn candidate(package: &str) -> Result<String> {
    let policy = Step::program("apt-cache").args(["policy", package]).ask()?;
    match word_after(&policy, "Candidate: ", "") {
        Some(version) if version != "(none)" => Ok(format!("{package}={version}")),
        _ => bail!("this system's apt knows no package {package}"),
    }
}

/// The dependency of `package` that begins with `prefix`.
fn depends(package: &str, prefix: &str) -> Result<String> {
    let answer = Step::program("apt-cache").args(["depends", "--important", package]).ask();
    let answer = answer.with_context(|| format!("this system's apt knows no package {package}"))?;
    word_after(&answer, "Depends: ", prefix).with_context(|| format!("{package} depends on no {prefix}…"))
}

/// The first word that begins with `prefix` and follows `label` at the beginning of a line.
fn word_after(answer: &str, label: &str, prefix: &str) -> Option<String> {
    let mut words = answer.lines().filter_map(|line| line.trim().strip_prefix(label));
    words.find(|word| word.starts_with(prefix)).map(str::to_owned)
}

/// The linker of rustup's toolchain.
fn linker() -> Result<PathBuf> {
    let ask = |what: &[&str]| Step::program("rustc").args(what).ask();
    let about = ask(&["-vV"])?;
    let host = word_after(&about, "host: ", "").context("rustc names no host")?;
    let linker = Path::new(ask(&["--print", "sysroot"])?.trim()).join("lib/rustlib").join(host).join("bin/rust-lld");
    if !linker.is_file() {
        bail!("there is no {}: the rustc on the PATH must be one of rustup", linker.display());
    }
    Ok(linker)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let listed = fs::read_dir(folder).with_context(|| format!("no folder {}", folder.display()))?;
    Ok(listed.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<_>>()?)
}

fn ends_with(path: &Path, end: &str) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_dependencies_are_read() {
        let policy = "rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0+dfsg1-1~deb12u2\n  Version table:\n";
        assert_eq!(word_after(policy, "Candidate: ", "").as_deref(), Some("1.96.0+dfsg1-1~deb12u2"));
        let depends = "libstd-rust-web-1.96\n  Depends: libc6\n  Depends: libllvm22\n  Conflicts: <rustup>\n";
        assert_eq!(word_after(depends, "Depends: ", "libllvm").as_deref(), Some("libllvm22"));
        assert_eq!(word_after(depends, "Depends: ", "libzzz"), None);
    }

    #[test]
    fn a_stamp_of_another_recipe_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("made"), "recipe 0: rustc-web=1").unwrap();
        assert_eq!(Toolchain::stamp(folder.path()), None);
        fs::write(folder.path().join("made"), format!("{RECIPE}: rustc-web=1")).unwrap();
        assert!(Toolchain::stamp(folder.path()).is_some());
    }
}
