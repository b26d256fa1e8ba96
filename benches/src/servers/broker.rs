//! What nodes communicate through: [`Broker`], and what it has forwarded: [`BrokerTraffic`].

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::measure::CpuTime;

use super::http;
use super::process::ServerProcess;

/// A running NATS or Redis.
pub enum Broker {
    /// nats-server.
    Nats {
        /// The process.
        server: ServerProcess,
        /// Where clients connect.
        clients: SocketAddr,
    },
    /// redis-server.
    Redis(ServerProcess),
}

/// What it has forwarded so far. NATS counts the bytes of messages, Redis all bytes on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BrokerTraffic {
    /// From nodes.
    pub bytes_in: u64,
    /// To nodes.
    pub bytes_out: u64,
    /// Messages between our nodes, without those from JetStream.
    pub node_messages: u64,
}

impl BrokerTraffic {
    /// What was forwarded after `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            bytes_in: self.bytes_in.saturating_sub(earlier.bytes_in),
            bytes_out: self.bytes_out.saturating_sub(earlier.bytes_out),
            node_messages: self.node_messages.saturating_sub(earlier.node_messages),
        }
    }
}

impl Broker {
    /// Starts a nats-server without data. JetStream is in `scratch`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn nats(bench: &Path, program: &Path, scratch: &Path) -> Result<Self> {
        let (store, configuration) = (scratch.join("jetstream"), scratch.join("nats.conf"));
        if store.exists() {
            fs::remove_dir_all(&store)?;
        }
        // The system chooses the ports; the log says which.
        let text = format!(
            "host: 127.0.0.1\nport: -1\nhttp: \"127.0.0.1:-1\"\nmax_payload: 8MB\n\
             jetstream {{ store_dir: \"{}\" }}\nlog_file: \"/dev/stdout\"\n",
            store.display()
        );
        fs::write(&configuration, text)?;
        let arguments = [Path::new("-c"), &configuration];
        let server = ServerProcess::start_and_find(bench, &[], program, &arguments, nats_monitor)?;
        let clients = server.wait_for(nats_clients)?;
        Ok(Self::Nats { server, clients })
    }

    /// Starts a redis-server without persistence.
    ///
    /// # Errors
    /// When it does not start.
    pub fn redis(bench: &Path, program: &Path) -> Result<Self> {
        let address = free_address()?;
        let port = address.port().to_string();
        let arguments = ["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"];
        let find = |line: &str| line.contains("Ready to accept connections").then_some(address);
        Ok(Self::Redis(ServerProcess::start_and_find(bench, &[], program, &arguments, find)?))
    }

    /// Processor time that it has used so far.
    ///
    /// # Errors
    /// When it has ended.
    pub fn cpu_time(&self) -> Result<CpuTime> {
        match self {
            Self::Nats { server, .. } | Self::Redis(server) => CpuTime::of(server.process()),
        }
    }

    /// Its address, as nodes are given it.
    pub fn url(&self) -> String {
        match self {
            Self::Nats { clients, .. } => format!("nats://{clients}"),
            Self::Redis(server) => format!("redis://{}", server.address()),
        }
    }

    /// What it has forwarded so far.
    ///
    /// # Errors
    /// When it does not say.
    pub fn traffic(&self) -> Result<BrokerTraffic> {
        match self {
            Self::Nats { server, .. } => {
                let answer = http::get(server.address(), "/connz?subs=detail&limit=1024")?;
                nats_traffic(&answer).with_context(|| format!("NATS answers {answer}"))
            }
            Self::Redis(server) => {
                let answer = redis_statistics(server.address())?;
                redis_traffic(&answer).with_context(|| format!("Redis answers {answer}"))
            }
        }
    }
}

/// A free address, for servers that cannot choose one themselves.
///
/// # Errors
/// When there is none.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn nats_monitor(line: &str) -> Option<SocketAddr> {
    line.split_once("http monitor on ")?.1.trim().parse().ok()
}

fn nats_clients(line: &str) -> Option<SocketAddr> {
    line.split_once("client connections on ")?.1.trim().parse().ok()
}

/// Reads `/connz`. Node messages arrive on the nodes' subjects, `PREFIX.to.NODE`.
fn nats_traffic(answer: &str) -> Option<BrokerTraffic> {
    let answer: Value = serde_json::from_str(answer).ok()?;
    let mut traffic = BrokerTraffic::default();
    for connection in answer["connections"].as_array()? {
        traffic.bytes_in += connection["in_bytes"].as_u64()?;
        traffic.bytes_out += connection["out_bytes"].as_u64()?;
        for subscription in connection["subscriptions_list_detail"].as_array().into_iter().flatten() {
            if subscription["subject"].as_str()?.split('.').nth(1) == Some("to") {
                traffic.node_messages += subscription["msgs"].as_u64()?;
            }
        }
    }
    Some(traffic)
}

fn redis_statistics(address: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"INFO stats\r\n")?;
    let (mut reader, mut length) = (BufReader::new(stream), String::new());
    reader.read_line(&mut length)?;
    let length = length.trim().strip_prefix('$').and_then(|length| length.parse().ok());
    let mut answer = String::new();
    reader.take(length.context("Redis does not answer INFO")?).read_to_string(&mut answer)?;
    Ok(answer)
}

fn redis_traffic(answer: &str) -> Option<BrokerTraffic> {
    let figure = |name: &str| -> Option<u64> {
        answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?.trim().parse().ok()
    };
    let (bytes_in, bytes_out) = (figure("total_net_input_bytes")?, figure("total_net_output_bytes")?);
    Some(BrokerTraffic { bytes_in, bytes_out, node_messages: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ports_are_found_in_the_log_of_nats() {
        let line = "[7] 2026/11/24 15:34:01.240065 [INF] Starting http monitor on 127.0.0.1:44465";
        assert_eq!(nats_monitor(line), Some(([127, 0, 0, 1], 44465).into()));
        assert_eq!(nats_clients(line), None);
        let line = "[7] 2026/11/24 15:34:01.240642 [INF] Listening for client connections on 127.0.0.1:36755";
        assert_eq!(nats_clients(line), Some(([127, 0, 0, 1], 36755).into()));
    }

    #[test]
    fn node_messages_are_those_on_the_subjects_of_nodes() {
        let answer = r#"{"connections": [
            {"in_bytes": 10, "out_bytes": 20, "subscriptions_list_detail": [
                {"subject": "_INBOX.x.to", "msgs": 3}, {"subject": "dog.to.12ab", "msgs": 5}]},
            {"in_bytes": 1, "out_bytes": 2, "subscriptions_list_detail": [{"subject": "dog.to.12ac", "msgs": 7}]},
            {"in_bytes": 0, "out_bytes": 0}]}"#;
        assert_eq!(nats_traffic(answer), Some(BrokerTraffic { bytes_in: 11, bytes_out: 22, node_messages: 12 }));
        assert_eq!(nats_traffic("{}"), None);
    }

    #[test]
    fn redis_reports_bytes() {
        let answer = "# Stats\r\ntotal_net_input_bytes:14\r\ntotal_net_output_bytes:2\r\ntotal_net_input_bytes_x:9\r\n";
        assert_eq!(redis_traffic(answer), Some(BrokerTraffic { bytes_in: 14, bytes_out: 2, node_messages: 0 }));
        assert_eq!(redis_traffic("total_net_input_bytes:14\r\n"), None);
    }
}
