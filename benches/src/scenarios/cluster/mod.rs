//! Our nodes over NATS beside other nodes over Redis: the family [`ClusterFamily`]. Its report is
//! docs/performance/cluster.md.
//!
//! In reading order: [`contenders`], who is measured; [`broadcast`], [`verbs`], [`seats`] and [`single`], what is measured;
//! [`sections`], the report.

pub mod broadcast;
pub mod contenders;
pub mod seats;
pub mod sections;
pub mod single;
pub mod verbs;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::harness::family::Family;
use crate::harness::options::{BenchOptions, Timing};
use crate::harness::report::Section;
use crate::harness::rounds::{Turn, TurnGroup};
use crate::harness::sample::Series;
use crate::harness::store::Store;
use crate::load::workload::Pace;
use crate::servers::entrant::{BrokerKind, Entrant};
use crate::servers::launcher::Launcher;
use crate::servers::programs::Programs;

use super::figures::{CONNECT_CPU, CONNECT_RATE, CPU, MESSAGE_CPU, P50, RATE};
use contenders::{ClusterSettings, Contender};

/// The flags of this family.
#[derive(Args, Clone, Debug)]
pub struct ClusterFlags {
    /// Sockets of the room, over all nodes
    #[arg(long, default_value_t = 300)]
    sockets: usize,
    /// Length of a message
    #[arg(long, default_value_t = 128)]
    bytes: usize,
    /// Messages per second where latency is measured
    #[arg(long, value_name = "MESSAGES", default_value_t = 30.0)]
    rate: f64,
}

/// The family.
pub struct ClusterFamily {
    settings: ClusterSettings,
    launcher: Launcher,
    broadcasters: Vec<Contender>,
    verbs: Vec<Contender>,
}

impl ClusterFamily {
    /// The family with these flags.
    ///
    /// # Errors
    /// When a flag is out of range.
    pub fn new(flags: &ClusterFlags, programs: Programs, options: &BenchOptions, timing: Timing) -> Result<Self> {
        let least = broadcast::FEW_SOCKETS;
        ensure!((least..=3_000).contains(&flags.sockets), "--sockets: give {least} to 3000");
        let rate = Pace::per_second(flags.rate).context("--rate")?;
        Ok(Self {
            settings: ClusterSettings { sockets: flags.sockets, bytes: flags.bytes, rate, timing },
            launcher: Launcher::new(programs, options.pin)?,
            broadcasters: broadcast::contenders(flags.sockets),
            verbs: verbs::contenders(),
        })
    }

    fn broadcast<'a>(&'a self, contender: &'a Contender) -> Turn<'a> {
        Turn::several(contender.series(broadcast::ONE), &[CPU, RATE], move || {
            let deployment = self.launcher.start(&contender.entrant, contender.nodes)?;
            broadcast::measure(&self.settings, &deployment, contender)
        })
    }

    fn verb<'a>(&'a self, contender: &'a Contender) -> Turn<'a> {
        Turn::one(contender.series(verbs::VERBS), &[MESSAGE_CPU, P50], move || {
            let deployment = self.launcher.start(&contender.entrant, contender.nodes)?;
            verbs::measure(&self.settings, &deployment, contender)
        })
    }

    fn seats(&self) -> Turn<'_> {
        let series = Series::new(seats::SEATS, seats::ROWS[0][0]);
        Turn::several(series, &[CONNECT_CPU, CONNECT_RATE], || {
            let deployment = self.launcher.start(&seats::entrant(), seats::NODES)?;
            seats::measure(&self.settings, &deployment)
        })
    }

    fn single(&self) -> Turn<'_> {
        let series = Series::new(single::ONE, single::WITHOUT);
        Turn::several(series, &[CPU, RATE], || single::measure(&self.settings, &self.launcher))
    }
}

impl Family for ClusterFamily {
    fn command(&self) -> &'static str {
        "cargo xtask bench cluster"
    }

    fn scenarios(&self) -> Vec<(&'static str, String)> {
        let scenarios = [
            ("broadcast", "Broadcasts on one to three nodes, ours and the peers'"),
            ("verbs", "Whisper, gossip and the placing of clients"),
            ("single", "One server with and without a cluster"),
        ];
        scenarios.map(|(name, title)| (name, title.to_owned())).to_vec()
    }

    fn settings(&self) -> String {
        let ClusterSettings { sockets, bytes, .. } = self.settings;
        format!("{sockets} sockets in one room, over all nodes; messages of {bytes} bytes")
    }

    fn missing(&self) -> Vec<String> {
        self.launcher.missing(self.broadcasters.iter().chain(&self.verbs).map(|contender| &contender.entrant))
    }

    fn sockets(&self) -> usize {
        3_000
    }

    fn groups(&self) -> Result<Vec<TurnGroup<'_>>> {
        let ours = |entrant: &Entrant| entrant.broker == Some(BrokerKind::Nats);
        let mut contenders = self.broadcasters.iter().chain(&self.verbs).map(|contender| &contender.entrant);
        let complete = contenders.all(|entrant| self.launcher.has(entrant) || !ours(entrant));
        ensure!(complete, "our programs or --nats-server are missing; `{}` supplies them", self.command());
        let there = self.broadcasters.iter().filter(|contender| self.launcher.has(&contender.entrant));
        let verbs = self.verbs.iter().map(|contender| self.verb(contender)).chain([self.seats()]);
        Ok(vec![
            TurnGroup { name: "broadcast", turns: there.map(|contender| self.broadcast(contender)).collect() },
            TurnGroup { name: "verbs", turns: verbs.collect() },
            TurnGroup { name: "single", turns: vec![self.single()] },
        ])
    }

    fn sections(&self, store: &Store) -> Vec<Section> {
        sections::sections(store, &self.settings)
    }
}
