//! Broadcasts in clusters: [`contenders`], [`measure`]. One deployment gives samples for four scenarios.

use anyhow::Result;

use crate::harness::rounds::Measured;
use crate::harness::sample::Sample;
use crate::load::connect;
use crate::load::deliveries::Recipients;
use crate::load::workload::Pace;
use crate::measure::as_float;
use crate::scenarios::{figures, messages};
use crate::servers::deployment::Deployment;
use crate::servers::entrant::{BrokerKind, Entrant, Program};

use super::contenders::{ClusterSettings, Contender, MANY, NODES, SENDERS, ours};

/// One message in flight.
pub const ONE: &str = "one";
/// 32 messages in flight.
pub const BUSY: &str = "many";
/// At a fixed rate.
pub const RATE: &str = "rate";
/// One message in flight in a small room.
pub const FEW: &str = "few";

/// The row that others are compared with.
pub const OURS: &str = "ours";

/// Replicas per node where there are to be many.
const MANY_REPLICAS: usize = 50;

/// Sockets of the small room, where deliveries are not most of the cost: every one of them sends.
pub const FEW_SOCKETS: usize = SENDERS;

/// Everyone who broadcasts, on every number of nodes.
pub fn contenders(sockets: usize) -> Vec<Contender> {
    let on = |nodes: usize| {
        let limit = (sockets / nodes / MANY_REPLICAS).max(1);
        [
            ours(OURS, Program::Relay, None),
            ours("ours, 50 Replicas per node", Program::Relay, Some(limit)),
            Entrant::new("Socket.IO + Redis", Program::SocketIoRedis).over(BrokerKind::Redis),
            Entrant::new("nchan + Redis", Program::Nchan).over(BrokerKind::Redis),
        ]
        .map(|entrant| Contender { entrant, nodes })
    };
    NODES.into_iter().flat_map(on).collect()
}

/// Measures a large room at three paces, and then a small one.
///
/// # Errors
/// When the servers do not do what they should.
pub fn measure(settings: &ClusterSettings, deployment: &Deployment, contender: &Contender) -> Result<Vec<Measured>> {
    let measured = |scenario: &str, sample| Measured { series: contender.series(scenario), repetition: 0, sample };
    let mut samples = Vec::new();
    for (scenario, sample) in large_room(settings, deployment, contender)? {
        samples.push(measured(scenario, sample));
    }
    let streams = deployment.connect(FEW_SOCKETS, |number| connect::query(number, 1))?;
    let mut few = settings.load(deployment, &contender.entrant, streams, Recipients::Room)?;
    settings.settle(deployment, &mut few)?;
    samples.push(measured(FEW, messages::measure_at(deployment, &mut few, Pace::InFlight(1))?));
    Ok(samples)
}

fn large_room(
    settings: &ClusterSettings,
    deployment: &Deployment,
    contender: &Contender,
) -> Result<Vec<(&'static str, Sample)>> {
    let before = deployment.traffic()?;
    let streams = deployment.connect(settings.sockets, |number| connect::query(number, 0))?;
    let bytes = as_float(deployment.traffic()?.since(before).bytes_in);
    let replicas = deployment.replicas(settings.sockets)?;
    let mut load = settings.load(deployment, &contender.entrant, streams, Recipients::Room)?;
    settings.settle(deployment, &mut load)?;
    let mut samples = Vec::new();
    for (scenario, pace) in [(ONE, Pace::InFlight(1)), (BUSY, MANY), (RATE, settings.rate)] {
        let mut sample = messages::measure_at(deployment, &mut load, pace)?;
        sample.set(&figures::REPLICAS, replicas);
        sample.set(&figures::KB_PER_SOCKET, bytes / as_float(settings.sockets as u64) / 1e3);
        samples.push((scenario, sample));
    }
    Ok(samples)
}
