//! The project's own commands. `cargo xtask test` is the gate for people and CI; `cargo xtask bench` measures.
//!
//! Reading order:
//! - `command_line`: what can be asked for.
//! - `parts`: the parts of the test command, and the plan by which they run.
//! - `structure`: what the part `layers` reads in the sources.
//! - `step`: one command, printed and limited in time; `server`: a process that serves while a part runs; `workspace`: what
//!   cargo knows of this workspace.
//! - `bench`: what the measurements need; `nodes`: a cluster to try.
//! - `provision`: for bare machines. It installs what the others need.

mod bench;
mod command_line;
mod nodes;
mod parts;
mod provision;
mod server;
mod step;
mod structure;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

use crate::command_line::{Arguments, Command};
use crate::workspace::Workspace;

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a command; false when a part of the tests failed.
fn run(command: Command) -> anyhow::Result<bool> {
    let workspace = Workspace::find()?;
    match command {
        Command::Test(test) if test.is_list() => print!("{}", parts::list()),
        Command::Test(test) => return parts::plan::run(&workspace, &test.order()),
        Command::Bench { arguments } => bench::run_named(&workspace, &arguments)?,
        Command::Fuzz(arguments) => parts::fuzz::long(&workspace, &arguments)?,
        Command::Sim { arguments } => parts::sim::long(&workspace, &arguments)?,
        Command::Nodes(arguments) => nodes::run(&workspace, arguments)?,
        Command::Structure => structure::report(&workspace.root)?,
    }
    Ok(true)
}
