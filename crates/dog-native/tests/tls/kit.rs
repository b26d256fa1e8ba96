//! A server with certificates of the test, and its clients.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use dog_native::{Running, Server};
use dog_test_support::certificates::Authority;
use dog_test_support::client::{http, within};
use dog_test_support::tls::{self, NAME};
use rustls::{ClientConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::common::{self, Shared, Test, next};

pub(crate) type TlsClient = WebSocketStream<TlsStream<TcpStream>>;

/// A server with TLS.
pub(crate) struct Encrypted {
    pub(crate) running: Running,
    pub(crate) journal: Shared,
    pub(crate) authority: Authority,
    /// The certificate and its key.
    pub(crate) files: [PathBuf; 2],
}

pub(crate) async fn start(set: impl FnOnce(Server<Test>) -> Server<Test>) -> Encrypted {
    let authority = Authority::new();
    let files = authority.vouches_for(NAME);
    let [certificate, key] = files.clone();
    let (running, journal) = common::start(|server| set(server.tls(certificate, key).admin("127.0.0.1:0"))).await;
    Encrypted { running, journal, authority, files }
}

impl Encrypted {
    pub(crate) fn address(&self) -> SocketAddr {
        self.running.local_addr()
    }

    /// Returns the settings of a client that trusts the server, and remembers sessions.
    pub(crate) fn trusting(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        tls::trusting(self.authority.root(), versions)
    }

    /// Opens a WebSocket. Returns it and the id of its Replica.
    pub(crate) async fn enter(&self, config: &Arc<ClientConfig>, client: &str, room: &str) -> (TlsClient, String) {
        let stream = within("the handshake", tls::connect(config, self.address())).await.unwrap();
        let (mut client, _) = client_async(format!("wss://{NAME}/?u={client}&room={room}"), stream).await.unwrap();
        let replica = next(&mut client).await.into_text().unwrap().to_string();
        (client, replica)
    }

    /// Reads the metrics of TLS. Those of the workers are added up.
    pub(crate) async fn metrics(&self) -> BTreeMap<String, f64> {
        let text = http(self.running.admin_addr().unwrap(), "GET", "/metrics", "").await.body;
        let mut metrics = BTreeMap::new();
        for line in text.lines().filter(|line| line.starts_with("dog_tls_")) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let name = name.split("{worker").next().unwrap();
            *metrics.entry(name.to_owned()).or_default() += value.parse::<f64>().unwrap();
        }
        metrics
    }

    /// Waits until a metric has this value.
    pub(crate) async fn counts(&self, name: &str, value: f64) {
        within(name, async { while self.metrics().await.get(name) != Some(&value) {} }).await;
    }
}

/// Sends a request on an encrypted connection, and returns the response.
pub(crate) async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    let request = format!("GET /?whence=1 HTTP/1.1\r\nhost: {NAME}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    // It fails unless the server ends TLS before it ends the connection.
    within("the response", stream.read_to_string(&mut response)).await.unwrap();
    response
}
