//! Real NATS servers. They are killed at the end of the test.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use dog_test_support::nats::{self, Settings};

use crate::app::PATIENCE;
use crate::network::Host;

/// The pause between two queries of the servers' state. They send no event when it changes.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(200);

impl nats::Host for Host {
    fn address(&self) -> Ipv4Addr {
        self.address
    }

    fn command(&self, program: &Path) -> Command {
        Host::command(self, program)
    }

    /// Returns the port to listen on. Nothing else runs on a host of a test network, so the usual port is free there.
    fn port(&self, usual: u16) -> u16 {
        usual
    }
}

/// One nats-server, or several that form a cluster.
pub(crate) struct NatsServers(nats::NatsServers);

impl NatsServers {
    /// Starts `count` servers. `more` is appended to the configuration of each. If it contains `no jetstream`,
    /// JetStream is off.
    pub(crate) fn start(count: usize, more: &str) -> Self {
        Self(nats::NatsServers::start(count, settings(more)))
    }

    /// Starts one server on each of these hosts.
    pub(crate) fn start_on(hosts: &[Host], more: &str) -> Self {
        let hosts = hosts.iter().cloned().map(|host| Box::new(host) as Box<dyn nats::Host>);
        Self(nats::NatsServers::start_on(hosts.collect(), settings(more)))
    }

    /// Returns the process id of a running server.
    pub(crate) fn process(&self, server: usize) -> u32 {
        self.0.id(server)
    }

    pub(crate) fn kill(&mut self, server: usize) {
        self.0.kill(server);
    }

    /// Starts a killed server again, with its old files.
    pub(crate) fn restart(&mut self, server: usize) {
        self.0.restart(server);
    }

    /// Waits until all three servers have all messages of all streams.
    pub(crate) async fn is_whole(&self) {
        let client = async_nats::ConnectOptions::new().retry_on_initial_connect().connect(self.0.urls()).await;
        let client = client.expect("a valid address");
        for stream in ["dog_nodes", "dog_objects"] {
            let deadline = Instant::now() + PATIENCE;
            loop {
                let info = info(&client, stream).await;
                let replicas = info["cluster"]["replicas"].as_array().map(Vec::as_slice).unwrap_or_default();
                let is_current = |replica: &serde_json::Value| replica["current"] == true && replica["offline"] != true;
                if replicas.len() == 2 && replicas.iter().all(is_current) {
                    break;
                }
                assert!(Instant::now() < deadline, "not all servers have all messages of {stream}: {info}");
                tokio::time::sleep(ASK_AGAIN_AFTER).await;
            }
        }
    }

    /// Returns the number of the server that leads a stream.
    pub(crate) async fn leader(&self, stream: &str) -> usize {
        let client = async_nats::connect(self.0.urls()).await.expect("a server");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let info = info(&client, stream).await;
            let leader = info["cluster"]["leader"].as_str().and_then(|name| name.strip_prefix('n'));
            if let Some(leader) = leader {
                return leader.parse().expect("the number of a server");
            }
            assert!(Instant::now() < deadline, "{stream} has no leader");
            tokio::time::sleep(ASK_AGAIN_AFTER).await;
        }
    }

    /// Returns the subjects of all messages in a stream.
    pub(crate) async fn subjects(&self, stream: &str) -> Vec<String> {
        let client = async_nats::connect(self.0.urls()).await.expect("a server");
        let question = r#"{"subjects_filter":">"}"#;
        let info = ask(&client, stream, question).await;
        let subjects = info["state"]["subjects"].as_object();
        subjects.map(|subjects| subjects.keys().cloned().collect()).unwrap_or_default()
    }

    /// Returns the URL of one server. A client that connects to it learns the addresses of the others.
    pub(crate) fn url_of(&self, server: usize) -> String {
        self.0.urls().swap_remove(server)
    }

    /// Returns the URLs of all servers, as [`Nats::connect`](dog_nats::Nats::connect) accepts them.
    pub(crate) fn url(&self) -> String {
        self.0.url()
    }
}

fn settings(more: &str) -> Settings<'_> {
    let jetstream = if more.contains("no jetstream") { None } else { Settings::default().jetstream };
    Settings { jetstream, more, ..Settings::default() }
}

/// Returns a server's information about a stream. It is null if the server does not answer.
async fn info(client: &async_nats::Client, stream: &str) -> serde_json::Value {
    ask(client, stream, "").await
}

/// The same with what else is asked for.
async fn ask(client: &async_nats::Client, stream: &str, question: &'static str) -> serde_json::Value {
    let answer = client.request(format!("$JS.API.STREAM.INFO.{stream}"), question.into()).await;
    answer.ok().and_then(|answer| serde_json::from_slice(&answer.payload).ok()).unwrap_or_default()
}
