//! What an executable of a bench is to the bench that started it.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::floor;
use crate::server::Guard;

/// The first word of its command line.
#[derive(Subcommand)]
pub enum Role {
    /// The floor
    #[command(hide = true)]
    Floor {
        /// Send what was read at once at once
        #[arg(long)]
        joined: bool,
    },
    /// Becomes another program, which ends when the bench does
    #[command(hide = true)]
    Guard(Guard),
}

impl Role {
    /// Serves until it is killed.
    ///
    /// # Errors
    /// When the operating system refuses something.
    pub fn play(&self) -> Result<()> {
        match self {
            Self::Floor { joined } => floor::run(*joined),
            Self::Guard(guard) => guard.run(),
        }
    }
}

/// How a bench of that name ends: what went wrong is one line, and 2.
pub fn exit(bench: &str, done: Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{bench}: {error:#}");
            ExitCode::from(2)
        }
    }
}
