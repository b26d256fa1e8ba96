//! Beyond what one machine can show: what clusters of a hundred and a thousand nodes would ask of their parts, reckoned from
//! costs that are measured here and from messages that are counted in the simulation. `cargo xtask scale` runs it, after
//! the bench of NATS (`crates/dog-nats/benches/nats`), and writes `docs/scale.md`.
//!
//! In reading order: `books`, `letters`: what is measured; `room`, `growth`: what is counted; `inputs`: all of that, and what
//! is assumed; `model`: the arithmetic; `scenarios`: what it is asked; `report`: what comes of it.

mod books;
mod growth;
mod inputs;
mod letters;
mod model;
#[cfg(test)]
mod model_tests;
mod report;
mod room;
mod scenarios;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use dog_benches::measure::machine;

use inputs::{Inputs, NatsFigures};

/// How many Replicas the books have that are measured; the model reckons with the second.
const REPLICAS: [u32; 3] = [1_000, 10_000, 50_000];
const CLIENTS: u32 = 1_000_000;

/// What clusters of a hundred and a thousand nodes would ask of their parts
#[derive(Parser)]
struct Arguments {
    /// What the bench of NATS has printed
    #[arg(long, value_name = "FILE")]
    nats: PathBuf,
    /// Where the report goes, between two marks; otherwise it is only printed
    #[arg(long, value_name = "FILE")]
    document: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scale: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let machine = machine(false);
    let nats = std::fs::read_to_string(&arguments.nats).context("the figures of NATS cannot be read")?;
    let nats = NatsFigures::read(&nats);
    // First, while nothing else has used memory: what is given back is used again, and not weighed then.
    let books = REPLICAS.map(|replicas| books::costs(replicas, CLIENTS));
    let books = books.into_iter().collect::<Result<Vec<_>>>()?;
    let [first, second, _] = books[..] else { anyhow::bail!("the books were not measured") };
    let letters = letters::measure()?;
    let counted = growth::SIZES.map(growth::count).into_iter().collect::<Result<Vec<_>>>()?;
    let costs = books::Costs { bytes_a_client: first.bytes_a_client, ..second };
    let text = report::text(&machine, &books, &counted, &Inputs::new(&costs, &letters, &nats)?);
    println!("{text}");
    arguments.document.as_deref().map_or(Ok(()), |document| report::write(&text, document))
}
