//! What a delivery costs: the relay example beside a bare epoll+send loop, in one run, round by round.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser};
use dog_benches::frame::Payload;
use dog_benches::histogram::Histogram;
use dog_benches::ledger::Reach;
use dog_benches::load::Crowd;
use dog_benches::measure::{CpuTime, as_float, load_average, machine, resident_bytes};
use dog_benches::plan::{Pace, Plan};
use dog_benches::relay::{self, Profile};
use dog_benches::role::{self, Role};
use dog_benches::server::{self, Server};
use dog_benches::summary::Spread;
use dog_benches::table::Table;

/// The fan-out of the relay example beside its floor
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
    /// Sockets that are open
    #[arg(long, default_value_t = 500)]
    sockets: usize,
    /// Payload of a message
    #[arg(long, default_value_t = 128)]
    bytes: usize,
    /// Messages under way at once
    #[arg(long, value_name = "MESSAGES", default_value_t = 1)]
    in_flight: usize,
    /// Sockets that send, in turn [default: one, or four of several in flight, or one a room]
    #[arg(long, value_name = "SOCKETS")]
    senders: Option<usize>,
    /// Rooms that the sockets are spread over
    #[arg(long, default_value_t = 1)]
    rooms: usize,
    /// How long the load generator lets deliveries gather, in µs; 0 wakes it for each, which costs both sides
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 100)]
    pause: u64,
    /// How long each server is measured in each round
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// How often each server is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The relay's seats on one Replica [default: the relay's]
    #[arg(long, value_name = "SEATS")]
    limit: Option<usize>,
    /// The relay's worker threads
    #[arg(long, value_name = "THREADS", default_value_t = 1)]
    workers: usize,
    /// Keep the load generator on the last processor, and servers on the others
    #[arg(long)]
    pin: bool,
    /// A relay that was built already
    #[arg(long, value_name = "PROGRAM")]
    relay: Option<PathBuf>,
}

/// Who is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Contestant {
    Floor,
    /// A floor that joins what it reads in one turn: the same as the floor with one message in flight.
    JoinedFloor,
    Relay,
}

impl Contestant {
    fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::JoinedFloor => "joined floor",
            Self::Relay => "relay",
        }
    }
}

/// What servers are started from, and on which processors: any if none are named.
struct Paths {
    bench: PathBuf,
    relay: PathBuf,
    processors: Vec<usize>,
}

/// One round of one server.
struct Sample {
    /// Processor time of the server, in µs.
    cpu_per_delivery: f64,
    user_share: f64,
    own_cpu_per_delivery: f64,
    deliveries_per_second: f64,
    /// In µs: the median and the 99th of 100.
    each: (f64, f64),
    last: (f64, f64),
    resident_per_socket: f64,
}

fn main() -> ExitCode {
    role::exit("fanout", Arguments::parse().act())
}

impl Arguments {
    fn act(self) -> Result<()> {
        match self.role {
            Some(role) => role.play(),
            None => self.bench.run(),
        }
    }
}

impl Bench {
    fn run(&self) -> Result<()> {
        let plan = self.plan()?;
        // A server needs some for itself: listeners, polls, pipes, libraries.
        server::raise_file_limit(self.sockets + 256)?;
        let paths = Paths {
            bench: std::env::current_exe()?,
            relay: self.relay.clone().map_or_else(|| relay::build(Profile::Release), Ok)?,
            processors: server::share_processors(self.pin)?,
        };
        self.print_heading(&plan);
        let mut contestants = vec![(Contestant::Floor, Vec::new()), (Contestant::Relay, Vec::new())];
        if self.in_flight > 1 {
            contestants.insert(1, (Contestant::JoinedFloor, Vec::new()));
        }
        for round in 0..self.rounds {
            // Whoever is first in one round is last in the next, so that a drift helps nobody.
            for place in 0..contestants.len() {
                let place = if round % 2 == 0 { place } else { contestants.len() - 1 - place };
                let (contestant, samples) = &mut contestants[place];
                let sample = self.measure(*contestant, &paths, &plan);
                samples.push(sample.with_context(|| format!("round {} of the {}", round + 1, contestant.name()))?);
            }
            eprintln!("round {} of {}, load average {}", round + 1, self.rounds, load_average());
        }
        println!("{}", figures(&contestants));
        println!("{}", ratios(&contestants));
        Ok(())
    }

    fn plan(&self) -> Result<Plan> {
        ensure!((0.01..=600.0).contains(&self.seconds), "--seconds: give 0.01 to 600");
        ensure!((1..=100).contains(&self.rounds), "--rounds: give 1 to 100");
        let usual = if self.in_flight == 1 { 1 } else { 4 };
        let measured = Duration::from_secs_f64(self.seconds);
        let plan = Plan {
            sockets: self.sockets,
            rooms: self.rooms,
            senders: self.senders.unwrap_or_else(|| usual.max(self.rooms).min(self.sockets)),
            pace: Pace::InFlight(self.in_flight),
            reach: Reach::Room,
            compressed: false,
            payload: Payload::Binary,
            bytes: self.bytes,
            pause: Duration::from_micros(self.pause),
            warm_up: (measured / 4).min(Duration::from_secs(1)),
            measured,
        };
        plan.check()?;
        Ok(plan)
    }

    fn print_heading(&self, plan: &Plan) {
        let limit = self.limit.map_or_else(|| "as it is".into(), |limit| limit.to_string());
        println!(
            "{} sockets in {} rooms, {} bytes, {} in flight from {} senders; limit {limit}, workers {}; {} rounds of {} s",
            plan.sockets, plan.rooms, plan.bytes, self.in_flight, plan.senders, self.workers, self.rounds, self.seconds
        );
        println!("{}\n", machine(self.pin));
    }

    fn start(&self, contestant: Contestant, paths: &Paths) -> Result<Server> {
        let Paths { bench, relay, processors } = paths;
        match contestant {
            Contestant::Floor => Server::start(bench, processors, bench, &["floor"]),
            Contestant::JoinedFloor => Server::start(bench, processors, bench, &["floor", "--joined"]),
            Contestant::Relay => Server::start(bench, processors, relay, &self.relay_arguments()),
        }
    }

    fn measure(&self, contestant: Contestant, paths: &Paths, plan: &Plan) -> Result<Sample> {
        let server = self.start(contestant, paths)?;
        let process = server.process();
        let empty = resident_bytes(process)?;
        let mut crowd = Crowd::connect(server.address.into(), plan.clone())?;
        // Handshakes are done and everything that was kept for them is free again.
        std::thread::sleep(Duration::from_millis(200));
        let full = resident_bytes(process)?;
        let outcome = crowd.run(|| CpuTime::of(process))?;
        let (deliveries, used) = (as_float(outcome.count.deliveries), outcome.probes.1.since(outcome.probes.0));
        ensure!(deliveries > 0.0, "nothing was delivered in the time that is measured");
        Ok(Sample {
            cpu_per_delivery: micros(used.total) / deliveries,
            user_share: used.user_share(),
            own_cpu_per_delivery: micros(outcome.own_cpu) / deliveries,
            deliveries_per_second: deliveries / outcome.elapsed.as_secs_f64(),
            each: quantiles(&outcome.count.each),
            last: quantiles(&outcome.count.last),
            resident_per_socket: as_float(full.saturating_sub(empty)) / as_float(plan.sockets as u64),
        })
    }

    fn relay_arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--listen".into(), "127.0.0.1:0".into(), "--workers".into(), self.workers.to_string()];
        arguments.extend(self.limit.into_iter().flat_map(|limit| ["--limit".into(), limit.to_string()]));
        arguments
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn quantiles(times: &Histogram) -> (f64, f64) {
    (micros(times.quantile(0.5)), micros(times.quantile(0.99)))
}

/// A figure of a round, with how many digits it is worth.
type Figure = (&'static str, usize, fn(&Sample) -> f64);

const FIGURES: &[Figure] = &[
    ("server CPU per delivery, µs", 3, |sample| sample.cpu_per_delivery),
    ("of it in user mode, %", 0, |sample| sample.user_share * 100.0),
    ("load generator CPU per delivery, µs", 3, |sample| sample.own_cpu_per_delivery),
    ("deliveries per second, thousands", 1, |sample| sample.deliveries_per_second / 1e3),
    ("sent to each delivery, p50, µs", 0, |sample| sample.each.0),
    ("sent to each delivery, p99, µs", 0, |sample| sample.each.1),
    ("sent to last delivery, p50, µs", 0, |sample| sample.last.0),
    ("sent to last delivery, p99, µs", 0, |sample| sample.last.1),
    ("resident bytes per idle socket", 0, |sample| sample.resident_per_socket),
];

fn row(what: &str, who: &str, digits: usize, spread: Option<Spread>) -> Vec<String> {
    let mut row = vec![what.into(), who.into()];
    if let Some(spread) = spread {
        row.extend([spread.minimum, spread.median, spread.maximum].map(|figure| format!("{figure:.digits$}")));
    }
    row
}

fn figures(contestants: &[(Contestant, Vec<Sample>)]) -> Table {
    let mut table = Table::new(&["measure", "server", "min", "median", "max"], 2);
    for (what, digits, figure) in FIGURES {
        for (contestant, samples) in contestants {
            let all: Vec<f64> = samples.iter().map(figure).collect();
            table.push(row(what, contestant.name(), *digits, Spread::of(&all)));
        }
    }
    table
}

/// The relay to each floor, round by round.
fn ratios(contestants: &[(Contestant, Vec<Sample>)]) -> Table {
    const RATIOS: [&Figure; 3] = [&FIGURES[0], &FIGURES[3], &FIGURES[7]];
    let mut table = Table::new(&["relay / floor, same round", "floor", "min", "median", "max"], 2);
    let all = |of: Contestant, figure: fn(&Sample) -> f64| -> Vec<f64> {
        contestants.iter().filter(|(contestant, _)| *contestant == of).flat_map(|(_, all)| all).map(figure).collect()
    };
    for (what, _, figure) in RATIOS {
        let (what, _) = what.rsplit_once(',').unwrap_or((what, ""));
        for (contestant, _) in contestants.iter().filter(|(contestant, _)| *contestant != Contestant::Relay) {
            let spread = Spread::of_ratios(&all(Contestant::Relay, *figure), &all(*contestant, *figure));
            table.push(row(what, contestant.name(), 3, spread));
        }
    }
    table
}
