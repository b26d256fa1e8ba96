//! What our server costs beside its peers and its floor, scenario by scenario, in one run: `cargo xtask bench` installs
//! the peers and calls this.
//!
//! In reading order: `scenario` (what can be measured), `entrant` (who), `scenarios` (the tables of both, and the goals),
//! `stage` (servers are started), `round` (one measurement), `store` (what was measured, in a file), `runner` (all
//! rounds), `report` with `ratios` and `plot` (what becomes of it in docs/performance.md).

mod entrant;
mod plot;
mod ratios;
mod report;
mod round;
mod runner;
mod scenario;
mod scenarios;
mod stage;
mod store;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser};
use dog_benches::role::{self, Role};
use dog_benches::server;

use runner::Runner;
use stage::{Programs, Stage};
use store::Store;

/// Our server beside its peers and its floor
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    bench: Bench,
}

#[derive(Args)]
struct Bench {
    /// Only this scenario; may be given again
    #[arg(long, value_name = "SCENARIO")]
    only: Vec<String>,
    /// Only entrants whose name begins like this; may be given again
    #[arg(long, value_name = "NAME")]
    entrant: Vec<String>,
    /// One short round of each: whether it works, not what it costs
    #[arg(long)]
    quick: bool,
    /// How often each is measured [default: 3, or 1]
    #[arg(long)]
    rounds: Option<usize>,
    /// How long each is measured [default: 2, or 0.4]
    #[arg(long)]
    seconds: Option<f64>,
    /// Keep the load generator on the last processor, and servers on the others
    #[arg(long)]
    pin: bool,
    /// Go on with the run that was broken off
    #[arg(long)]
    resume: bool,
    /// Measure nothing: write what the last run has measured into the document
    #[arg(long)]
    render: bool,
    /// Name the scenarios, and who is in them
    #[arg(long)]
    list: bool,
    /// Where what is measured is kept
    #[arg(long, value_name = "FILE", default_value = "results.jsonl")]
    results: PathBuf,
    /// Write what was measured into this document, with plots beside it
    #[arg(long, value_name = "FILE")]
    document: Option<PathBuf>,
    #[command(flatten)]
    programs: Programs,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.role {
        Some(role) => role.play(),
        None => arguments.bench.run(),
    };
    role::exit("suite", done)
}

impl Bench {
    fn run(self) -> Result<()> {
        if self.list {
            scenarios::SCENARIOS.iter().for_each(|scenario| println!("{:<20} {}", scenario.name, scenario.title));
            return Ok(());
        }
        if self.render {
            return self.show(&Store::read(&self.results)?);
        }
        // Each socket is one of ours, and a server needs some for itself.
        server::raise_file_limit(16_000)?;
        let runner = Runner::new(&self)?;
        let store =
            if self.resume { Store::resume(&self.results)? } else { Store::begin(&self.results, runner.about())? };
        let (document, results) = (self.document.clone(), self.results.clone());
        let stage = Stage::new(self.programs, self.pin)?;
        let store = runner.run(&stage, store)?;
        println!("\n{}", report::text(&store));
        println!("kept in {}", results.display());
        match document {
            Some(document) => report::write(&store, &document),
            None => Ok(()),
        }
    }

    fn show(&self, store: &Store) -> Result<()> {
        println!("{}", report::text(store));
        match &self.document {
            Some(document) => report::write(store, document),
            None => Ok(()),
        }
    }
}
