//! Nodes of the chat over a real NATS, and a real Caddy in front of them.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dog_test_support::client::http;
use dog_test_support::command_line::address_after;
use dog_test_support::nats::{NatsServers, Settings, free_port};
use dog_test_support::process::{Process, Signal};
use tempfile::TempDir;

use crate::{POLL, listens, packaged, program, within};

const CHAT: &str = env!("CARGO_BIN_EXE_chat");
const NODES: u8 = 3;
/// In seconds. A node gives up a connection to NATS after three tenths of it, and messages between nodes are lost then: it is so long
/// that a busy machine does not make that happen.
const LEASE: &str = "60";

/// A node of the chat.
pub(crate) struct Node {
    process: Process,
    flags: Vec<String>,
    addresses: Addresses,
}

/// Where a node listens: for clients, and for operators.
#[derive(Clone, Copy)]
struct Addresses {
    clients: SocketAddr,
    admin: SocketAddr,
}

impl Node {
    /// Starts a node that listens at these addresses, for clients and for operators, and waits until it serves.
    pub(crate) fn start(nats: &NatsServers, [listen, admin]: [&str; 2], more: &[&str]) -> Self {
        let url = nats.url();
        let flags = ["--open", "--cluster", &url, "--listen", listen, "--admin", admin, "--cluster-lease", LEASE];
        let flags: Vec<String> = flags.into_iter().chain(more.iter().copied()).map(str::to_owned).collect();
        let (process, addresses) = run(&flags);
        Self { process, flags, addresses }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses.clients
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.addresses.admin
    }

    /// Its metrics, as text.
    pub(crate) async fn metrics(&self) -> String {
        http(self.admin(), "GET", "/metrics", "").await.body
    }

    /// The sum of a metric over all labels. A worker that does not answer a scrape in time is asked again.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let whole = async {
            loop {
                let metrics = self.metrics().await;
                if !metrics.lines().any(|line| line.starts_with("dog_worker_up{") && line.ends_with(" 0")) {
                    break metrics;
                }
            }
        };
        let metrics = within("all workers", whole).await;
        let value = |line: &str| line.strip_prefix(name)?.rsplit_once(' ')?.1.parse::<u64>().ok();
        metrics.lines().filter_map(value).sum()
    }

    /// Begins a graceful shutdown.
    pub(crate) fn terminate(&self) {
        self.process.send_signal(Signal::TERM).unwrap();
    }

    /// Waits until the node has ended as it should, and starts it again. Other tasks go on meanwhile.
    pub(crate) async fn restart(&mut self) {
        let ended = async {
            loop {
                if let Some(status) = self.process.status().unwrap() {
                    break status;
                }
                tokio::time::sleep(POLL).await;
            }
        };
        assert_eq!(within("the end of a node", ended).await.code(), Some(0));
        let flags = self.flags.clone();
        (self.process, self.addresses) = tokio::task::spawn_blocking(move || run(&flags)).await.unwrap();
    }
}

fn run(flags: &[String]) -> (Process, Addresses) {
    let process = Process::start(Command::new(CHAT).args(flags).stdin(Stdio::null())).unwrap();
    let scheme = if flags.iter().any(|flag| flag == "--tls-cert") { "https" } else { "http" };
    let clients = address_after(&process, &format!("listening on {scheme}://"));
    let admin = address_after(&process, "admin on http://");
    (process, Addresses { clients, admin })
}

/// One NATS server that does not sync its files: what these tests are about must not wait for the disk, or for an election of NATS.
pub(crate) fn nats() -> NatsServers {
    NatsServers::start(1, Settings { jetstream: Some("2m"), ..Settings::default() })
}

/// Three nodes behind Caddy. They have addresses of their own and one port, as containers have.
pub(crate) struct Fleet {
    pub(crate) nodes: Vec<Node>,
    /// Where Caddy listens.
    pub(crate) entry: SocketAddr,
    _caddy: Process,
    log: PathBuf,
    _nats: NatsServers,
    _folder: TempDir,
}

impl Fleet {
    /// Starts everything, and waits until Caddy reaches every node. `balancing` is that of the Caddyfile.
    pub(crate) async fn start(balancing: &str) -> Self {
        let (nats, folder) = (nats(), tempfile::tempdir().unwrap());
        let [port, admin, site] = [(); 3].map(|()| free_port());
        let hosts: Vec<Ipv4Addr> = (0..NODES).map(|number| Ipv4Addr::new(127, 0, 0, 2 + number)).collect();
        let nodes = hosts.iter().map(|host| {
            let (listen, admin) = (format!("{host}:{port}"), format!("{host}:{admin}"));
            Node::start(&nats, [&listen, &admin], &["--trusted-proxies", "127.0.0.1", "--workers", "1"])
        });
        let nodes: Vec<Node> = nodes.collect();
        let entry = SocketAddr::from((Ipv4Addr::LOCALHOST, site));
        let log = folder.path().join("caddy.log");
        let mut caddy = Command::new(program("DOG_CADDY", "caddy"));
        let upstreams: Vec<String> = hosts.iter().map(|host| format!("{host}:{port}")).collect();
        caddy.env("DOG_SITE", format!("http://{entry}")).env("DOG_NODES", upstreams.join(" "));
        caddy.env("DOG_ADMIN_PORT", admin.to_string()).env("DOG_BALANCING", balancing);
        let caddy = run_caddy(caddy, folder.path(), &log);
        let fleet = Self { nodes, entry, _caddy: caddy, log, _nats: nats, _folder: folder };
        within("every node behind Caddy", fleet.is_reached()).await;
        fleet
    }

    /// Waits until Caddy serves, and does so with every node.
    async fn is_reached(&self) {
        listens(self.entry).await;
        let mut reached = vec![false; self.nodes.len()];
        while reached.contains(&false) {
            let before = self.connections().await;
            assert_eq!(http(self.entry, "GET", "/session", "").await.status, 200, "{}", self.logged());
            for (number, (after, before)) in self.connections().await.iter().zip(&before).enumerate() {
                reached[number] |= after > before;
            }
        }
    }

    /// How many connections each node has accepted. Probes have a port of their own and do not count.
    pub(crate) async fn connections(&self) -> Vec<u64> {
        let mut connections = Vec::new();
        for node in &self.nodes {
            connections.push(node.metric("dog_connections_accepted_total").await);
        }
        connections
    }

    /// What Caddy has logged, for a failure.
    pub(crate) fn logged(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

fn run_caddy(mut caddy: Command, folder: &Path, log: &Path) -> Process {
    caddy.args(["run", "--adapter", "caddyfile", "--config"]).arg(packaged("compose/Caddyfile"));
    caddy.env("HOME", folder).stdin(Stdio::null()).stderr(File::create(log).unwrap());
    Process::start(&mut caddy).expect("caddy, which DOG_CADDY names")
}
