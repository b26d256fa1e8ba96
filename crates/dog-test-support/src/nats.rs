//! Real NATS servers that end with the test: [`NatsServers`].
//!
//! The environment variable `DOG_NATS_SERVER` names the program; without it, `nats-server` is looked up on the `PATH`.
//! `cargo xtask test cluster` installs a current one and sets the variable.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use crate::process::Process;

/// The environment variable that names the program.
pub const PROGRAM: &str = "DOG_NATS_SERVER";

/// The usual ports of a server, for clients and for the other servers.
const CLIENT_PORT: u16 = 4222;
const ROUTE_PORT: u16 = 6222;

/// The program to start.
#[must_use]
pub fn program() -> PathBuf {
    std::env::var_os(PROGRAM).map_or_else(|| "nats-server".into(), PathBuf::from)
}

/// The ports that [`free_port`] hands out. Systems take the ports of outgoing connections, and those of servers that bind
/// port 0, from higher numbers: Linux from 32768 on. So no other process takes a port before its server has bound it, or
/// while its server is restarted.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// A port of this machine on which nothing listens now. No two calls of one process return the same port.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    static NEXT: OnceLock<AtomicU32> = OnceLock::new();
    // Processes that run at the same time begin at different ports.
    let next = NEXT.get_or_init(|| AtomicU32::new(std::process::id().wrapping_mul(61)));
    let count = u32::from(PORTS.end - PORTS.start);
    let candidates = (0..count).map(|_| next.fetch_add(1, Ordering::Relaxed) % count);
    let mut ports = candidates.filter_map(|number| PORTS.start.checked_add(u16::try_from(number).ok()?));
    ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).expect("a free port")
}

/// Where a server runs.
pub trait Host {
    /// The address at which it listens.
    fn address(&self) -> Ipv4Addr;
    /// A command that runs this program there.
    fn command(&self, program: &Path) -> Command;
    /// A port that is free there; `usual` is the server's usual port.
    fn port(&self, usual: u16) -> u16;
}

/// The loopback address of this machine, with free ports.
#[derive(Clone, Copy, Debug)]
pub struct Loopback;

impl Host for Loopback {
    fn address(&self) -> Ipv4Addr {
        Ipv4Addr::LOCALHOST
    }

    fn command(&self, program: &Path) -> Command {
        Command::new(program)
    }

    fn port(&self, _usual: u16) -> u16 {
        free_port()
    }
}

/// How the servers run.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// The program, if it is not [`program()`].
    pub program: Option<&'a Path>,
    /// The folder for their files, if it is not a temporary one.
    pub folder: Option<&'a Path>,
    /// What JetStream's `sync_interval` is, for example `always`; `None` switches JetStream off.
    pub jetstream: Option<&'a str>,
    /// More lines of each server's configuration file.
    pub more: &'a str,
}

impl Default for Settings<'_> {
    /// In a temporary folder, with JetStream that syncs every write.
    fn default() -> Self {
        Self { program: None, folder: None, jetstream: Some("always"), more: "" }
    }
}

/// One server, or several that form one cluster. When the value is dropped, they are killed and their files are deleted.
pub struct NatsServers {
    servers: Vec<NatsServer>,
    /// Deleted after the servers have ended.
    _temporary: Option<TempDir>,
}

struct NatsServer {
    host: Box<dyn Host>,
    port: u16,
    program: PathBuf,
    configuration: PathBuf,
    process: Option<Process>,
}

impl NatsServers {
    /// Starts `count` servers on this machine. It does not wait until they accept connections: clients of NATS retry.
    ///
    /// # Panics
    /// When a server cannot be started.
    #[must_use]
    pub fn start(count: usize, settings: Settings<'_>) -> Self {
        Self::start_on((0..count).map(|_| Box::new(Loopback) as Box<dyn Host>).collect(), settings)
    }

    /// Starts one server on each of these hosts.
    ///
    /// # Panics
    /// When a server cannot be started.
    #[must_use]
    pub fn start_on(hosts: Vec<Box<dyn Host>>, settings: Settings<'_>) -> Self {
        let temporary = settings.folder.is_none().then(|| tempfile::tempdir().expect("a temporary folder"));
        let folder = settings.folder.or(temporary.as_ref().map(TempDir::path)).expect("one of the two");
        let routes: Vec<String> =
            hosts.iter().map(|host| format!("{}:{}", host.address(), host.port(ROUTE_PORT))).collect();
        let servers = hosts.into_iter().enumerate().map(|(number, host)| {
            let port = host.port(CLIENT_PORT);
            let text = [
                format!("host: {}\nport: {port}\nserver_name: n{number}\nmax_payload: 8MB\n", host.address()),
                settings.jetstream.map(|sync| jetstream(folder, number, sync)).unwrap_or_default(),
                cluster(&routes, number),
                settings.more.to_owned(),
            ]
            .join("\n");
            let configuration = folder.join(format!("n{number}.conf"));
            std::fs::write(&configuration, text).expect("space for a configuration file");
            let program = settings.program.map_or_else(program, Path::to_path_buf);
            let mut server = NatsServer { host, port, program, configuration, process: None };
            server.start();
            server
        });
        Self { servers: servers.collect(), _temporary: temporary }
    }

    /// The process id of a server that runs.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn id(&self, server: usize) -> u32 {
        self.servers[server].process.as_ref().expect("the server runs").id()
    }

    /// Kills one server.
    pub fn kill(&mut self, server: usize) {
        self.servers[server].process = None;
    }

    /// Starts a server that was killed, on the same port and with the files that it left.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn restart(&mut self, server: usize) {
        self.servers[server].start();
    }

    /// The URL of each server.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(|server| format!("nats://{}:{}", server.host.address(), server.port)).collect()
    }

    /// The URLs of all servers, separated by commas.
    #[must_use]
    pub fn url(&self) -> String {
        self.urls().join(",")
    }
}

fn jetstream(folder: &Path, number: usize, sync: &str) -> String {
    let store = folder.join(format!("store{number}"));
    format!("jetstream {{ store_dir: \"{}\", sync_interval: {sync} }}", store.display())
}

/// What makes several servers one cluster; nothing for a single server.
fn cluster(routes: &[String], number: usize) -> String {
    if routes.len() < 2 {
        return String::new();
    }
    let all = routes.iter().map(|route| format!("nats-route://{route}")).collect::<Vec<_>>().join(", ");
    format!("cluster {{ name: dog, listen: \"{}\", routes: [{all}] }}", routes[number])
}

impl NatsServer {
    fn start(&mut self) {
        let mut command = self.host.command(&self.program);
        command.arg("-c").arg(&self.configuration).stdin(Stdio::null()).stderr(Stdio::null());
        let started = Process::start(&mut command);
        self.process =
            Some(started.unwrap_or_else(|error| panic!("{} does not start: {error}", self.program.display())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_servers_know_each_other() {
        assert_eq!(cluster(&["127.0.0.1:1".to_owned()], 0), "");
        let routes = ["127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned()];
        let expected = "cluster { name: dog, listen: \"127.0.0.1:2\", \
                        routes: [nats-route://127.0.0.1:1, nats-route://127.0.0.1:2] }";
        assert_eq!(cluster(&routes, 1), expected);
    }
}
