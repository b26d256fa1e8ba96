//! Objects that have an interval each: [`Intervals`] describes them, [`measure`] gives their rate and their cost.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::harness::sample::Sample;
use crate::load::connect;
use crate::measure::{as_float, micros};
use crate::servers::deployment::{Deployment, Usage};
use crate::servers::http;

use super::figures;
use super::messages::SETTLED;

/// Objects that have an interval each.
#[derive(Clone, Copy, Debug)]
pub struct Intervals {
    /// Objects. Each is the only one of its room and has one silent socket, which keeps it.
    pub objects: usize,
    /// Objects that are created at the same time.
    pub at_once: usize,
}

/// What a server has done at one time.
struct Reading {
    at: Instant,
    used: Usage,
    ticks: Vec<u64>,
}

/// Creates the objects, and counts their ticks for `time`.
///
/// # Errors
/// When an object is not created, or has no interval.
pub fn measure(deployment: &Deployment, intervals: Intervals, time: Duration) -> Result<Sample> {
    let endpoint = deployment.endpoint(0);
    let sockets =
        connect::all(endpoint, 0..intervals.objects, |number| connect::query(number, number), intervals.at_once)?;
    sleep(SETTLED);
    let before = read(deployment)?;
    ensure!(before.ticks.len() == intervals.objects, "{} objects have an interval", before.ticks.len());
    sleep(time);
    let after = read(deployment)?;
    drop(sockets);
    let elapsed = after.at - before.at;
    let cpu = after.used.since(before.used).nodes_micros();
    let counted: Vec<u64> = after.ticks.iter().zip(&before.ticks).map(|(after, before)| after - before).collect();
    let all = as_float(counted.iter().sum());
    let slowest = counted.into_iter().min().unwrap_or_default();
    Ok(Sample::from([
        (figures::TICK_RATE, all / as_float(intervals.objects as u64) / elapsed.as_secs_f64()),
        (figures::TICK_RATE_SLOWEST, as_float(slowest) / elapsed.as_secs_f64()),
        (figures::CORE, cpu / micros(elapsed) * 100.0),
        (figures::TICK_CPU, cpu / all.max(1.0)),
    ]))
}

fn read(deployment: &Deployment) -> Result<Reading> {
    let answer = http::get(deployment.endpoint(0).address, "/ticks")?;
    let (at, used) = (Instant::now(), deployment.usage()?);
    let ticks = answer.split_whitespace().map(str::parse::<u64>).collect::<Result<Vec<_>, _>>();
    Ok(Reading { at, used, ticks: ticks.with_context(|| format!("the server answers {answer:?}"))? })
}
