//! One round of one Worker: [`Rules`], [`Sample`], [`FIGURES`].

use std::net::TcpStream;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use dog_benches::connect;
use dog_benches::frame::Payload;
use dog_benches::ledger::Reach;
use dog_benches::load::Crowd;
use dog_benches::measure::{CpuTime, as_float, resident_bytes};
use dog_benches::plan::{Pace, Plan};
use dog_benches::server::Server;
use dog_benches::workerd::{self, Bundle, Settings};

/// Sockets that send.
const SENDERS: usize = 4;

/// Messages under way where there are many.
const MANY: usize = 32;

/// Clients that connect at the same time.
const AT_ONCE: usize = 8;

/// Sockets that come and go in another room before anything is counted: the code has been loaded by then, and compiled
/// as well as it ever is.
const WARM: usize = 1_000;

/// Sockets that are in a room before a crowd comes whose memory is weighed, so that what the first one costs is not in it.
const BEFORE: usize = 100;

/// How long it takes until those that have gone cost nothing any more.
const GONE: Duration = Duration::from_secs(1);

/// How long deliveries gather where it is processor time that is measured.
const PAUSE: Duration = Duration::from_micros(100);

/// How long after its last handshake a crowd is weighed: what was kept for it is free again.
const SETTLED: Duration = Duration::from_secs(1);

/// How both Workers are measured.
pub(crate) struct Rules {
    pub(crate) bench: PathBuf,
    pub(crate) workerd: PathBuf,
    pub(crate) scratch: PathBuf,
    /// For workerd; any if none is named.
    pub(crate) processors: Vec<usize>,
    pub(crate) sockets: usize,
    /// Seats of a Replica where there are several.
    pub(crate) limit: usize,
    pub(crate) crowd: usize,
    pub(crate) bytes: usize,
    pub(crate) rate: Pace,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    pub(crate) rest: Duration,
}

/// One round of one Worker.
pub(crate) struct Sample {
    one: Talk,
    several: Talk,
    crowd: Weight,
}

/// What a room that talks has shown. Times are in µs.
struct Talk {
    /// Of workerd, a delivery, with one message under way and with many.
    cpu: f64,
    cpu_many: f64,
    /// From when a message was due to each delivery, at a fixed rate: the median and the 99th of 100.
    latency: (f64, f64),
    /// A handshake: of workerd, and by the clock with some at once.
    cpu_to_connect: f64,
    time_to_connect: f64,
}

/// What a crowd that came and is silent has shown.
struct Weight {
    /// Of workerd's resident memory, in bytes a socket: just after, and at rest.
    bytes: f64,
    bytes_hibernated: f64,
}

/// A figure of a round, with how many digits it is worth. Of each, less is better.
pub(crate) struct Figure {
    pub(crate) what: &'static str,
    pub(crate) digits: usize,
    pub(crate) of: fn(&Sample) -> f64,
}

/// What is printed.
#[rustfmt::skip]
pub(crate) const FIGURES: &[Figure] = &[
    Figure { what: "CPU per delivery, 1 Replica, 1 in flight, µs", digits: 2, of: |sample| sample.one.cpu },
    Figure { what: "CPU per delivery, 1 Replica, 32 in flight, µs", digits: 2, of: |sample| sample.one.cpu_many },
    Figure { what: "CPU per delivery, several Replicas, 1 in flight, µs", digits: 2, of: |sample| sample.several.cpu },
    Figure { what: "CPU per delivery, several Replicas, 32 in flight, µs", digits: 2, of: |sample| sample.several.cpu_many },
    Figure { what: "due to each delivery, 1 Replica, p50, µs", digits: 0, of: |sample| sample.one.latency.0 },
    Figure { what: "due to each delivery, 1 Replica, p99, µs", digits: 0, of: |sample| sample.one.latency.1 },
    Figure { what: "due to each delivery, several Replicas, p50, µs", digits: 0, of: |sample| sample.several.latency.0 },
    Figure { what: "due to each delivery, several Replicas, p99, µs", digits: 0, of: |sample| sample.several.latency.1 },
    Figure { what: "CPU per connect, 1 Replica, µs", digits: 0, of: |sample| sample.one.cpu_to_connect },
    Figure { what: "time per connect, 1 Replica, 8 at once, µs", digits: 0, of: |sample| sample.one.time_to_connect },
    Figure { what: "CPU per connect, several Replicas, µs", digits: 0, of: |sample| sample.several.cpu_to_connect },
    Figure { what: "time per connect, several Replicas, 8 at once, µs", digits: 0, of: |sample| sample.several.time_to_connect },
    Figure { what: "resident bytes a silent socket", digits: 0, of: |sample| sample.crowd.bytes },
    Figure { what: "resident bytes a silent socket, at rest", digits: 0, of: |sample| sample.crowd.bytes_hibernated },
];

impl Rules {
    /// Each part has a workerd of its own, so that none is measured in what another left behind.
    pub(crate) fn play(&self, bundle: &Bundle) -> Result<Sample> {
        Ok(Sample {
            one: self.talk(bundle, self.sockets)?,
            several: self.talk(bundle, self.limit)?,
            crowd: self.weigh(bundle)?,
        })
    }

    fn start(&self, bundle: &Bundle, limit: usize) -> Result<Server> {
        let settings = Settings { limit, verb: "broadcast" };
        workerd::start(&self.bench, &self.processors, &self.workerd, bundle, &self.scratch, settings)
    }

    fn talk(&self, bundle: &Bundle, limit: usize) -> Result<Talk> {
        let server = self.start(bundle, limit)?;
        let process = server.process();
        let plan = Plan {
            sockets: self.sockets,
            rooms: 1,
            senders: SENDERS,
            pace: Pace::InFlight(1),
            reach: Reach::Room,
            compressed: false,
            payload: Payload::Text,
            bytes: self.bytes,
            pause: PAUSE,
            warm_up: self.warm_up,
            measured: self.measured,
        };
        warm_up(&server)?;
        let (streams, cpu_to_connect, time_to_connect) = connect_counted(&server, 0..self.sockets)?;
        let mut crowd = Crowd::new(streams, plan)?;
        let mut cpu = |pace| {
            crowd.change_pace(pace, PAUSE)?;
            let outcome = crowd.run(|| CpuTime::of(process))?;
            let deliveries = as_float(outcome.count.deliveries);
            ensure!(deliveries > 0.0, "nothing was delivered in the time that is measured");
            Ok(micros(outcome.probes.1.since(outcome.probes.0).total) / deliveries)
        };
        let (one, many) = (cpu(Pace::InFlight(1))?, cpu(Pace::InFlight(MANY))?);
        // Nothing gathers: each delivery is told when it comes.
        crowd.change_pace(self.rate, Duration::ZERO)?;
        let each = crowd.run(|| Ok(()))?.count.each;
        let latency = (micros(each.quantile(0.5)), micros(each.quantile(0.99)));
        Ok(Talk { cpu: one, cpu_many: many, latency, cpu_to_connect, time_to_connect })
    }

    fn weigh(&self, bundle: &Bundle) -> Result<Weight> {
        let server = self.start(bundle, BEFORE + self.crowd)?;
        let before = enter(&server, 0..BEFORE, 0)?;
        std::thread::sleep(SETTLED);
        let few = resident_bytes(server.process())?;
        let crowd = enter(&server, BEFORE..BEFORE + self.crowd, 0)?;
        std::thread::sleep(SETTLED);
        let many = resident_bytes(server.process())?;
        std::thread::sleep(self.rest);
        let at_rest = resident_bytes(server.process())?;
        drop((before, crowd));
        let a_socket = |bytes: u64| (as_float(bytes) - as_float(few)) / as_float(self.crowd as u64);
        Ok(Weight { bytes: a_socket(many), bytes_hibernated: a_socket(at_rest) })
    }
}

/// Opens the sockets of the clients with these numbers, all in one room.
fn enter(server: &Server, numbers: Range<usize>, room: usize) -> Result<Vec<TcpStream>> {
    connect::all(server.address.into(), numbers, |number| connect::query(number, room), AT_ONCE)
}

fn warm_up(server: &Server) -> Result<()> {
    drop(enter(server, 0..WARM, 1)?);
    std::thread::sleep(GONE);
    Ok(())
}

/// Opens sockets; also what each took of workerd's processor time, and of the clock.
fn connect_counted(server: &Server, numbers: Range<usize>) -> Result<(Vec<TcpStream>, f64, f64)> {
    let count = as_float(numbers.len() as u64);
    let (begun, cpu) = (Instant::now(), CpuTime::of(server.process())?);
    let streams = enter(server, numbers, 0)?;
    let (elapsed, used) = (begun.elapsed(), CpuTime::of(server.process())?.since(cpu));
    Ok((streams, micros(used.total) / count, micros(elapsed) / count))
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
