//! Whisper and gossip in clusters: [`contenders`], [`measure`].

use anyhow::Result;

use crate::harness::sample::Sample;
use crate::load::connect;
use crate::load::deliveries::Recipients;
use crate::load::workload::Pace;
use crate::scenarios::{figures, messages};
use crate::servers::deployment::Deployment;
use crate::servers::entrant::Program;

use super::contenders::{ClusterSettings, Contender, MANY, NODES, ours};

/// The scenario.
pub const VERBS: &str = "verbs";

/// The rows.
pub const NAMES: [&str; 3] = ["gossip", "gossip, 10 Replicas per node", "whisper"];

/// Clients that whisper. Half of them is odd and no multiple of three, so that the opposite client is at another node.
pub const WHISPERERS: usize = 50;

/// Clients where there is gossip.
pub const GOSSIPERS: usize = 60;

/// Replicas per node where there are to be several.
const SEVERAL_REPLICAS: usize = 10;

/// Both verbs on every number of nodes.
pub fn contenders() -> Vec<Contender> {
    let on = |nodes: usize| {
        let several = GOSSIPERS / nodes / SEVERAL_REPLICAS;
        let [gossip, gossip_several, whisper] = NAMES;
        [(gossip, "gossip", None), (gossip_several, "gossip", Some(several)), (whisper, "whisper", None)].map(
            |(name, verb, limit)| Contender {
                entrant: ours(name, Program::Verbs, limit).with(&["--verb", verb]),
                nodes,
            },
        )
    };
    NODES.into_iter().flat_map(on).collect()
}

/// Measures a verb with one and with 32 messages in flight.
///
/// # Errors
/// When the servers do not do what they should.
pub fn measure(settings: &ClusterSettings, deployment: &Deployment, contender: &Contender) -> Result<Sample> {
    let whispers = contender.entrant.argument("--verb") == Some("whisper");
    let (sockets, recipients) =
        if whispers { (WHISPERERS, Recipients::Opposite) } else { (GOSSIPERS, Recipients::Sender) };
    let query = |number: usize| format!("{}&to=u{}", connect::query(number, 0), Recipients::opposite(number, sockets));
    let streams = deployment.connect(sockets, query)?;
    let replicas = deployment.replicas(sockets)?;
    let mut load = settings.load(deployment, &contender.entrant, streams, recipients)?;
    settings.settle(deployment, &mut load)?;
    let mut sample = messages::measure_at(deployment, &mut load, Pace::InFlight(1))?;
    sample.set(&figures::REPLICAS, replicas);
    let many = messages::measure_at(deployment, &mut load, MANY)?;
    if let Some(cpu) = many.get(&figures::MESSAGE_CPU) {
        sample.set(&figures::MESSAGE_CPU_MANY, cpu);
    }
    Ok(sample)
}
