//! Our own server: the relay example, built as its users would.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Which build of the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// The one to measure.
    Release,
    /// The one that is there soonest, to test the bench with.
    Dev,
}

/// Builds the relay, and tells where it is.
///
/// # Errors
/// When it does not build.
pub fn build(profile: Profile) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.args(["build", "--quiet", "--package", "relay", "--message-format", "json-render-diagnostics"]);
    if profile == Profile::Release {
        command.arg("--release");
    }
    let output = command.stderr(Stdio::inherit()).output().context("cargo did not start")?;
    ensure!(output.status.success(), "the relay was not built: cargo ended with {}", output.status);
    executable(&String::from_utf8(output.stdout)?).context("cargo did not say where the relay is")
}

/// The executable among cargo's messages.
fn executable(messages: &str) -> Option<PathBuf> {
    let path = |line| {
        let message: Value = serde_json::from_str(line).ok()?;
        (message["target"]["name"] == "relay").then(|| message["executable"].as_str().map(PathBuf::from))?
    };
    messages.lines().find_map(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_found_among_the_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"relay","kind":["lib"]},"executable":null}
            {"reason":"compiler-artifact","target":{"name":"other","kind":["bin"]},"executable":"/target/other"}
            {"reason":"compiler-artifact","target":{"name":"relay","kind":["bin"]},"executable":"/target/relay"}
            {"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages), Some("/target/relay".into()));
        assert_eq!(executable("nonsense"), None);
    }
}
