//! Real NATS servers, one or three, that end with the test.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::app::PATIENCE;

/// The environment variable that names the program.
const PROGRAM: &str = "DOG_NATS_SERVER";

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
}

impl NatsServer {
    fn start(&mut self) {
        let mut command = Command::new(program());
        command.arg("-c").arg(&self.configuration).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child =
            command.spawn().unwrap_or_else(|error| panic!("{:?} does not start: {error}; see {PROGRAM}", program()));
        self.child = Some(child);
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
        let folder = tempfile::tempdir().expect("a folder");
        let routes: Vec<u16> = (0..count).map(|_| free_port()).collect();
        let servers = (0..count).map(|number| {
            let port = free_port();
            let cluster = if count > 1 {
                let all =
                    routes.iter().map(|port| format!("nats-route://127.0.0.1:{port}")).collect::<Vec<_>>().join(", ");
                format!("cluster {{ name: dog, listen: \"127.0.0.1:{}\", routes: [{all}] }}", routes[number])
            } else {
                String::new()
            };
            let store = folder.path().join(format!("store{number}"));
            let text = format!(
                "host: 127.0.0.1\nport: {port}\nserver_name: n{number}\nmax_payload: 8MB\n{}\n{cluster}\n{more}\n",
                if more.contains("no jetstream") {
                    String::new()
                } else {
                    format!("jetstream {{ store_dir: \"{}\", sync_interval: always }}", store.display())
                }
            );
            let configuration = folder.path().join(format!("n{number}.conf"));
            std::fs::write(&configuration, text).expect("room for a configuration");
            let mut server = NatsServer { child: None, configuration, port };
            server.start();
            server
        });
        Self { servers: servers.collect(), _folder: folder }
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

    /// The server that leads a stream.
    pub(crate) async fn leader(&self, stream: &str) -> usize {
        let client = async_nats::connect(self.urls()).await.expect("an address");
        let answer = client.request(format!("$JS.API.STREAM.INFO.{stream}"), "".into()).await.expect("an answer");
        let info: serde_json::Value = serde_json::from_slice(&answer.payload).expect("information");
        let name = info["cluster"]["leader"].as_str().and_then(|name| name.strip_prefix('n'));
        name.and_then(|number| number.parse().ok()).expect("a leader of that name")
    }

    /// As [`Nats::connect`](dog_nats::Nats::connect) takes them.
    pub(crate) fn url(&self) -> String {
        self.urls().join(",")
    }

    fn urls(&self) -> Vec<String> {
        self.servers.iter().map(|server| format!("nats://127.0.0.1:{}", server.port)).collect()
    }
}
