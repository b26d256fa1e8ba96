//! Clients that send: [`Messages`] describes them, [`measure`] runs them and gives all figures about messages.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::harness::options::Timing;
use crate::harness::sample::{Figure, Sample};
use crate::load::deliveries::Recipients;
use crate::load::generator::{LoadGenerator, LoadResult};
use crate::load::latencies::Latencies;
use crate::load::workload::{Pace, Workload};
use crate::measure::{as_float, micros};
use crate::servers::deployment::{Deployment, Usage};
use crate::servers::entrant::Entrant;

use super::figures;

/// How long the load generator waits for more deliveries where processor time is measured. Where latency is measured it does
/// not wait.
pub const PAUSE: Duration = Duration::from_micros(100);

/// How long after the last handshake clients begin to send: the server has freed what the handshakes needed.
pub const SETTLED: Duration = Duration::from_millis(200);

/// Clients that send.
#[derive(Clone, Copy, Debug)]
pub struct Messages {
    /// Sockets.
    pub sockets: usize,
    /// Rooms.
    pub rooms: usize,
    /// Sockets that send, in turn.
    pub senders: usize,
    /// When they send.
    pub pace: Pace,
    /// The length of a message, in bytes.
    pub bytes: usize,
    /// Who receives each message.
    pub recipients: Recipients,
}

impl Messages {
    /// 500 sockets in one room, one of which sends messages of 128 bytes, one in flight.
    pub const ROOM: Self =
        Self { sockets: 500, rooms: 1, senders: 1, pace: Pace::InFlight(1), bytes: 128, recipients: Recipients::Room };

    /// The same with four senders and 32 messages in flight.
    pub const BUSY: Self = Self { senders: 4, pace: Pace::InFlight(32), ..Self::ROOM };

    /// One message per this many milliseconds.
    pub const fn every(milliseconds: u64) -> Pace {
        Pace::Every(Duration::from_millis(milliseconds))
    }

    /// The workload for an entrant.
    pub fn workload(&self, entrant: &Entrant, timing: Timing) -> Workload {
        Workload {
            sockets: self.sockets,
            rooms: self.rooms,
            senders: self.senders,
            pace: self.pace,
            recipients: self.recipients,
            compressed: entrant.has_flag("--compress"),
            payload: entrant.program.payload(),
            bytes: self.bytes,
            pause: pause(self.pace),
            warm_up: timing.warm_up,
            measured: timing.measured,
        }
    }

    /// All of it in one line.
    pub fn describe(&self) -> String {
        let Self { sockets, rooms, senders, bytes, .. } = self;
        let pace = match self.pace {
            Pace::InFlight(messages) => format!("{messages} in flight"),
            Pace::Every(interval) => format!("{:.0} messages per second", 1.0 / interval.as_secs_f64()),
        };
        let rooms = match (self.recipients, rooms) {
            (Recipients::Subscribers(subscribers), _) => format!("one room with {subscribers} subscribers"),
            (_, 1) => "one room".into(),
            (_, rooms) => format!("{rooms} rooms"),
        };
        let senders = if *senders == 1 { "one sender".into() } else { format!("{senders} senders") };
        format!("{sockets} sockets in {rooms}, {bytes} bytes, {pace} from {senders}")
    }
}

/// How long the load generator waits for more deliveries at a pace.
pub fn pause(pace: Pace) -> Duration {
    if matches!(pace, Pace::InFlight(_)) { PAUSE } else { Duration::ZERO }
}

/// Connects clients to a single server, and measures them.
///
/// # Errors
/// When the server does not do what it should.
pub fn play(deployment: &Deployment, workload: Workload) -> Result<Sample> {
    let mut load = LoadGenerator::connect(deployment.endpoint(0), workload)?;
    sleep(SETTLED);
    measure(deployment, &mut load)
}

/// Measures clients that are connected, and then at another pace each time this is called.
///
/// # Errors
/// When the server does not do what it should.
pub fn measure_at(deployment: &Deployment, load: &mut LoadGenerator, pace: Pace) -> Result<Sample> {
    load.set_pace(pace, pause(pace))?;
    measure(deployment, load)
}

/// Measures clients that are connected.
///
/// # Errors
/// When the server does not do what it should.
pub fn measure(deployment: &Deployment, load: &mut LoadGenerator) -> Result<Sample> {
    // Nothing is in flight before and after a run, so these are the whole costs of the messages that were sent.
    let (traffic, sent) = (deployment.traffic()?, load.sent());
    let outcome = run(deployment, load)?;
    let (traffic, sent) = (deployment.traffic()?.since(traffic), as_float(load.sent() - sent));
    let mut sample = single_server(&outcome);
    if deployment.has_broker() {
        sample.set(&figures::BYTES_IN, as_float(traffic.bytes_in) / sent);
        sample.set(&figures::BYTES_OUT, as_float(traffic.bytes_out) / sent);
        sample.set(&figures::NODE_MESSAGES, as_float(traffic.node_messages) / sent);
    }
    in_cluster(&outcome, deployment.nodes(), &mut sample);
    Ok(sample)
}

/// A run, with what the servers had used before and after it.
pub type ServerRun = LoadResult<Usage>;

/// Runs the load generator once.
///
/// # Errors
/// When the server does not do what it should.
pub fn run(deployment: &Deployment, load: &mut LoadGenerator) -> Result<ServerRun> {
    let outcome = load.run(|| deployment.usage())?;
    ensure!(outcome.arrivals.messages > 0, "nothing was delivered in the measured time");
    let used = used(&outcome).nodes.total;
    ensure!(!used.is_zero(), "the server used no processor time: did it start another process?");
    Ok(outcome)
}

fn used(run: &ServerRun) -> Usage {
    run.probes.1.since(run.probes.0)
}

/// Processor time of the nodes per delivery, in µs.
pub fn cpu(run: &ServerRun) -> f64 {
    used(run).nodes_micros() / as_float(run.arrivals.deliveries)
}

/// A quantile in µs.
pub fn quantile(latencies: &Latencies, share: f64) -> f64 {
    micros(latencies.quantile(share))
}

fn single_server(run: &ServerRun) -> Sample {
    let (arrivals, deliveries) = (&run.arrivals, as_float(run.arrivals.deliveries));
    Sample::from([
        (figures::CPU, cpu(run)),
        (figures::USER, used(run).nodes.user_share() * 100.0),
        (figures::OWN_CPU, micros(run.own_cpu) / deliveries),
        (figures::RATE, deliveries / run.elapsed.as_secs_f64() / 1e3),
        (figures::BYTES, as_float(arrivals.bytes) / deliveries),
        (figures::COMPRESSED, as_float(arrivals.compressed) / deliveries * 100.0),
        (figures::P50, quantile(&arrivals.each, 0.5)),
        (figures::P99, quantile(&arrivals.each, 0.99)),
        (figures::P999, quantile(&arrivals.each, 0.999)),
        (figures::LAST_P50, quantile(&arrivals.last, 0.5)),
        (figures::LAST_P99, quantile(&arrivals.last, 0.99)),
    ])
}

fn in_cluster(run: &ServerRun, nodes: usize, sample: &mut Sample) {
    let (used, arrivals) = (used(run), &run.arrivals);
    let (deliveries, messages) = (as_float(arrivals.deliveries), as_float(arrivals.messages));
    let all = used.nodes_micros() + used.broker_micros();
    sample.set(&figures::CPU_WITH_BROKER, all / deliveries);
    sample.set(&figures::MESSAGE_CPU, used.nodes_micros() / messages);
    sample.set(&figures::MESSAGE_CPU_WITH_BROKER, all / messages);
    sample.set(&figures::BROKER_CPU, used.broker_micros() / messages);
    let same_node = if nodes == 1 { &arrivals.each } else { &arrivals.same_node };
    let mut quantiles = |figures: [Figure; 2], latencies: &Latencies| {
        figures.iter().zip([0.5, 0.99]).for_each(|(figure, share)| sample.set(figure, quantile(latencies, share)));
    };
    quantiles([figures::SAME_NODE_P50, figures::SAME_NODE_P99], same_node);
    if nodes > 1 {
        quantiles([figures::OTHER_NODE_P50, figures::OTHER_NODE_P99], &arrivals.other_node);
    }
}
