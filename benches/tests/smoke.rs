//! The bench measures: each server is started, delivers to a small crowd, and is gone afterwards. No times are looked
//! at.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use dog_benches::frame::Payload;
use dog_benches::ledger::Reach;
use dog_benches::load::Crowd;
use dog_benches::measure::{CpuTime, resident_bytes};
use dog_benches::plan::{Pace, Plan};
use dog_benches::relay::{self, Profile};
use dog_benches::server::Server;

fn bench() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_fanout"))
}

fn plan() -> Plan {
    Plan {
        sockets: 10,
        rooms: 1,
        senders: 1,
        pace: Pace::InFlight(1),
        reach: Reach::Room,
        compressed: false,
        payload: Payload::Binary,
        bytes: 128,
        pause: Duration::from_micros(100),
        warm_up: Duration::from_millis(20),
        measured: Duration::from_millis(200),
    }
}

fn drive(program: &Path, arguments: &[&str], plan: Plan) -> Result<()> {
    let server = Server::start(bench(), &[], program, arguments)?;
    let process = server.process();
    assert!(resident_bytes(process)? > 0);
    let everyone = if plan.reach == Reach::Room { (plan.sockets / plan.rooms) as u64 } else { 1 };
    let outcome = Crowd::connect(server.address.into(), plan)?.run(|| CpuTime::of(process))?;
    assert!(outcome.count.messages > 0);
    assert!(outcome.count.deliveries.abs_diff(outcome.count.messages * everyone) <= 64 * everyone);
    drop(server);
    assert!(CpuTime::of(process).is_err(), "the server outlived its bench");
    Ok(())
}

#[test]
fn the_floor_delivers() -> Result<()> {
    drive(bench(), &["floor"], plan())?;
    drive(bench(), &["floor"], Plan { pace: Pace::InFlight(8), senders: 3, bytes: 70_000, ..plan() })?;
    drive(bench(), &["floor", "--joined"], Plan { pace: Pace::InFlight(32), senders: 4, ..plan() })?;
    drive(bench(), &["floor", "--joined"], Plan { pace: Pace::InFlight(8), senders: 5, rooms: 5, ..plan() })?;
    drive(bench(), &["floor"], Plan { pace: Pace::per_second(200.0)?, pause: Duration::ZERO, ..plan() })
}

#[test]
fn the_relay_delivers() -> Result<()> {
    let relay = relay::build(Profile::Dev)?;
    let arguments = ["--listen", "127.0.0.1:0", "--limit", "3"];
    drive(&relay, &arguments, plan())?;
    drive(&relay, &arguments, Plan { pace: Pace::InFlight(32), senders: 4, ..plan() })?;
    drive(&relay, &arguments, Plan { payload: Payload::Text, ..plan() })?;
    drive(&relay, &arguments, Plan { pace: Pace::InFlight(8), senders: 5, rooms: 5, bytes: 8, ..plan() })
}

#[test]
fn the_verbs_reach_whom_they_should() -> Result<()> {
    let verbs = Path::new(env!("CARGO_BIN_EXE_verbs"));
    let several = |reach| Plan { senders: 10, pace: Pace::InFlight(5), reach, ..plan() };
    for (verb, reach) in [("whisper", Reach::Across), ("gossip", Reach::Sender)] {
        let arguments = ["--listen", "127.0.0.1:0", "--limit", "2", "--verb", verb];
        drive(verbs, &arguments, several(reach))?;
    }
    Ok(())
}

#[test]
fn a_server_that_does_not_start_is_an_error() {
    let started = std::time::Instant::now();
    assert!(Server::start(bench(), &[], Path::new("/there/is/no/such/program"), &[""; 0]).is_err());
    assert!(started.elapsed() < Duration::from_secs(9));
}
