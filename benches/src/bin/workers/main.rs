//! What the relay costs on Cloudflare's workerd: ours beside the same relay on the npm package `dog`, in one run, round
//! by round. `cargo xtask bench workers` builds both and calls this.

mod round;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use dog_benches::measure::{load_average, machine};
use dog_benches::plan::Pace;
use dog_benches::role;
use dog_benches::scratch::Scratch;
use dog_benches::server::{self, Guard};
use dog_benches::summary::Spread;
use dog_benches::table::Table;
use dog_benches::workerd::Bundle;

use round::{FIGURES, Rules, Sample};

/// The relay as a Worker beside the npm package `dog`, on the same workerd
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    bench: Option<Bench>,
}

/// What this executable is to the bench that started it.
#[derive(Subcommand)]
enum Role {
    /// Becomes another program, which ends when the bench does
    #[command(hide = true)]
    Guard(Guard),
}

#[derive(Args)]
struct Bench {
    /// The runtime
    #[arg(long, value_name = "PROGRAM")]
    workerd: PathBuf,
    /// The folder of our Worker
    #[arg(long, value_name = "FOLDER")]
    ours: PathBuf,
    /// The folder of the Worker on npm's `dog`
    #[arg(long, value_name = "FOLDER")]
    peer: PathBuf,
    /// Sockets that talk
    #[arg(long, default_value_t = 500)]
    sockets: usize,
    /// Seats of a Replica where there are to be several of them
    #[arg(long, value_name = "SEATS", default_value_t = 50)]
    limit: usize,
    /// Sockets of the crowd that is weighed while it is silent
    #[arg(long, value_name = "SOCKETS", default_value_t = 5_000)]
    crowd: usize,
    /// Payload of a message
    #[arg(long, default_value_t = 128)]
    bytes: usize,
    /// Messages a second while latency is measured
    #[arg(long, value_name = "MESSAGES", default_value_t = 20.0)]
    rate: f64,
    /// How long each measurement of talk takes
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// How long the silent crowd is left alone before it is weighed at rest: workerd lets a silent object go after ten
    /// seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 14.0)]
    rest: f64,
    /// How often each Worker is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Keep the load generator on the last processor, and workerd on the others
    #[arg(long)]
    pin: bool,
}

/// Who is measured.
struct Contestant {
    name: &'static str,
    bundle: Bundle,
    samples: Vec<Sample>,
}

fn main() -> ExitCode {
    role::exit("workers", Arguments::parse().act())
}

impl Arguments {
    fn act(self) -> Result<()> {
        match (self.role, self.bench) {
            (Some(Role::Guard(guard)), _) => guard.run(),
            (None, Some(bench)) => bench.run(),
            (None, None) => {
                anyhow::bail!("--workerd, --ours and --peer are missing; `cargo xtask bench workers` gives them")
            }
        }
    }
}

impl Bench {
    fn run(&self) -> Result<()> {
        ensure!((1..=100).contains(&self.rounds), "--rounds: give 1 to 100");
        // Each socket is one of ours and one of workerd's, which needs some for itself.
        server::raise_file_limit(self.sockets.max(self.crowd) + 2_000)?;
        let scratch = Scratch::new()?;
        let rules = self.rules(&scratch)?;
        self.print_heading();
        let mut contestants = [("ours", &self.ours), ("npm dog", &self.peer)].map(|(name, folder)| {
            Ok::<_, anyhow::Error>(Contestant { name, bundle: Bundle::find(folder)?, samples: Vec::new() })
        });
        for round in 0..self.rounds {
            // Whoever is first in one round is last in the next, so that a drift helps nobody.
            for place in 0..contestants.len() {
                let place = if round % 2 == 0 { place } else { contestants.len() - 1 - place };
                let contestant = contestants[place].as_mut().map_err(|error| anyhow::anyhow!("{error:#}"))?;
                let sample = rules.play(&contestant.bundle);
                let sample = sample.with_context(|| format!("round {} of {}", round + 1, contestant.name))?;
                contestant.samples.push(sample);
            }
            eprintln!("round {} of {}, load average {}", round + 1, self.rounds, load_average());
        }
        let [ours, peer] = contestants;
        print_tables(&ours?, &peer?);
        Ok(())
    }

    fn rules(&self, scratch: &Scratch) -> Result<Rules> {
        ensure!((0.05..=600.0).contains(&self.seconds), "--seconds: give 0.05 to 600");
        ensure!((0.0..=600.0).contains(&self.rest), "--rest: give 0 to 600");
        ensure!(self.sockets >= 4 && self.crowd >= 1 && self.limit >= 1, "there are not enough sockets or seats");
        let measured = Duration::from_secs_f64(self.seconds);
        Ok(Rules {
            bench: std::env::current_exe()?,
            workerd: self.workerd.clone(),
            scratch: scratch.path().to_owned(),
            processors: server::share_processors(self.pin)?,
            sockets: self.sockets,
            limit: self.limit,
            crowd: self.crowd,
            bytes: self.bytes,
            rate: Pace::per_second(self.rate)?,
            warm_up: (measured / 2).min(Duration::from_secs(2)),
            measured,
            rest: Duration::from_secs_f64(self.rest),
        })
    }

    fn print_heading(&self) {
        println!(
            "{} sockets, {} bytes of text; several Replicas: of {} seats; {} messages a second for latency; \
             a silent crowd of {}; {} rounds of {} s each",
            self.sockets, self.bytes, self.limit, self.rate, self.crowd, self.rounds, self.seconds
        );
        println!("{}\n", machine(self.pin));
    }
}

fn row(what: &str, who: &str, digits: usize, spread: Option<Spread>) -> Vec<String> {
    let mut row = vec![what.into(), who.into()];
    if let Some(spread) = spread {
        row.extend([spread.minimum, spread.median, spread.maximum].map(|figure| format!("{figure:.digits$}")));
    }
    row
}

/// All figures, and what ours are to the peer's of the same round.
fn print_tables(ours: &Contestant, peer: &Contestant) {
    let mut figures = Table::new(&["measure", "worker", "min", "median", "max"], 2);
    let mut ratios = Table::new(&["ours / npm dog, same round; less is better", "min", "median", "max"], 1);
    for figure in FIGURES {
        let of = |contestant: &Contestant| contestant.samples.iter().map(figure.of).collect::<Vec<f64>>();
        for contestant in [ours, peer] {
            figures.push(row(figure.what, contestant.name, figure.digits, Spread::of(&of(contestant))));
        }
        let mut ratio = row(figure.what, "", 3, Spread::of_ratios(&of(ours), &of(peer)));
        ratio.remove(1);
        ratios.push(ratio);
    }
    println!("{figures}\n{ratios}");
}
