//! The flags of a server: [`ServerArgs`].

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use dog::App;

use super::log::LogArgs;
use crate::config::Compression;
use crate::proxies::Network;
use crate::rates::Rate;
use crate::server::Server;

/// The flags that set up a [`Server`], and those of the log. A flag that is given replaces what the program has set.
#[derive(Args, Clone, Debug)]
pub struct ServerArgs {
    /// Address to listen on, as host:port [default: 127.0.0.1:8787]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// File of the certificates for TLS, in PEM; loaded again when it changes and at SIGHUP [default: no TLS]
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// File of the private key for TLS, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Number of worker threads [default: one per core]
    #[arg(long, value_name = "THREADS")]
    workers: Option<usize>,
    /// Folder for the storage of objects [default: a temporary folder, deleted at the end]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Idle time after which an object leaves memory; 0 means after every event [default: 60]
    #[arg(long, value_name = "SECONDS")]
    hibernate_after: Option<u64>,
    /// Address for /metrics, /healthz and /readyz, as host:port [default: none]
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// Time over which a graceful shutdown closes the sockets; 0 means all at once [default: 10]
    #[arg(long, value_name = "SECONDS")]
    drain_within: Option<u64>,
    /// Compress messages of at least BYTES for clients that support it [default: off; without BYTES: 256]
    #[arg(long, value_name = "BYTES", num_args = 0..=1, default_missing_value = "256")]
    compress: Option<usize>,
    /// Networks of trusted proxies, separated by commas, whose X-Forwarded-For is believed [default: none]
    #[arg(long, value_name = "NETWORKS", value_delimiter = ',')]
    trusted_proxies: Vec<Network>,
    /// Connections that one address may open per second; 10 times as many at once [default: no limit]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    connections_per_second: Option<u32>,
    /// Requests that one address may send per second; 10 times as many at once [default: no limit]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    requests_per_second: Option<u32>,
    /// Groups that one address may activate per minute [default: no limit]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    groups_per_minute: Option<u32>,
    #[command(flatten)]
    log: LogArgs,
    #[arg(skip)]
    warnings: Vec<&'static str>,
}

impl ServerArgs {
    /// Whether the server itself speaks TLS. Cookies can be `Secure` then.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.tls_cert.is_some()
    }

    /// Adds a text that [`run`](Self::run) logs as a warning at the start, such as that everybody may do everything.
    #[must_use]
    pub fn warn(mut self, text: &'static str) -> Self {
        self.warnings.push(text);
        self
    }

    /// Installs the log, starts `server` with these flags, and runs it until SIGINT or SIGTERM. The
    /// [module](crate::cli) says what goes to stdout and stderr, and the exit codes.
    ///
    /// Cancel safe: if the future is dropped, the server ends without a graceful shutdown.
    ///
    /// # Panics
    /// If the process already has a global `tracing` subscriber.
    pub async fn run<A: App + Send + Sync>(self, server: Server<A>) -> ExitCode {
        self.log.init();
        self.warnings.iter().for_each(|text| tracing::warn!("{text}"));
        let scheme = if self.has_tls() { "https" } else { "http" };
        let running = match self.apply(server).start().await {
            Ok(running) => running,
            Err(error) => {
                eprintln!("error: {error}");
                return ExitCode::from(2);
            }
        };
        let (address, admin) = (running.local_addr(), running.admin_addr());
        // Before the address is printed: a program that starts this one may send a signal as soon as it has read the
        // address.
        let ended = running.until_signal();
        println!("listening on {scheme}://{address}");
        if let Some(admin) = admin {
            println!("admin on http://{admin}");
        }
        ended.await;
        ExitCode::SUCCESS
    }

    fn apply<A: App + Send + Sync>(self, mut server: Server<A>) -> Server<A> {
        if let Some(address) = self.listen {
            server = server.bind(address);
        }
        if let (Some(certificates), Some(key)) = (self.tls_cert, self.tls_key) {
            server = server.tls(certificates, key);
        }
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
        if let Some(bytes) = self.compress {
            server = server.compress(Compression::new().at_least(bytes));
        }
        if !self.trusted_proxies.is_empty() {
            server = server.trusted_proxies(self.trusted_proxies);
        }
        if let Some(number) = self.connections_per_second {
            server = server.connections_per_address(with_bursts(number));
        }
        if let Some(number) = self.requests_per_second {
            server = server.requests_per_address(with_bursts(number));
        }
        if let Some(number) = self.groups_per_minute {
            server = server.groups_per_address(Rate::per_minute(number));
        }
        server
    }
}

/// This rate per second, and ten times as many at once: a page loads many files, and people share addresses.
fn with_bursts(per_second: u32) -> Rate {
    Rate::per_second(per_second).burst(per_second.saturating_mul(10))
}
