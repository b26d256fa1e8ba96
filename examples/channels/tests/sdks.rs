//! The server as other people's clients see it. `cargo xtask test sdks` installs them, and runs these tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use dog_test_support::nats::{NatsServers, Settings};

/// The folder with the npm packages.
const PACKAGES: &str = "DOG_CENTRIFUGE";

/// The Python that has the packages of PyPI.
const PYTHON: &str = "DOG_PYTHON";

/// How long all of it may take, in milliseconds: far longer than it does.
const PATIENCE: &str = "120000";

/// Runs a story with a program, which starts and kills the server itself.
fn run(command: &mut Command, story: &str) {
    let story = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdks").join(story);
    let status = command.arg(story).env("DOG_CHANNELS", env!("CARGO_BIN_EXE_channels")).status().expect("the program");
    assert!(status.success(), "{status}");
}

fn provided(variable: &str) -> PathBuf {
    std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set: run `cargo xtask test sdks`")).into()
}

#[test]
fn the_javascript_client_in_node() {
    let mut node = Command::new("node");
    run(node.args(["--test", "--test-timeout", PATIENCE]).env(PACKAGES, provided(PACKAGES)), "javascript.mjs");
}

fn on_two_nodes(story: &str) {
    let nats = NatsServers::start(1, Settings::default());
    let mut node = Command::new("node");
    node.args(["--test", "--test-timeout", PATIENCE]).env(PACKAGES, provided(PACKAGES)).env("DOG_NATS", nats.url());
    run(&mut node, story);
}

#[test]
fn javascript_clients_on_two_nodes() {
    on_two_nodes("cluster.mjs");
}

#[test]
fn javascript_clients_without_websockets_speak_to_another_node_than_they_hear() {
    on_two_nodes("streams.mjs");
}

#[test]
fn the_python_client_and_the_python_library_for_backends() {
    run(&mut Command::new(provided(PYTHON)), "python_client.py");
}
