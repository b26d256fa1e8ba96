//! One server with and without a cluster: [`measure`].

use anyhow::Result;

use crate::harness::rounds::Measured;
use crate::harness::sample::Series;
use crate::load::connect;
use crate::load::deliveries::Recipients;
use crate::load::workload::Pace;
use crate::scenarios::messages;
use crate::servers::entrant::{Entrant, Program};
use crate::servers::launcher::Launcher;

use super::contenders::{ClusterSettings, MANY, ours};

/// The scenario with one message in flight.
pub const ONE: &str = "single, one";
/// The scenario with 32 messages in flight.
pub const BUSY: &str = "single, many";

/// The single server.
pub const WITHOUT: &str = "without a cluster";
/// The cluster of one node.
pub const WITH: &str = "with";

/// How often both are measured in a round, one after the other.
const PAIRS: usize = 3;

/// Measures both servers in turn. Both run all the time; the one that is not measured has nothing to do.
///
/// # Errors
/// When the servers do not do what they should.
pub fn measure(settings: &ClusterSettings, launcher: &Launcher) -> Result<Vec<Measured>> {
    let with = ours(WITH, Program::Relay, None);
    let without = Entrant { broker: None, ..ours(WITHOUT, Program::Relay, None) };
    let mut both = Vec::new();
    for entrant in [without, with] {
        let deployment = launcher.start(&entrant, 1)?;
        let streams = deployment.connect(settings.sockets, |number| connect::query(number, 0))?;
        let load = settings.load(&deployment, &entrant, streams, Recipients::Room)?;
        both.push((deployment, load, entrant.name));
    }
    let mut samples = Vec::new();
    for repetition in 0..PAIRS {
        for (scenario, pace) in [(ONE, Pace::InFlight(1)), (BUSY, MANY)] {
            both.reverse();
            for (deployment, load, name) in &mut both {
                let sample = messages::measure_at(deployment, load, pace)?;
                samples.push(Measured { series: Series::new(scenario, name.as_str()), repetition, sample });
            }
        }
    }
    Ok(samples)
}
