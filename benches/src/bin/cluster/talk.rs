//! One measurement of a crowd that talks: [`talk`], and what becomes of it: a [`Sample`].

use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, ensure};
use dog_benches::frame::Payload;
use dog_benches::histogram::Histogram;
use dog_benches::ledger::Reach;
use dog_benches::load::Crowd;
use dog_benches::measure::as_float;
use dog_benches::plan::{Pace, Plan};

use crate::records::Sample;
use crate::stage::Cluster;

/// How long deliveries gather where it is processor time that is measured.
pub(crate) const PAUSE: Duration = Duration::from_micros(100);

/// Sockets that speak, in turn: as many of each node of one, two or three.
pub(crate) const SENDERS: usize = 6;

/// How long each measurement takes.
#[derive(Clone, Copy)]
pub(crate) struct Time {
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// The crowd of sockets that are open, in one room.
pub(crate) fn crowd(
    cluster: &Cluster,
    streams: Vec<TcpStream>,
    reach: Reach,
    (payload, bytes): (Payload, usize),
    time: Time,
) -> Result<Crowd> {
    let plan = Plan {
        sockets: streams.len(),
        rooms: 1,
        senders: SENDERS,
        pace: Pace::InFlight(1),
        reach,
        compressed: false,
        payload,
        bytes,
        pause: PAUSE,
        warm_up: time.warm_up,
        measured: time.measured,
    };
    Ok(Crowd::new(streams, plan)?.spread_over(cluster.nodes.len()))
}

/// Measures at this pace.
pub(crate) fn talk(cluster: &Cluster, crowd: &mut Crowd, pace: Pace) -> Result<Sample> {
    // Where it is times that are measured, each delivery is told when it comes.
    let pause = if matches!(pace, Pace::InFlight(_)) { PAUSE } else { Duration::ZERO };
    crowd.change_pace(pace, pause)?;
    // All that was sent has come, before and after: so of each message all that it costs the broker is counted.
    let (traffic, sent) = (cluster.traffic()?, crowd.sent());
    let outcome = crowd.run(|| cluster.used())?;
    let (traffic, sent) = (cluster.traffic()?.since(traffic), as_float(crowd.sent() - sent));
    let count = &outcome.count;
    let (deliveries, messages) = (as_float(count.deliveries), as_float(count.messages));
    ensure!(count.messages > 0, "nothing was delivered in the time that is measured");
    let (nodes, broker) = outcome.probes.1.since(&outcome.probes.0);
    let mut sample = Sample::from([
        ("nodes a delivery", nodes / deliveries),
        ("all a delivery", (nodes + broker) / deliveries),
        ("nodes a message", nodes / messages),
        ("all a message", (nodes + broker) / messages),
        ("broker a message", broker / messages),
        ("thousand deliveries a second", deliveries / outcome.elapsed.as_secs_f64() / 1e3),
        ("bytes in a message", as_float(traffic.bytes_in) / sent),
        ("bytes out a message", as_float(traffic.bytes_out) / sent),
        ("letters a message", as_float(traffic.letters) / sent),
    ]);
    let within = if cluster.nodes.len() == 1 { &count.each } else { &count.within };
    quantiles(&mut sample, ["each p50", "each p99"], &count.each);
    quantiles(&mut sample, ["within p50", "within p99"], within);
    if cluster.nodes.len() > 1 {
        quantiles(&mut sample, ["across p50", "across p99"], &count.across);
    }
    Ok(sample)
}

fn quantiles(sample: &mut Sample, keys: [&'static str; 2], times: &Histogram) {
    for (key, share) in keys.into_iter().zip([0.5, 0.99]) {
        sample.insert(key, times.quantile(share).as_secs_f64() * 1e6);
    }
}
