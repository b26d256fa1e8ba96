//! The program: its command line.

use dog_test_support::command_line;

const PROGRAM: &str = env!("CARGO_BIN_EXE_channels");

#[tokio::test]
async fn the_command_line_is_that_of_every_example() {
    command_line::check_command_line(PROGRAM).await;
}

#[test]
fn a_configuration_that_cannot_be_used_is_refused_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.json");
    std::fs::write(&file, r#"{"channel":{"namespaces":[{"name":""}]}}"#).expect("a file");
    let path = file.to_str().expect("a path in UTF-8");
    command_line::refused(PROGRAM, &["--config", path], "no name for a namespace");
    command_line::refused(PROGRAM, &["--config", "/nowhere"], "cannot be read");
}
