//! What nodes speak to each other through: [`Broker`], and what passes there: [`Traffic`].

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use anyhow::{Context, Result};
use dog_benches::http;
use dog_benches::server::Server;
use serde_json::Value;

/// A NATS or a Redis, with nothing in it.
pub(crate) enum Broker {
    Nats {
        server: Server,
        /// Where it tells of itself.
        monitor: SocketAddr,
    },
    Redis(Server),
}

/// What has passed so far. NATS counts what is in messages, Redis all that is on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// From nodes.
    pub(crate) bytes_in: u64,
    /// To nodes.
    pub(crate) bytes_out: u64,
    /// What nodes of ours have got of each other; what they had of JetStream is not in it.
    pub(crate) letters: u64,
}

impl Traffic {
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            bytes_in: self.bytes_in.saturating_sub(earlier.bytes_in),
            bytes_out: self.bytes_out.saturating_sub(earlier.bytes_out),
            letters: self.letters.saturating_sub(earlier.letters),
        }
    }
}

impl Broker {
    /// Starts a nats-server, with JetStream in a folder of `scratch`.
    pub(crate) fn nats(bench: &Path, program: &Path, scratch: &Path) -> Result<Self> {
        let (store, configuration) = (scratch.join("jetstream"), scratch.join("nats.conf"));
        if store.exists() {
            fs::remove_dir_all(&store)?;
        }
        // Ports that the system chooses; the log says which.
        let text = format!(
            "host: 127.0.0.1\nport: -1\nhttp: \"127.0.0.1:-1\"\nmax_payload: 8MB\n\
             jetstream {{ store_dir: \"{}\" }}\nlog_file: \"/dev/stdout\"\n",
            store.display()
        );
        fs::write(&configuration, text)?;
        let arguments = [Path::new("-c"), &configuration];
        let mut server = Server::start_told(bench, &[], program, &arguments, nats_monitor)?;
        let monitor = server.address;
        server.address = server.wait_told(nats_clients)?;
        Ok(Self::Nats { server, monitor })
    }

    /// Starts a redis-server that keeps nothing.
    pub(crate) fn redis(bench: &Path, program: &Path) -> Result<Self> {
        let address = free_address()?;
        let port = address.port().to_string();
        let arguments = ["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"];
        let told = |line: &str| line.contains("Ready to accept connections").then_some(address);
        Ok(Self::Redis(Server::start_told(bench, &[], program, &arguments, told)?))
    }

    pub(crate) fn process(&self) -> u32 {
        match self {
            Self::Nats { server, .. } | Self::Redis(server) => server.process(),
        }
    }

    /// As nodes are told it.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Nats { server, .. } => format!("nats://{}", server.address),
            Self::Redis(server) => format!("redis://{}", server.address),
        }
    }

    pub(crate) fn traffic(&self) -> Result<Traffic> {
        match self {
            Self::Nats { monitor, .. } => {
                let told = http::get(*monitor, "/connz?subs=detail&limit=1024")?;
                nats_traffic(&told).with_context(|| format!("NATS tells of its connections: {told}"))
            }
            Self::Redis(server) => {
                let told = redis_statistics(server.address)?;
                redis_traffic(&told).with_context(|| format!("Redis tells of itself: {told}"))
            }
        }
    }
}

/// An address that nobody listens at now, for whom can not be told to choose one.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn nats_monitor(line: &str) -> Option<SocketAddr> {
    line.split_once("http monitor on ")?.1.trim().parse().ok()
}

fn nats_clients(line: &str) -> Option<SocketAddr> {
    line.split_once("client connections on ")?.1.trim().parse().ok()
}

/// From `/connz`: letters are what came on the subjects of nodes, `PREFIX.to.NODE`.
fn nats_traffic(told: &str) -> Option<Traffic> {
    let told: Value = serde_json::from_str(told).ok()?;
    let mut traffic = Traffic::default();
    for connection in told["connections"].as_array()? {
        traffic.bytes_in += connection["in_bytes"].as_u64()?;
        traffic.bytes_out += connection["out_bytes"].as_u64()?;
        for subscription in connection["subscriptions_list_detail"].as_array().into_iter().flatten() {
            if subscription["subject"].as_str()?.split('.').nth(1) == Some("to") {
                traffic.letters += subscription["msgs"].as_u64()?;
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
    let mut told = String::new();
    reader.take(length.context("Redis does not answer INFO")?).read_to_string(&mut told)?;
    Ok(told)
}

fn redis_traffic(told: &str) -> Option<Traffic> {
    let figure = |name: &str| -> Option<u64> {
        told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?.trim().parse().ok()
    };
    let (bytes_in, bytes_out) = (figure("total_net_input_bytes")?, figure("total_net_output_bytes")?);
    Some(Traffic { bytes_in, bytes_out, letters: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ports_are_found_in_what_nats_says() {
        let line = "[7] 2026/11/24 15:34:01.240065 [INF] Starting http monitor on 127.0.0.1:44465";
        assert_eq!(nats_monitor(line), Some(([127, 0, 0, 1], 44465).into()));
        assert_eq!(nats_clients(line), None);
        let line = "[7] 2026/11/24 15:34:01.240642 [INF] Listening for client connections on 127.0.0.1:36755";
        assert_eq!(nats_clients(line), Some(([127, 0, 0, 1], 36755).into()));
    }

    #[test]
    fn letters_are_what_came_on_the_subjects_of_nodes() {
        let told = r#"{"connections": [
            {"in_bytes": 10, "out_bytes": 20, "subscriptions_list_detail": [
                {"subject": "_INBOX.x.to", "msgs": 3}, {"subject": "dog.to.12ab", "msgs": 5}]},
            {"in_bytes": 1, "out_bytes": 2, "subscriptions_list_detail": [{"subject": "dog.to.12ac", "msgs": 7}]},
            {"in_bytes": 0, "out_bytes": 0}]}"#;
        assert_eq!(nats_traffic(told), Some(Traffic { bytes_in: 11, bytes_out: 22, letters: 12 }));
        assert_eq!(nats_traffic("{}"), None);
    }

    #[test]
    fn redis_tells_bytes() {
        let told = "# Stats\r\ntotal_net_input_bytes:14\r\ntotal_net_output_bytes:2\r\ntotal_net_input_bytes_x:9\r\n";
        assert_eq!(redis_traffic(told), Some(Traffic { bytes_in: 14, bytes_out: 2, letters: 0 }));
        assert_eq!(redis_traffic("total_net_input_bytes:14\r\n"), None);
    }
}
