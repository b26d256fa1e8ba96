//! Clients that connect and leave at once: [`visits`]; and the cost of work that is counted: [`cost`].

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::harness::sample::Sample;
use crate::load::connect;
use crate::measure::{as_float, micros, own_cpu_time};
use crate::servers::deployment::Deployment;

use super::figures;

/// How long after the last client has left the servers are still measured: its departure is part of the cost.
const SETTLED: Duration = Duration::from_millis(200);

/// Clients that connect and leave.
#[derive(Clone, Copy, Debug)]
pub struct Visits {
    /// Clients that are connected before the first of them leaves.
    pub batch: usize,
    /// Clients that connect at the same time.
    pub at_once: usize,
}

/// Batches of clients connect to a node for at least `time`. `query` gives the query of each.
///
/// # Errors
/// When one of them is not accepted.
pub fn visits(
    deployment: &Deployment,
    node: usize,
    Visits { batch, at_once }: Visits,
    time: Duration,
    query: impl Fn(usize) -> String + Sync,
) -> Result<Sample> {
    let visit = |first: usize| connect::all(deployment.endpoint(node), first..first + batch, &query, at_once).map(drop);
    // The first batch is not counted: it loads code and allocates memory.
    visit(0)?;
    cost(deployment, || {
        let (begun, mut visited) = (Instant::now(), 0);
        while begun.elapsed() < time {
            visit(batch + visited)?;
            visited += batch;
        }
        Ok(visited)
    })
}

/// What each of the things costs that `work` does and counts.
///
/// # Errors
/// When the work fails, or does nothing.
pub fn cost(deployment: &Deployment, work: impl FnOnce() -> Result<usize>) -> Result<Sample> {
    let (begun, own) = (Instant::now(), own_cpu_time());
    let (usage, traffic) = (deployment.usage()?, deployment.traffic()?);
    let count = work()?;
    let (elapsed, own) = (begun.elapsed(), own_cpu_time().saturating_sub(own));
    ensure!(count > 0, "nothing was done in the measured time");
    sleep(SETTLED);
    let (used, traffic) = (deployment.usage()?.since(usage), deployment.traffic()?.since(traffic));
    let count = as_float(count as u64);
    let mut sample = Sample::from([
        (figures::CONNECT_CPU, used.nodes_micros() / count),
        (figures::CONNECT_RATE, count / elapsed.as_secs_f64()),
        (figures::CONNECT_OWN_CPU, micros(own) / count),
        (figures::CONNECT_TIME, micros(elapsed) / count),
    ]);
    if deployment.has_broker() {
        sample.set(&figures::BROKER_CPU, used.broker_micros() / count);
        sample.set(&figures::NODE_MESSAGES, as_float(traffic.node_messages) / count);
    }
    Ok(sample)
}
