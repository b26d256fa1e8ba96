//! What builds for wasm: rustup's target, or a toolchain made of Debian's packages where rustup has no download to reach.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::debian;
use crate::install;
use crate::step::Step;
use crate::workspace::Workspace;

/// What wasm is built for.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// The variable that chooses: `rustup` or `debian`. Unset, it is rustup's if that can be had.
const CHOICE: &str = "DOG_WASM_TOOLCHAIN";

/// A toolchain with a standard library for wasm, and the sources of that.
pub(crate) struct WasmToolchain {
    /// Where what it compiles lies: one compiler must not throw out what the other has built.
    pub(crate) target: PathBuf,
    debian: Option<debian::Toolchain>,
}

/// What the variable may say.
#[derive(Debug, PartialEq)]
enum Choice {
    Rustup,
    Debian,
    WhicheverWorks,
}

impl Choice {
    fn parse(value: Option<&str>) -> Result<Self> {
        match value {
            None | Some("") => Ok(Self::WhicheverWorks),
            Some("rustup") => Ok(Self::Rustup),
            Some("debian") => Ok(Self::Debian),
            Some(other) => bail!("{CHOICE} is `{other}`, and may be `rustup` or `debian`"),
        }
    }
}

impl WasmToolchain {
    /// Makes sure of one.
    pub(crate) fn install(workspace: &Workspace) -> Result<Self> {
        match Choice::parse(std::env::var(CHOICE).ok().as_deref())? {
            Choice::Rustup => Self::rustup(workspace),
            Choice::Debian => Self::debian(workspace),
            // It was made because rustup could not help: asking again takes a minute where rustup hangs.
            Choice::WhicheverWorks if !rustup_has_all()? && debian::is_made(workspace) => Self::debian(workspace),
            Choice::WhicheverWorks => Self::rustup(workspace).or_else(|error| {
                println!("note: rustup cannot help here ({error:#}): Debian's packages instead");
                Self::debian(workspace)
            }),
        }
    }

    fn rustup(workspace: &Workspace) -> Result<Self> {
        install::target(TARGET)?;
        install::rust_source()?;
        Ok(Self { target: workspace.target.clone(), debian: None })
    }

    fn debian(workspace: &Workspace) -> Result<Self> {
        let toolchain = debian::Toolchain::install(workspace).context("no toolchain from Debian's packages")?;
        Ok(Self { target: toolchain.build_folder(), debian: Some(toolchain) })
    }

    /// The compiler by its path, for whoever does not ask `RUSTC`.
    pub(crate) fn rustc(&self) -> Result<PathBuf> {
        match &self.debian {
            Some(debian) => Ok(debian.rustc()),
            None => install::find_program("rustc").context("no rustc on the PATH"),
        }
    }

    /// Has a step compile with it.
    pub(crate) fn apply(&self, step: Step) -> Result<Step> {
        let step = step.env("CARGO_TARGET_DIR", text(&self.target)?);
        match &self.debian {
            Some(debian) => debian.apply(step),
            None => Ok(step),
        }
    }

    /// Whether clippy can look at what it compiles: clippy comes with rustup's compiler, and reads no other's libraries.
    pub(crate) fn lints(&self) -> bool {
        self.debian.is_none()
    }

    /// What the closing table says of it: nothing, unless something is different.
    pub(crate) fn note(&self) -> &'static str {
        if self.lints() { "" } else { "; with Debian's rustc, so without clippy for wasm" }
    }
}

fn rustup_has_all() -> Result<bool> {
    Ok(install::has_target(TARGET)? && install::has_rust_source()?)
}

/// A path as an argument or a variable.
pub(crate) fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_read_and_a_slip_told() {
        assert_eq!(Choice::parse(None).unwrap(), Choice::WhicheverWorks);
        assert_eq!(Choice::parse(Some("debian")).unwrap(), Choice::Debian);
        assert_eq!(Choice::parse(Some("rustup")).unwrap(), Choice::Rustup);
        assert!(Choice::parse(Some("debain")).unwrap_err().to_string().contains("debain"));
    }
}
