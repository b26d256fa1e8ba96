//! A toolchain that builds for wasm: rustup's, or one made of Debian's packages where rustup cannot reach its server.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::rust::WASM_TARGET;
use super::{debian, find_program, rust};
use crate::step::{Step, text};
use crate::workspace::Workspace;

/// The variable that chooses: `rustup` or `debian`. If it is not set, rustup is tried first.
const CHOICE: &str = "DOG_WASM_TOOLCHAIN";

/// A toolchain with the standard library for wasm and the sources of that library.
pub(crate) struct WasmToolchain {
    target: PathBuf,
    debian: Option<debian::Toolchain>,
}

/// What the variable says.
#[derive(Debug, PartialEq)]
enum Choice {
    Rustup,
    Debian,
    Unset,
}

impl Choice {
    fn parse(value: Option<&str>) -> Result<Self> {
        match value {
            None | Some("") => Ok(Self::Unset),
            Some("rustup") => Ok(Self::Rustup),
            Some("debian") => Ok(Self::Debian),
            Some(other) => bail!("{CHOICE} is `{other}`; it may be `rustup` or `debian`"),
        }
    }
}

impl WasmToolchain {
    /// Installs one, if there is none.
    pub(crate) fn install(workspace: &Workspace) -> Result<Self> {
        match Choice::parse(std::env::var(CHOICE).ok().as_deref())? {
            Choice::Rustup => Self::rustup(workspace),
            Choice::Debian => Self::debian(workspace),
            // Debian's was made because rustup failed. Another attempt would take a minute.
            Choice::Unset if !rustup_has_all()? && debian::is_made(workspace) => Self::debian(workspace),
            Choice::Unset => Self::rustup(workspace).or_else(|error| {
                println!("note: rustup cannot install it ({error:#}): using Debian's packages");
                Self::debian(workspace)
            }),
        }
    }

    fn rustup(workspace: &Workspace) -> Result<Self> {
        rust::target(WASM_TARGET)?;
        rust::source()?;
        Ok(Self { target: workspace.target.clone(), debian: None })
    }

    fn debian(workspace: &Workspace) -> Result<Self> {
        let toolchain = debian::Toolchain::install(workspace).context("no toolchain from Debian's packages")?;
        Ok(Self { target: toolchain.build_folder(), debian: Some(toolchain) })
    }

    /// The target folder for what it compiles. Each toolchain has its own: cargo would build everything again after a change
    /// of compiler.
    pub(crate) fn target_folder(&self) -> &PathBuf {
        &self.target
    }

    /// The path of the compiler, for programs that do not read the variable `RUSTC`.
    pub(crate) fn rustc(&self) -> Result<PathBuf> {
        match &self.debian {
            Some(debian) => Ok(debian.rustc()),
            None => find_program("rustc").context("no rustc on the PATH"),
        }
    }

    /// Makes a step compile with it.
    pub(crate) fn apply(&self, step: Step) -> Result<Step> {
        let step = step.env("CARGO_TARGET_DIR", text(&self.target)?);
        match &self.debian {
            Some(debian) => debian.apply(step),
            None => Ok(step),
        }
    }

    /// Whether clippy can read what it compiles. Clippy belongs to rustup's compiler and cannot read the libraries of
    /// another one.
    pub(crate) fn has_clippy(&self) -> bool {
        self.debian.is_none()
    }

    /// What the closing table says of it: nothing for rustup's toolchain.
    pub(crate) fn note(&self) -> &'static str {
        if self.has_clippy() { "" } else { "; with Debian's rustc, so without clippy for wasm" }
    }
}

fn rustup_has_all() -> Result<bool> {
    Ok(rust::has_target(WASM_TARGET)? && rust::has_source()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_read_and_a_typing_error_refused() {
        assert_eq!(Choice::parse(None).unwrap(), Choice::Unset);
        assert_eq!(Choice::parse(Some("debian")).unwrap(), Choice::Debian);
        assert_eq!(Choice::parse(Some("rustup")).unwrap(), Choice::Rustup);
        assert!(Choice::parse(Some("debain")).unwrap_err().to_string().contains("debain"));
    }
}
