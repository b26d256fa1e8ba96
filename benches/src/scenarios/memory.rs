//! Clients that are silent: [`Idle`] describes them, [`measure`] gives the memory of their sockets.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use crate::harness::sample::Sample;
use crate::load::connect;
use crate::measure::as_float;
use crate::servers::deployment::Deployment;

use super::figures;

/// Clients that are silent.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// Sockets that are open before the measured ones, so that what the first socket costs is not counted.
    pub before: usize,
    /// Sockets that are measured.
    pub sockets: usize,
    /// Sockets that connect at the same time.
    pub at_once: usize,
    /// How long the server is left alone before its memory is read.
    pub settle: Duration,
    /// How long until the memory is read again: objects hibernate meanwhile.
    pub hibernate: Option<Duration>,
}

/// Connects the clients and reads the server's memory.
///
/// # Errors
/// When one of them is not accepted.
pub fn measure(deployment: &Deployment, idle: Idle) -> Result<Sample> {
    let connect =
        |numbers| connect::all(deployment.endpoint(0), numbers, |number| connect::query(number, 0), idle.at_once);
    let before = connect(0..idle.before)?;
    sleep(idle.settle);
    let few = as_float(deployment.resident_bytes()?);
    let sockets = connect(idle.before..idle.before + idle.sockets)?;
    let per_socket = |settle: Duration| -> Result<f64> {
        sleep(settle);
        Ok((as_float(deployment.resident_bytes()?) - few) / as_float(idle.sockets as u64))
    };
    let mut sample = Sample::from([(figures::RESIDENT, per_socket(idle.settle)?)]);
    if let Some(hibernate) = idle.hibernate {
        sample.set(&figures::RESIDENT_HIBERNATED, per_socket(hibernate)?);
    }
    drop((before, sockets));
    Ok(sample)
}
