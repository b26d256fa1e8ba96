//! The load generator against real servers: each server is started, delivers to a few clients, and has ended afterwards. No
//! times are checked.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use dog_benches::load::connect::Endpoint;
use dog_benches::load::deliveries::Recipients;
use dog_benches::load::generator::LoadGenerator;
use dog_benches::load::payload::Payload;
use dog_benches::load::workload::{Pace, Workload};
use dog_benches::measure::{CpuTime, resident_bytes};
use dog_benches::scenarios::figures;
use dog_benches::scenarios::timers::{self, Intervals};
use dog_benches::servers::deployment::{DeployedNode, Deployment};
use dog_benches::servers::encryption::Encryption;
use dog_benches::servers::process::ServerProcess;
use rustls::ClientConfig;

fn bench() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_dog-bench"))
}

/// The environment variable with the path of the relay's program.
const RELAY: &str = "DOG_RELAY";

/// The relay. `cargo xtask test` has built it with the other packages; without it, it is built as this test is.
fn relay() -> Result<PathBuf> {
    if let Some(path) = env::var_os(RELAY) {
        return Ok(path.into());
    }
    let build = escargot::CargoBuild::new().package("relay").bin("relay").current_release();
    Ok(build.run()?.path().to_owned())
}

fn workload() -> Workload {
    Workload {
        sockets: 10,
        rooms: 1,
        senders: 1,
        pace: Pace::InFlight(1),
        recipients: Recipients::Room,
        compressed: false,
        payload: Payload::Binary,
        bytes: 128,
        pause: Duration::from_micros(100),
        warm_up: Duration::from_millis(20),
        measured: Duration::from_millis(200),
    }
}

fn drive(program: &Path, arguments: &[&str], workload: Workload) -> Result<()> {
    drive_over(None, program, arguments, workload)
}

/// With clients that speak TLS, or not.
fn drive_over(tls: Option<Arc<ClientConfig>>, program: &Path, arguments: &[&str], workload: Workload) -> Result<()> {
    let server = ServerProcess::start(bench(), &[], program, arguments)?;
    let process = server.process();
    assert!(resident_bytes(process)? > 0);
    let recipients = match workload.recipients {
        Recipients::Room => (workload.sockets / workload.rooms) as u64,
        Recipients::Subscribers(subscribers) => subscribers as u64,
        Recipients::Opposite | Recipients::Sender => 1,
    };
    let endpoint = Endpoint { tls, ..Endpoint::from(server.address()) };
    let outcome = LoadGenerator::connect(&endpoint, workload)?.run(|| CpuTime::of(process))?;
    let arrivals = &outcome.arrivals;
    assert!(arrivals.messages > 0);
    assert!(arrivals.deliveries.abs_diff(arrivals.messages * recipients) <= 64 * recipients);
    drop(server);
    assert!(CpuTime::of(process).is_err(), "the server outlived its handle");
    Ok(())
}

#[test]
fn the_floor_delivers() -> Result<()> {
    drive(bench(), &["floor"], workload())?;
    drive(bench(), &["floor"], Workload { pace: Pace::InFlight(8), senders: 3, bytes: 70_000, ..workload() })?;
    drive(bench(), &["floor", "--joined"], Workload { pace: Pace::InFlight(32), senders: 4, ..workload() })?;
    drive(bench(), &["floor", "--joined"], Workload { pace: Pace::InFlight(8), senders: 5, rooms: 5, ..workload() })?;
    drive(bench(), &["floor"], Workload { pace: Pace::per_second(200.0)?, pause: Duration::ZERO, ..workload() })
}

#[test]
fn the_relay_delivers() -> Result<()> {
    let relay = relay()?;
    let arguments = ["--listen", "127.0.0.1:0", "--limit", "3"];
    drive(&relay, &arguments, workload())?;
    drive(&relay, &arguments, Workload { pace: Pace::InFlight(32), senders: 4, ..workload() })?;
    drive(&relay, &arguments, Workload { payload: Payload::Text, ..workload() })?;
    drive(&relay, &arguments, Workload { pace: Pace::InFlight(8), senders: 5, rooms: 5, bytes: 8, ..workload() })
}

#[test]
fn the_relay_delivers_over_tls() -> Result<()> {
    let (relay, encryption) = (relay()?, Encryption::new());
    let arguments = ["--listen", "127.0.0.1:0"].into_iter().chain(encryption.flags()).collect::<Vec<_>>();
    for resumes in [false, true] {
        let tls = || Some(encryption.clients(resumes));
        drive_over(tls(), &relay, &arguments, workload())?;
        let busy = Workload { pace: Pace::InFlight(32), senders: 4, bytes: 4096, ..workload() };
        drive_over(tls(), &relay, &arguments, busy)?;
    }
    assert!(drive(&relay, &arguments, workload()).is_err(), "a client without TLS was accepted");
    Ok(())
}

#[test]
fn the_verbs_reach_whom_they_should() -> Result<()> {
    let verbs = Path::new(env!("CARGO_BIN_EXE_verbs"));
    let several = |recipients| Workload { senders: 10, pace: Pace::InFlight(5), recipients, ..workload() };
    for (verb, recipients) in [("whisper", Recipients::Opposite), ("gossip", Recipients::Sender)] {
        let arguments = ["--listen", "127.0.0.1:0", "--limit", "2", "--verb", verb];
        drive(verbs, &arguments, several(recipients))?;
    }
    let topic = Workload { senders: 3, pace: Pace::InFlight(5), recipients: Recipients::Subscribers(4), ..workload() };
    // On several Replicas, each with a subscriber, and on one.
    for limit in ["3", "100"] {
        drive(verbs, &["--listen", "127.0.0.1:0", "--limit", limit, "--verb", "topic"], topic.clone())?;
    }
    Ok(())
}

#[test]
fn intervals_tick() -> Result<()> {
    let verbs = Path::new(env!("CARGO_BIN_EXE_verbs"));
    let server = ServerProcess::start(bench(), &[], verbs, &["--listen", "127.0.0.1:0", "--verb", "tick"])?;
    let endpoint = Endpoint::from(server.address());
    let deployment = Deployment::new(vec![DeployedNode::new(server, endpoint, None)], None);
    let intervals = Intervals { objects: 3, at_once: 1 };
    let sample = timers::measure(&deployment, intervals, Duration::from_secs(1))?;
    assert!(sample.get(&figures::TICK_RATE_SLOWEST).is_some_and(|rate| rate > 0.0), "{sample:?}");
    Ok(())
}

#[test]
fn a_server_that_does_not_start_is_an_error() {
    let started = std::time::Instant::now();
    assert!(ServerProcess::start(bench(), &[], Path::new("/there/is/no/such/program"), &[""; 0]).is_err());
    assert!(started.elapsed() < Duration::from_secs(9));
}
