//! What the command lines of the examples share: the flags of whoever operates them, the log, the beginning and the end.
//!
//! The contract: the first line on stdout is `listening on http://ADDRESS`, a second one `admin on http://ADDRESS` if
//! that was asked for; SIGTERM and SIGINT end the program in good
//! order, a second one at once; trouble at the start is one line on stderr and exit code 2.

use std::convert::Infallible;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use dog::{App, Limit};
use dog_native::{Compression, Server};
use dog_nats::Nats;
use tracing_subscriber::filter::LevelFilter;

/// The flags that every example has.
#[derive(Args, Debug)]
pub struct Options {
    /// Worker threads [default: one a core]
    #[arg(long, value_name = "THREADS")]
    workers: Option<usize>,
    /// The folder for what objects keep [default: a temporary one, gone at the end]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How long an object is idle before it leaves memory; 0: after every event [default: the host's]
    #[arg(long, value_name = "SECONDS")]
    hibernate_after: Option<u64>,
    /// Where to serve /metrics, /healthz and /readyz: host and port [default: nowhere]
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// Over how long sockets are closed at the end; 0: all at once [default: the host's]
    #[arg(long, value_name = "SECONDS")]
    drain_within: Option<u64>,
    /// Compress messages of this size and more for clients that take them so [default: none; without BYTES, the host's]
    #[arg(long, value_name = "BYTES", num_args = 0..=1)]
    compress: Option<Option<usize>>,
    #[command(flatten)]
    cluster: ClusterOptions,
    #[command(flatten)]
    log: Log,
}

/// The flags of a node of a cluster.
#[derive(Args, Debug)]
struct ClusterOptions {
    /// The NATS to make a cluster over: nats://HOST:PORT, several with commas between [default: no cluster]
    // Kept as what shows nothing that is secret in an address.
    #[arg(long, value_name = "URL", value_parser = |url: &str| Ok::<_, Infallible>(Nats::connect(url)))]
    cluster: Option<Nats>,
    /// Where other nodes reach this one: host and port [default: a free port of 127.0.0.1]
    #[arg(long, value_name = "ADDRESS", requires = "cluster")]
    advertise: Option<String>,
    /// What the cluster is called in NATS [default: dog]
    #[arg(long, value_name = "NAME", requires = "cluster")]
    cluster_prefix: Option<String>,
    /// A file of credentials for NATS
    #[arg(long, value_name = "FILE", requires = "cluster")]
    cluster_credentials: Option<PathBuf>,
    /// After how long a node that is not heard of is given up [default: 15]
    #[arg(long, value_name = "SECONDS", requires = "cluster")]
    cluster_lease: Option<u64>,
}

impl ClusterOptions {
    fn apply<A: App + Send + Sync>(self, mut server: Server<A>) -> Server<A> {
        let Some(mut nats) = self.cluster else { return server };
        if let Some(prefix) = self.cluster_prefix {
            nats = nats.prefix(prefix);
        }
        if let Some(file) = self.cluster_credentials {
            nats = nats.credentials_file(file);
        }
        if let Some(seconds) = self.cluster_lease {
            nats = nats.lease(Duration::from_secs(seconds));
        }
        if let Some(address) = self.advertise {
            server = server.advertise(address);
        }
        server.cluster(nats)
    }
}

/// The log's flags.
#[derive(Args, Debug)]
pub struct Log {
    /// What is logged to stderr: off, error, warn, info, debug, trace
    #[arg(long = "log", value_name = "LEVEL", default_value = "warn")]
    level: LevelFilter,
    /// How it is written
    #[arg(long = "log-format", value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

impl Log {
    /// Logs from now on.
    pub fn start(&self) {
        let log = tracing_subscriber::fmt().with_max_level(self.level).with_writer(std::io::stderr);
        match self.format {
            Format::Text => log.with_ansi(std::io::stderr().is_terminal()).init(),
            Format::Json => {
                log.json().init();
                // A panic is a line like any other: whoever reads the log by machine reads all of it.
                std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
            }
        }
    }
}

impl Options {
    /// `server` with what was asked for.
    fn apply<A: App + Send + Sync>(self, mut server: Server<A>) -> Server<A> {
        if let Some(workers) = self.workers {
            server = server.workers(workers);
        }
        if let Some(folder) = self.data {
            server = server.data(folder);
        }
        if let Some(seconds) = self.hibernate_after {
            server = server.hibernate_after(Duration::from_secs(seconds));
        }
        if let Some(address) = self.admin {
            server = server.admin(address);
        }
        if let Some(seconds) = self.drain_within {
            server = server.drain_within(Duration::from_secs(seconds));
        }
        if let Some(least) = self.compress {
            let compression = Compression::new();
            server = server.compress(least.map_or(compression, |bytes| compression.at_least(bytes)));
        }
        self.cluster.apply(server)
    }
}

/// The limit that `--limit` says.
///
/// # Errors
/// One line that names the flag, when there is no such limit.
pub fn limit(seats: u32) -> Result<Limit, String> {
    Limit::try_from(seats).map_err(|error| format!("--limit {seats}: {error}"))
}

/// Runs `program` until a signal ends it.
pub async fn run<A: App + Send + Sync>(program: &str, options: Options, server: Result<Server<A>, String>) -> ExitCode {
    options.log.start();
    let running = match server {
        Ok(server) => options.apply(server).start().await.map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    let running = match running {
        Ok(running) => running,
        Err(error) => {
            eprintln!("{program}: {error}");
            return ExitCode::from(2);
        }
    };
    let (address, admin) = (running.local_addr(), running.admin_addr());
    // Before the line is printed: whoever reads it may send a signal at once.
    let ended = running.until_signal();
    println!("listening on http://{address}");
    if let Some(admin) = admin {
        println!("admin on http://{admin}");
    }
    ended.await;
    ExitCode::SUCCESS
}
