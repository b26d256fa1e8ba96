//! Sockets that come back and get what they have missed: [`Resumes`] describes them, [`measure`] gives the time and the cost.

use std::io::{Read, Write};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::harness::sample::Sample;
use crate::load::connect;
use crate::load::connection::Connection;
use crate::load::deliveries::Recipients;
use crate::load::generator::LoadGenerator;
use crate::load::payload::Payload;
use crate::load::workload::{Pace, Workload};
use crate::measure::{as_float, micros};
use crate::servers::deployment::Deployment;

use super::figures;
use super::messages::SETTLED;

/// How long nothing may arrive at a socket that has not got everything.
const PATIENCE: Duration = Duration::from_secs(10);

/// The message that makes a socket resume: a masked frame with one byte.
const GO: [u8; 7] = [0x82, 0x81, 0, 0, 0, 0, b'g'];

/// Bytes of the header of a server's frame with 126 to 65,535 bytes.
const HEADER: usize = 4;

/// Sockets that come back.
#[derive(Clone, Copy, Debug)]
pub struct Resumes {
    /// Sockets. All are on one Replica.
    pub sockets: usize,
    /// Publications that each of them gets.
    pub missed: usize,
    /// The length of a publication, in bytes.
    pub bytes: usize,
    /// Sockets that connect at the same time.
    pub at_once: usize,
}

impl Resumes {
    /// All of it in one line.
    pub fn describe(self) -> String {
        let Self { sockets, missed, bytes, .. } = self;
        format!("{sockets} sockets of one Replica resume at once, and each gets {missed} publications of {bytes} bytes")
    }

    /// The bytes that a socket gets.
    fn replay(self) -> usize {
        self.missed * (HEADER + self.bytes)
    }
}

/// Publishes, connects the sockets, and lets all of them resume.
///
/// # Errors
/// When a socket does not get exactly the bytes of what it has missed.
pub fn measure(deployment: &Deployment, resumes: Resumes) -> Result<Sample> {
    publish(deployment, resumes)?;
    let query = |number: usize| format!("{}&behind={}", connect::query(number + 1, 0), resumes.missed);
    let mut sockets = connect::all(deployment.endpoint(0), 0..resumes.sockets, query, resumes.at_once)?;
    sleep(SETTLED);
    let (begun, used) = (Instant::now(), deployment.usage()?);
    for socket in &mut sockets {
        socket.write_all(&GO)?;
    }
    let mut scratch = vec![0; resumes.replay()];
    for (number, socket) in sockets.iter_mut().enumerate() {
        read(socket, &mut scratch).with_context(|| format!("socket {number}"))?;
    }
    let (elapsed, used) = (begun.elapsed(), deployment.usage()?.since(used));
    Ok(Sample::from([
        (figures::RESUME_TIME, elapsed.as_secs_f64() * 1e3),
        (figures::RESUME_CPU, used.nodes_micros() / as_float(resumes.sockets as u64)),
        (figures::CPU, used.nodes_micros() / as_float((resumes.sockets * resumes.missed) as u64)),
        (figures::PUBLICATION_RATE, as_float((resumes.sockets * resumes.missed) as u64) / elapsed.as_secs_f64()),
        (figures::CORE, used.nodes_micros() / micros(elapsed) * 100.0),
    ]))
}

/// A socket publishes twice what the others have missed.
fn publish(deployment: &Deployment, Resumes { missed, bytes, .. }: Resumes) -> Result<()> {
    let workload = Workload {
        sockets: 1,
        rooms: 1,
        senders: 1,
        pace: Pace::InFlight(1),
        recipients: Recipients::Sender,
        compressed: false,
        payload: Payload::Binary,
        bytes,
        pause: Duration::ZERO,
        warm_up: Duration::ZERO,
        measured: Duration::ZERO,
    };
    LoadGenerator::connect(deployment.endpoint(0), workload)?.send_messages(2 * missed as u64)?;
    Ok(())
}

/// Reads until `bytes` is full.
fn read(socket: &mut Connection, bytes: &mut [u8]) -> Result<()> {
    socket.tcp().set_nonblocking(false)?;
    socket.tcp().set_read_timeout(Some(PATIENCE))?;
    let mut length = 0;
    while length < bytes.len() {
        let read = socket.read(&mut bytes[length..]).with_context(|| format!("after {length} bytes"))?;
        ensure!(read > 0, "it was closed after {length} bytes: {:?}", &bytes[length.saturating_sub(40)..length]);
        length += read;
    }
    Ok(())
}
