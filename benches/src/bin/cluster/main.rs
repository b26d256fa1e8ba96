//! What a cluster costs: nodes of ours over NATS, beside nodes of others over Redis, in one run, round by round.
//! `cargo xtask bench cluster` installs all and calls this.
//!
//! In reading order: `stage` (who is measured, and how nodes are started), `broker` (NATS and Redis), `talk` (one
//! measurement of a crowd) and `seats` (of a Group that places clients), `rounds` (all of them), `records` (what was
//! measured), `report` (what becomes of it in docs/performance/cluster.md).

mod broker;
mod records;
mod report;
mod rounds;
mod seats;
mod stage;
mod talk;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Parser};
use dog_benches::measure::machine;
use dog_benches::plan::Pace;
use dog_benches::role::{self, Role};
use dog_benches::{document, server};

use report::Heading;
use rounds::{PARTS, Runner, time};
use stage::{Entrant, Programs, Stage};

/// What writes into the document.
const COMMAND: &str = "cargo xtask bench cluster";

/// Nodes over NATS beside nodes of others over Redis
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
    /// Only this part: broadcast, verbs, single; may be given again
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
    /// One short round: whether it works, not what it costs
    #[arg(long)]
    quick: bool,
    /// How often each is measured [default: 3, or 1]
    #[arg(long)]
    rounds: Option<usize>,
    /// How long each measurement takes [default: 1.5, or 0.5]
    #[arg(long)]
    seconds: Option<f64>,
    /// Sockets of the room, over all nodes
    #[arg(long, default_value_t = 300)]
    sockets: usize,
    /// Payload of a message
    #[arg(long, default_value_t = 128)]
    bytes: usize,
    /// Messages a second where it is times that are measured
    #[arg(long, value_name = "MESSAGES", default_value_t = 30.0)]
    rate: f64,
    /// Write what was measured into this document
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
    role::exit("cluster", done)
}

impl Bench {
    fn run(self) -> Result<()> {
        let runner = self.runner()?;
        let mut heading = self.heading(&runner);
        // Each socket is one of ours, and a server needs some for itself.
        server::raise_file_limit(4_000)?;
        let stage = Stage::new(self.programs)?;
        let peers = [(Entrant::SocketIo, "Socket.IO"), (Entrant::Nchan, "nchan")];
        heading.missing = peers.into_iter().filter(|(peer, _)| !stage.has(*peer)).map(|(_, name)| name).collect();
        println!("{heading}\n");
        let records = runner.run(&stage);
        let text = report::text(&heading, &records);
        println!("\n{text}");
        if let Some(path) = self.document {
            document::write(&path, COMMAND, &text)?;
            println!("written to {}", path.display());
        }
        if !records.failures().is_empty() {
            bail!("{} measurements failed, see above", records.failures().len());
        }
        Ok(())
    }

    fn runner(&self) -> Result<Runner> {
        let rounds = self.rounds.unwrap_or(if self.quick { 1 } else { 3 });
        let seconds = self.seconds.unwrap_or(if self.quick { 0.5 } else { 1.5 });
        ensure!((1..=100).contains(&rounds), "--rounds: give 1 to 100");
        ensure!((0.05..=600.0).contains(&seconds), "--seconds: give 0.05 to 600");
        ensure!(self.sockets >= rounds::FEW && self.sockets <= 3_000, "--sockets: give {} to 3000", rounds::FEW);
        if let Some(unknown) = self.only.iter().find(|only| !PARTS.contains(&only.as_str())) {
            bail!("--only: there is no part `{unknown}`; there are: {}", PARTS.join(", "));
        }
        Ok(Runner {
            sockets: self.sockets,
            bytes: self.bytes,
            rate: Pace::per_second(self.rate).context("--rate")?,
            time: time(Duration::from_secs_f64(seconds)),
            rounds,
            only: self.only.clone(),
        })
    }

    fn heading(&self, runner: &Runner) -> Heading {
        Heading {
            machine: machine(false),
            sockets: self.sockets,
            bytes: self.bytes,
            rate: self.rate,
            rounds: runner.rounds,
            seconds: runner.time.measured.as_secs_f64(),
            missing: Vec::new(),
        }
    }
}
