//! The benchmark's command line: a subcommand per family of scenarios. Two hidden ones are for the processes that it starts.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use dog_benches::harness::family;
use dog_benches::harness::options::BenchOptions;
use dog_benches::scenarios::cluster::{ClusterFamily, ClusterFlags};
use dog_benches::scenarios::instructions::{InstructionsFamily, InstructionsFlags};
use dog_benches::scenarios::log::LogFamily;
use dog_benches::scenarios::peers::PeersFamily;
use dog_benches::scenarios::relay::{RelayFamily, RelayFlags};
use dog_benches::scenarios::tls::TlsFamily;
use dog_benches::scenarios::workers::{WorkersFamily, WorkersFlags};
use dog_benches::servers::floor;
use dog_benches::servers::process::Guard;
use dog_benches::servers::programs::Programs;

/// Measures Durable Object Groups beside their peers and floors
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Our server beside all peers
    All {
        #[command(flatten)]
        common: Common,
    },
    /// Our server beside the floor, with settings from the command line
    Relay {
        #[command(flatten)]
        flags: RelayFlags,
        #[command(flatten)]
        common: Common,
    },
    /// The instructions of a delivery, counted by valgrind
    Instructions {
        #[command(flatten)]
        flags: InstructionsFlags,
        #[command(flatten)]
        common: Common,
    },
    /// Our nodes over NATS beside other nodes over Redis
    Cluster {
        #[command(flatten)]
        flags: ClusterFlags,
        #[command(flatten)]
        common: Common,
    },
    /// Publications beside broadcasts, sockets that resume, and presence
    Log {
        #[command(flatten)]
        common: Common,
    },
    /// TLS beside no TLS, of our server and of nginx
    Tls {
        #[command(flatten)]
        common: Common,
    },
    /// The relay on workerd beside the same on npm's `dog`
    Workers {
        #[command(flatten)]
        flags: WorkersFlags,
        #[command(flatten)]
        common: Common,
    },
    /// Serves as the floor
    #[command(hide = true)]
    Floor {
        /// Send everything that was read in one turn of the loop with one send per socket
        #[arg(long)]
        joined: bool,
    },
    /// Becomes another program, which dies with the benchmark
    #[command(hide = true)]
    Guard(Guard),
}

/// The flags of all families.
#[derive(Args)]
struct Common {
    #[command(flatten)]
    options: BenchOptions,
    #[command(flatten)]
    programs: Programs,
}

/// Seconds per measurement of each family.
const ALL: f64 = 2.0;
const RELAY: f64 = 5.0;
const CLUSTER: f64 = 1.5;
const WORKERS: f64 = 4.0;
const TLS: f64 = 2.0;
const LOG: f64 = 2.0;

impl Command {
    fn run(self) -> Result<()> {
        match self {
            Self::All { common: Common { options, programs } } => {
                let timing = options.timing(ALL)?;
                family::run(&PeersFamily::new(programs, &options, timing)?, &options, timing)
            }
            Self::Relay { flags, common: Common { options, programs } } => {
                let timing = options.timing(RELAY)?;
                family::run(&RelayFamily::new(flags, programs, &options, timing)?, &options, timing)
            }
            Self::Instructions { flags, common: Common { options, programs } } => {
                let timing = options.timing(RELAY)?;
                family::run(&InstructionsFamily::new(&flags, programs, &options, timing)?, &options, timing)
            }
            Self::Cluster { flags, common: Common { options, programs } } => {
                let timing = options.timing(CLUSTER)?;
                family::run(&ClusterFamily::new(&flags, programs, &options, timing)?, &options, timing)
            }
            Self::Log { common: Common { options, programs } } => {
                let timing = options.timing(LOG)?;
                family::run(&LogFamily::new(programs, &options, timing)?, &options, timing)
            }
            Self::Tls { common: Common { options, programs } } => {
                let timing = options.timing(TLS)?;
                family::run(&TlsFamily::new(programs, &options, timing)?, &options, timing)
            }
            Self::Workers { flags, common: Common { options, programs } } => {
                let timing = options.timing(WORKERS)?;
                family::run(&WorkersFamily::new(flags, programs, &options, timing)?, &options, timing)
            }
            Self::Floor { joined } => floor::run(joined),
            Self::Guard(guard) => guard.run(),
        }
    }
}

fn main() -> ExitCode {
    match Arguments::parse().command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dog-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}
