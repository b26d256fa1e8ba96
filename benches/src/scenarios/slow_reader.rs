//! A client that reads nothing, and what it costs the others: [`measure`].

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use crate::harness::sample::Sample;
use crate::load::connect;
use crate::load::frame::{Arrived, CLOSE, FrameReader};
use crate::load::generator::LoadGenerator;
use crate::load::workload::Workload;
use crate::servers::deployment::Deployment;

use super::figures;
use super::messages::{self, SETTLED, ServerRun};

/// How long it reads nothing: until its kernel buffers are full, and then its queue in the server.
const SLOW_FOR: Duration = Duration::from_secs(8);

/// How long it waits for more when it reads at last. Messages arrive more often than this.
const DRAINED: Duration = Duration::from_secs(1);

/// Measures the others before it comes and while it is there.
///
/// # Errors
/// When the server does not do what it should.
pub fn measure(deployment: &Deployment, workload: Workload) -> Result<Sample> {
    let (endpoint, query) = (deployment.endpoint(0), connect::query(workload.sockets, 0));
    let mut load = LoadGenerator::connect(endpoint, workload)?;
    sleep(SETTLED);
    let without = messages::run(deployment, &mut load)?;
    let slow = connect::connect(endpoint, &query)?;
    load.count_for(SLOW_FOR);
    let with = messages::run(deployment, &mut load)?;
    let p99 = |run: &ServerRun| messages::quantile(&run.arrivals.each, 0.99);
    Ok(Sample::from([
        (figures::SLOW, p99(&with) / p99(&without)),
        (figures::P99_WITHOUT, p99(&without)),
        (figures::P99_WITH, p99(&with)),
        (figures::CPU_WITHOUT, messages::cpu(&without)),
        (figures::CPU_WITH, messages::cpu(&with)),
        (figures::CLOSED, f64::from(u8::from(was_closed(slow.plain()?)?))),
    ]))
}

/// Reads everything that was sent to it. Does it end with a close?
fn was_closed(mut slow: &TcpStream) -> Result<bool> {
    slow.set_nonblocking(false)?;
    slow.set_read_timeout(Some(DRAINED))?;
    let (mut reader, mut scratch, mut closed) = (FrameReader::default(), vec![0; 64 * 1024], false);
    while !closed {
        let read = match slow.read(&mut scratch) {
            Ok(0) => return Ok(true),
            Ok(read) => read,
            Err(error) => return Ok(!matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)),
        };
        reader.read(&scratch[..read], |arrived| {
            closed |= arrived == Arrived::Other(CLOSE);
            Ok(())
        })?;
    }
    Ok(true)
}
