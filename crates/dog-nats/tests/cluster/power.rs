//! All NATS servers are killed at once, as by a power failure, while writes are acknowledged. With `sync_interval: always`
//! nothing that was acknowledged may be missing afterwards (promise 11).

use std::time::{Duration, Instant};

use crate::faults::{Writer, start};
use crate::record::{Recorder, Victim};
use crate::server::NatsServers;

/// The environment variable that says how often all servers are killed.
const KILLS: &str = "DOG_NATS_KILLS";

/// Longer than the servers need to elect leaders again, so that objects and sockets stay.
const LEASE: Duration = Duration::from_secs(30);

const ROOMS: [&str; 2] = ["power-1", "power-2"];

#[tokio::test]
async fn acknowledged_writes_survive_when_all_nats_servers_are_killed_again_and_again() {
    let kills: usize = std::env::var(KILLS).map_or(2, |kills| kills.parse().expect("a number"));
    let record = Recorder::new(LEASE);
    let mut nats = NatsServers::start(3, "");
    let nodes = start(&nats, LEASE);
    let entries: Vec<_> = nodes.iter().map(|node| node.address).collect();
    let mut writers = ROOMS.map(|room| Writer::start(&record, entries.clone(), room));
    let (began, mut longest) = (Instant::now(), Duration::ZERO);
    for _ in 0..kills {
        for writer in &mut writers {
            writer.goes_on(50).await;
        }
        let fault = record.fault(Victim::Nats);
        // The writers go on meanwhile: each has a write that is not acknowledged.
        (0..3).for_each(|server| nats.kill(server));
        (0..3).for_each(|server| nats.restart(server));
        for writer in &mut writers {
            writer.goes_on(1).await;
        }
        record.is_well(fault);
    }
    let mut acknowledged = 0;
    for (writer, room) in writers.into_iter().zip(ROOMS) {
        let (kept, pause) = writer.end().await;
        let all = record.join(nodes[0].address, room, "reader").await.all().await;
        let lost: Vec<u32> = kept.difference(&all).copied().collect();
        assert!(lost.is_empty(), "acknowledged in {room}, and lost: {lost:?}");
        (acknowledged, longest) = (acknowledged + kept.len(), longest.max(pause));
    }
    println!(
        "cluster: all NATS servers killed at once {kills} times in {:.1?}: {acknowledged} puts acknowledged and there, \
         longest pause of a writer {longest:.1?}; {}",
        began.elapsed(),
        record.check()
    );
}
