//! What the model reckons with, each with where it comes from.

use anyhow::{Context, Result};
use dog_benches::table::Table;
use serde_json::Value;

use crate::books::Costs;
use crate::letters::Letters;

/// Costs in microseconds of processor time, sizes in bytes, rates a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Inputs {
    pub(crate) identify: f64,
    pub(crate) report: f64,
    pub(crate) locate: f64,
    /// A new member in the books, for each that is there.
    pub(crate) admit: f64,
    /// A census, for each client.
    pub(crate) wake: f64,
    pub(crate) client_bytes: f64,
    pub(crate) write: f64,
    pub(crate) read: f64,
    pub(crate) visit_bytes: f64,
    pub(crate) broadcast_bytes: f64,
    pub(crate) replica_bytes: f64,
    pub(crate) member_write: f64,
    pub(crate) member_read: f64,
    pub(crate) member_bytes: f64,
    pub(crate) letter_server: f64,
    pub(crate) letter_sender: f64,
    pub(crate) letter_receiver: f64,
    pub(crate) look_server: f64,
    pub(crate) looks: f64,
    pub(crate) put_server: f64,
    pub(crate) puts: f64,
    pub(crate) follow_server: f64,
    pub(crate) follow_receiver: f64,
    pub(crate) delivery: f64,
    pub(crate) socket_bytes: f64,
    pub(crate) route: f64,
    pub(crate) route_bytes: f64,
    pub(crate) cores: f64,
    pub(crate) link: f64,
    pub(crate) memory: f64,
    pub(crate) nats_cores: f64,
    pub(crate) nats_link: f64,
    pub(crate) lease: f64,
    pub(crate) visits: f64,
    pub(crate) whispers: f64,
}

/// What the bench of NATS has printed, a line a figure.
#[derive(Debug)]
pub(crate) struct NatsFigures(Vec<Value>);

impl NatsFigures {
    pub(crate) fn read(text: &str) -> Self {
        Self(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    pub(crate) fn get(&self, name: &str, figure: &str) -> Result<f64> {
        let found = self.0.iter().find(|line| line["name"] == name);
        found.and_then(|line| line[figure].as_f64()).with_context(|| format!("NATS: there is no {figure} of `{name}`"))
    }
}

impl Inputs {
    /// What was measured here, and what was not.
    pub(crate) fn new(books: &Costs, letters: &Letters, nats: &NatsFigures) -> Result<Self> {
        Ok(Self {
            identify: books.known,
            report: books.report,
            locate: books.locate,
            admit: books.admit / f64::from(books.replicas),
            wake: books.wake,
            client_bytes: books.bytes_a_client,
            write: letters.write,
            read: letters.read,
            visit_bytes: letters.visit_bytes,
            broadcast_bytes: letters.broadcast_bytes,
            replica_bytes: letters.replica_bytes,
            member_write: letters.member_write,
            member_read: letters.member_read,
            member_bytes: letters.member_bytes,
            letter_server: nats.get("letter", "server")?,
            letter_sender: nats.get("letter", "sender")?,
            letter_receiver: nats.get("letter", "receiver")?,
            look_server: nats.get("read", "server")?,
            looks: nats.get("read", "per_second")?,
            put_server: nats.get("put, synced every two minutes", "server")?,
            follow_server: nats.get("lease, followed", "server")?,
            follow_receiver: nats.get("lease, followed", "receiver")?,
            ..Self::assumed()
        })
    }

    /// Those that are not measured by this command; the rest is zero.
    pub(crate) const fn assumed() -> Self {
        Self {
            identify: 0.0,
            report: 0.0,
            locate: 0.0,
            admit: 0.0,
            wake: 0.0,
            client_bytes: 0.0,
            write: 0.0,
            read: 0.0,
            visit_bytes: 0.0,
            broadcast_bytes: 0.0,
            replica_bytes: 0.0,
            member_write: 0.0,
            member_read: 0.0,
            member_bytes: 0.0,
            letter_server: 0.0,
            letter_sender: 0.0,
            letter_receiver: 0.0,
            look_server: 0.0,
            looks: 0.0,
            put_server: 0.0,
            puts: 21_000.0,
            follow_server: 0.0,
            follow_receiver: 0.0,
            delivery: 4.0,
            socket_bytes: 1_024.0,
            route: 0.1,
            route_bytes: 160.0,
            cores: 8.0,
            link: 1.25e9,
            memory: 32e9,
            nats_cores: 3.0 * 16.0,
            nats_link: 3.0 * 1.25e9,
            lease: 15.0,
            visits: 1.0 / 600.0,
            whispers: 1.0 / 60.0,
        }
    }

    /// All of them, for people.
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new(&["input", "from", "value", "unit"], 2);
        for (what, from, value, unit) in self.rows() {
            table.push(vec![what.into(), from.into(), shown(value), unit.into()]);
        }
        table
    }

    fn rows(&self) -> [(&'static str, &'static str, f64, &'static str); 35] {
        const BOOKS: &str = "measured, books";
        const LETTERS: &str = "measured, letters";
        const NATS: &str = "measured, NATS";
        const RUN: &str = "docs/performance.md";
        const DESIGN: &str = "the design's figure, R3";
        const ASSUMED: &str = "assumed";
        [
            ("a client placed, and its ticket given back", BOOKS, self.identify, "µs"),
            ("a report taken in", BOOKS, self.report, "µs"),
            ("a client found for a whisper", BOOKS, self.locate, "µs"),
            ("a new Replica, for each there is", BOOKS, self.admit * 1e3, "ns"),
            ("a census taken in, for each client", BOOKS, self.wake, "µs"),
            ("a client in the books", BOOKS, self.client_bytes, "bytes"),
            ("a short letter written", LETTERS, self.write, "µs"),
            ("a short letter read", LETTERS, self.read, "µs"),
            ("a letter of a visit, on average", LETTERS, self.visit_bytes, "bytes"),
            ("a letter with a broadcast of 128 bytes", LETTERS, self.broadcast_bytes, "bytes"),
            ("for each Replica that it is for", LETTERS, self.replica_bytes, "bytes"),
            ("a view written, for each member", LETTERS, self.member_write * 1e3, "ns"),
            ("a view read, for each member", LETTERS, self.member_read * 1e3, "ns"),
            ("a view, for each member", LETTERS, self.member_bytes, "bytes"),
            ("nats-server, a letter", NATS, self.letter_server, "µs"),
            ("a letter handed to NATS", NATS, self.letter_sender, "µs"),
            ("a letter taken from NATS", NATS, self.letter_receiver, "µs"),
            ("nats-server, a look-up at the leader", NATS, self.look_server, "µs"),
            ("look-ups that one leader answers", NATS, self.looks, "a second"),
            ("nats-server, a claim (synced every two minutes)", NATS, self.put_server, "µs"),
            ("claims and writes, `sync_interval: always`", DESIGN, self.puts, "a second"),
            ("nats-server, a renewal told to one follower", NATS, self.follow_server, "µs"),
            ("a follower, a renewal", NATS, self.follow_receiver, "µs"),
            ("a message written to a socket, one in flight", RUN, self.delivery, "µs"),
            ("a socket at rest", RUN, self.socket_bytes, "bytes"),
            ("where a Replica is, looked up by a speaker", ASSUMED, self.route, "µs"),
            ("a route in memory", ASSUMED, self.route_bytes, "bytes"),
            ("processors of a node", ASSUMED, self.cores, ""),
            ("a node's network", ASSUMED, self.link / 1e6, "MB/s"),
            ("a node's memory", ASSUMED, self.memory / 1e9, "GB"),
            ("processors of NATS: three servers of 16", ASSUMED, self.nats_cores, ""),
            ("the network of NATS: three servers", ASSUMED, self.nats_link / 1e6, "MB/s"),
            ("a lease, renewed at a third", ASSUMED, self.lease, "s"),
            ("how long a socket stays open", ASSUMED, 1.0 / self.visits, "s"),
            ("whispers of a socket", ASSUMED, self.whispers * 60.0, "a minute"),
        ]
    }
}

/// A figure with as many digits as it deserves.
pub(crate) fn shown(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        ..0.001 => "< 0.001".into(),
        ..0.1 => format!("{value:.3}"),
        _ if value.fract() == 0.0 => thousands(value),
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => thousands(value),
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let (sign, digits) = digits.split_at(usize::from(digits.starts_with('-')));
    let parts: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|part| std::str::from_utf8(part).ok()).collect();
    format!("{sign}{}", parts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_nats_are_found_by_name() {
        let figures = NatsFigures::read("some words\n{\"name\":\"read\",\"server\":25.5}\n");
        assert_eq!(figures.get("read", "server").unwrap(), 25.5);
        assert!(figures.get("read", "sender").is_err() && figures.get("put", "server").is_err());
    }

    #[test]
    fn figures_are_rounded_and_grouped() {
        for (value, text) in [
            (0.0, "0"),
            (0.0001, "< 0.001"),
            (5.0, "5"),
            (0.0185, "0.018"),
            (2.104, "2.10"),
            (46.66, "46.7"),
            (1_250_000.4, "1,250,000"),
        ] {
            assert_eq!(shown(value), text);
        }
    }
}
