//! One round of one entrant: [`play`].

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use dog_benches::connect::{self, Door};
use dog_benches::frame::{Arrived, CLOSE, FrameReader};
use dog_benches::load::{Crowd, Outcome};
use dog_benches::measure::{self, CpuTime, as_float, resident_bytes};
use dog_benches::plan::{Pace, Plan};
use dog_benches::server::Server;

use crate::entrant::Entrant;
use crate::scenario::{Figure, Idle, Kind, Scenario, Talk, Visits, figures};
use crate::stage::Stage;

/// How long deliveries gather where it is processor time that is measured.
const PAUSE: Duration = Duration::from_micros(100);

/// How long after its last handshake a crowd talks: what was kept for it is free again.
const SETTLED: Duration = Duration::from_millis(200);

/// How many come at the same time where that is not what is measured.
const AT_ONCE: usize = 4;

/// How long there is a slow reader: until its kernel's buffers are full, and then its queue.
const SLOW_FOR: Duration = Duration::from_secs(8);

/// How long a slow reader waits for more once it reads: longer than any that is sent leaves between.
const DRAINED: Duration = Duration::from_secs(1);

/// How long each part of a round takes.
#[derive(Clone, Copy)]
pub(crate) struct Time {
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// What a round has shown: figures by their keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sample(pub(crate) BTreeMap<String, f64>);

impl Sample {
    fn set(&mut self, figure: &Figure, value: f64) {
        self.0.insert(figure.key.into(), value);
    }

    /// What it shows of a figure.
    pub(crate) fn get(&self, figure: &Figure) -> Option<f64> {
        self.0.get(figure.key).copied()
    }
}

/// Starts the entrant, measures it, ends it.
pub(crate) fn play(stage: &Stage, scenario: &Scenario, entrant: &Entrant, time: Time) -> Result<Sample> {
    let compressed = entrant.arguments.contains(&"--compress");
    let (server, door) = stage.start(entrant, compressed)?;
    match &scenario.kind {
        Kind::Talk(talk) => hear(&server, door, plan(talk, entrant, door, time)),
        Kind::Slow(talk) => hear_beside_a_slow_one(&server, door, plan(talk, entrant, door, time)),
        Kind::Visits(visits) => count_visits(&server, door, *visits, time.measured),
        Kind::Idle(idle) => weigh(&server, door, *idle),
    }
}

fn plan(talk: &Talk, entrant: &Entrant, door: Door, time: Time) -> Plan {
    // Where it is times that are measured, each delivery is told when it comes.
    let pause = if matches!(talk.pace, Pace::InFlight(_)) { PAUSE } else { Duration::ZERO };
    Plan {
        sockets: talk.sockets,
        rooms: talk.rooms,
        senders: talk.senders,
        pace: talk.pace,
        reach: talk.reach,
        compressed: door.compressed,
        payload: entrant.server.payload(),
        bytes: talk.bytes,
        pause,
        warm_up: time.warm_up,
        measured: time.measured,
    }
}

/// What was used in a run, and counted.
type Run = Outcome<CpuTime>;

fn run(crowd: &mut Crowd, server: &Server) -> Result<Run> {
    let outcome = crowd.run(|| CpuTime::of(server.process()))?;
    ensure!(outcome.count.deliveries > 0, "nothing was delivered in the time that is measured");
    let used = outcome.probes.1.since(outcome.probes.0).total;
    ensure!(!used.is_zero(), "the server used no time: is it a script that has started another process?");
    Ok(outcome)
}

/// Processor time of the server, in µs.
fn per_delivery(run: &Run) -> f64 {
    micros(run.probes.1.since(run.probes.0).total) / as_float(run.count.deliveries)
}

fn hear(server: &Server, door: Door, plan: Plan) -> Result<Sample> {
    let mut crowd = Crowd::connect(door, plan)?;
    sleep(SETTLED);
    let run = run(&mut crowd, server)?;
    let (count, deliveries) = (&run.count, as_float(run.count.deliveries));
    let mut sample = Sample::default();
    sample.set(&figures::CPU, per_delivery(&run));
    sample.set(&figures::USER, run.probes.1.since(run.probes.0).user_share() * 100.0);
    sample.set(&figures::OWN_CPU, micros(run.own_cpu) / deliveries);
    sample.set(&figures::RATE, deliveries / run.elapsed.as_secs_f64() / 1e3);
    sample.set(&figures::BYTES, as_float(count.bytes) / deliveries);
    sample.set(&figures::COMPRESSED, as_float(count.compressed) / deliveries * 100.0);
    for (figure, share) in [(figures::P50, 0.5), (figures::P99, 0.99), (figures::P999, 0.999)] {
        sample.set(&figure, micros(count.each.quantile(share)));
    }
    Ok(sample)
}

fn hear_beside_a_slow_one(server: &Server, door: Door, plan: Plan) -> Result<Sample> {
    let query = connect::query(plan.sockets, 0);
    let mut crowd = Crowd::connect(door, plan)?;
    sleep(SETTLED);
    let without = run(&mut crowd, server)?;
    let slow = connect::connect(door, &query)?;
    crowd.count_for(SLOW_FOR);
    let with = run(&mut crowd, server)?;
    let p99 = |run: &Run| micros(run.count.each.quantile(0.99));
    let mut sample = Sample::default();
    sample.set(&figures::SLOW, p99(&with) / p99(&without));
    sample.set(&figures::P99_WITHOUT, p99(&without));
    sample.set(&figures::P99_WITH, p99(&with));
    sample.set(&figures::CPU_WITHOUT, per_delivery(&without));
    sample.set(&figures::CPU_WITH, per_delivery(&with));
    sample.set(&figures::CLOSED, f64::from(u8::from(was_closed(&slow)?)));
    Ok(sample)
}

/// Reads all that came for a client that has read nothing: does it end, or was it only late?
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

fn count_visits(server: &Server, door: Door, visits: Visits, measured: Duration) -> Result<Sample> {
    let visit = |first: usize| {
        let numbers = first..first + visits.batch;
        connect::all(door, numbers, |number| connect::query(number, 0), visits.at_once)
    };
    // Once uncounted: code has been loaded by then, and memory taken.
    drop(visit(0)?);
    let (begun, own, before) = (Instant::now(), measure::own_cpu_time(), CpuTime::of(server.process())?);
    let mut count = visits.batch;
    while begun.elapsed() < measured {
        drop(visit(count)?);
        count += visits.batch;
    }
    let (elapsed, own) = (begun.elapsed(), measure::own_cpu_time().saturating_sub(own));
    // The last ones to go are part of it.
    sleep(SETTLED);
    let used = CpuTime::of(server.process())?.since(before);
    let count = as_float((count - visits.batch) as u64);
    let mut sample = Sample::default();
    sample.set(&figures::VISIT_CPU, micros(used.total) / count);
    sample.set(&figures::VISIT_RATE, count / elapsed.as_secs_f64());
    sample.set(&figures::VISIT_OWN, micros(own) / count);
    Ok(sample)
}

fn weigh(server: &Server, door: Door, idle: Idle) -> Result<Sample> {
    let enter = |numbers| connect::all(door, numbers, |number| connect::query(number, 0), AT_ONCE);
    let before = enter(0..idle.before)?;
    sleep(idle.settle);
    let few = resident_bytes(server.process())?;
    let crowd = enter(idle.before..idle.before + idle.sockets)?;
    sleep(idle.settle);
    let many = resident_bytes(server.process())?;
    drop((before, crowd));
    let mut sample = Sample::default();
    sample.set(&figures::RESIDENT, (as_float(many) - as_float(few)) / as_float(idle.sockets as u64));
    Ok(sample)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
