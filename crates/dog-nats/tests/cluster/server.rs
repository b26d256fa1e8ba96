//! Real NATS servers, one or three, that end with the test.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::app::PATIENCE;
use crate::network::Host;

/// The environment variable that names the program.
const PROGRAM: &str = "DOG_NATS_SERVER";

/// The ports of a server that has a host of its own: for clients, and for the other servers.
const CLIENTS: u16 = 4222;
const ROUTES: u16 = 6222;

fn program() -> PathBuf {
    std::env::var_os(PROGRAM).map_or_else(|| "nats-server".into(), PathBuf::from)
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// One server.
pub(crate) struct NatsServer {
    child: Option<Child>,
    configuration: PathBuf,
    pub(crate) port: u16,
    /// Where it runs, if not where the test does.
    host: Option<Host>,
}

impl NatsServer {
    fn start(&mut self) {
        let mut command = match &self.host {
            Some(host) => host.command(program()),
            None => Command::new(program()),
        };
        command.arg("-c").arg(&self.configuration).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child =
            command.spawn().unwrap_or_else(|error| panic!("{:?} does not start: {error}; see {PROGRAM}", program()));
        self.child = Some(child);
    }

    fn address(&self) -> Ipv4Addr {
        self.host.as_ref().map_or(Ipv4Addr::LOCALHOST, |host| host.address)
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Servers that are one NATS.
pub(crate) struct NatsServers {
    servers: Vec<NatsServer>,
    /// Gone with them.
    _folder: TempDir,
}

impl NatsServers {
    /// Starts so many, with `more` in the configuration of each.
    pub(crate) fn start(count: usize, more: &str) -> Self {
        Self::start_at(vec![None; count], more)
    }

    /// One on each of these hosts.
    pub(crate) fn start_on(hosts: &[Host], more: &str) -> Self {
        Self::start_at(hosts.iter().cloned().map(Some).collect(), more)
    }

    fn start_at(hosts: Vec<Option<Host>>, more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let address = |host: &Option<Host>| host.as_ref().map_or(Ipv4Addr::LOCALHOST, |host| host.address);
        // On a host of its own nobody else has the port.
        let port = |host: &Option<Host>, own: u16| if host.is_some() { own } else { free_port() };
        let routes: Vec<String> =
            hosts.iter().map(|host| format!("{}:{}", address(host), port(host, ROUTES))).collect();
        let servers = hosts.into_iter().enumerate().map(|(number, host)| {
            let port = port(&host, CLIENTS);
            let cluster = if routes.len() > 1 {
                let all = routes.iter().map(|route| format!("nats-route://{route}")).collect::<Vec<_>>().join(", ");
                format!("cluster {{ name: dog, listen: \"{}\", routes: [{all}] }}", routes[number])
            } else {
                String::new()
            };
            let store = folder.path().join(format!("store{number}"));
            let text = format!(
                "host: {}\nport: {port}\nserver_name: n{number}\nmax_payload: 8MB\n{}\n{cluster}\n{more}\n",
                address(&host),
                if more.contains("no jetstream") {
                    String::new()
                } else {
                    format!("jetstream {{ store_dir: \"{}\", sync_interval: always }}", store.display())
                }
            );
            let configuration = folder.path().join(format!("n{number}.conf"));
            std::fs::write(&configuration, text).expect("room for a configuration");
            let mut server = NatsServer { child: None, configuration, port, host };
            server.start();
            server
        });
        Self { servers: servers.collect(), _folder: folder }
    }

    /// The process of one that runs.
    pub(crate) fn process(&self, server: usize) -> u32 {
        self.servers[server].child.as_ref().expect("it runs").id()
    }

    /// Ends one at once.
    pub(crate) fn kill(&mut self, server: usize) {
        self.servers[server].kill();
    }

    /// Starts one that was ended, with what it had.
    pub(crate) fn restart(&mut self, server: usize) {
        self.servers[server].start();
    }

    /// Waits until all copies of all streams are there again.
    pub(crate) async fn is_whole(&self) {
        let client = async_nats::ConnectOptions::new().retry_on_initial_connect().connect(self.urls()).await;
        let client = client.expect("an address");
        for stream in ["dog_nodes", "dog_objects"] {
            let by = std::time::Instant::now() + PATIENCE;
            loop {
                let answer = client.request(format!("$JS.API.STREAM.INFO.{stream}"), "".into()).await;
                let info = answer.map(|answer| serde_json::from_slice::<serde_json::Value>(&answer.payload));
                if let Ok(Ok(info)) = &info
                    && let Some(replicas) = info["cluster"]["replicas"].as_array()
                    && replicas.len() == 2
                    && replicas.iter().all(|replica| replica["current"] == true && replica["offline"] != true)
                {
                    break;
                }
                assert!(std::time::Instant::now() < by, "{stream} is not whole: {info:?}");
                // NATS tells nobody of it.
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
        }
    }

    /// Which of them leads that stream, as one of them says who is not cut off.
    pub(crate) async fn leader(&self, stream: &str) -> usize {
        let client = async_nats::connect(self.urls()).await.expect("a server");
        let by = std::time::Instant::now() + PATIENCE;
        loop {
            if let Ok(answer) = client.request(format!("$JS.API.STREAM.INFO.{stream}"), "".into()).await {
                let info: serde_json::Value = serde_json::from_slice(&answer.payload).expect("an answer");
                let leader = info["cluster"]["leader"].as_str().and_then(|name| name.strip_prefix('n'));
                if let Some(leader) = leader {
                    return leader.parse().expect("a number");
                }
            }
            assert!(std::time::Instant::now() < by, "{stream} has no leader");
            // NATS tells nobody of it.
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }

    /// One of them; whoever connects to it hears of the others.
    pub(crate) fn url_of(&self, server: usize) -> String {
        self.urls().swap_remove(server)
    }

    /// As [`Nats::connect`](dog_nats::Nats::connect) takes them.
    pub(crate) fn url(&self) -> String {
        self.urls().join(",")
    }

    fn urls(&self) -> Vec<String> {
        self.servers.iter().map(|server| format!("nats://{}:{}", server.address(), server.port)).collect()
    }
}
