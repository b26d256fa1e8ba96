//! Runs the conformance suite on the native host: with one worker thread and with three, with objects that stay in
//! memory and with objects that hibernate after every event, and once with every message compressed that can be.
//!
//! `DOG_SCENARIO=NAME cargo test -p durable-object-groups-native --test conformance -- --nocapture` runs one scenario.

mod deflating;

use std::net::SocketAddr;
use std::time::Duration;

use dog_conformance::app::TestApp;
use dog_conformance::{Capability, Harness, Lack};
use dog_native::{Compression, Server};

struct Native {
    workers: usize,
    hibernates: bool,
    compresses: bool,
    address: SocketAddr,
}

impl Harness for Native {
    fn name(&self) -> String {
        let hibernates = if self.hibernates { ", hibernating after every event" } else { "" };
        let compresses = if self.compresses { ", compressing" } else { "" };
        format!("native, {} workers{hibernates}{compresses}", self.workers)
    }

    fn entries(&self) -> Vec<SocketAddr> {
        vec![self.address]
    }

    fn lacks(&self) -> Vec<Lack> {
        let stays = Lack { capability: Capability::Hibernation, reason: "objects stay in memory in this run" };
        let mut lacks = if self.hibernates { vec![] } else { vec![stays] };
        if self.compresses {
            let reason = "the proxy that compresses forwards whole frames only";
            lacks.push(Lack { capability: Capability::Frames, reason });
            let reason = "messages that are compressed to a thousandth of their size fill no buffers";
            lacks.push(Lack { capability: Capability::BoundedOutbox, reason });
            lacks.push(Lack { capability: Capability::Backpressure, reason });
        }
        lacks
    }
}

async fn conforms(workers: usize, hibernates: bool) {
    let server = Server::new(TestApp).bind("127.0.0.1:0").workers(workers);
    let server = server.hibernate_after(if hibernates { Duration::ZERO } else { Duration::from_secs(60) });
    let running = server.start().await.expect("a free port");
    let outcome =
        dog_conformance::run(&Native { workers, hibernates, compresses: false, address: running.local_addr() }).await;
    running.shutdown().await;
    if let Err(summary) = outcome {
        panic!("{summary}");
    }
}

#[tokio::test]
async fn with_one_worker() {
    conforms(1, false).await;
}

#[tokio::test]
async fn with_three_workers() {
    conforms(3, false).await;
}

#[tokio::test]
async fn with_one_worker_hibernating_after_every_event() {
    conforms(1, true).await;
}

#[tokio::test]
async fn with_three_workers_hibernating_after_every_event() {
    conforms(3, true).await;
}

#[tokio::test]
async fn with_three_workers_and_messages_compressed() {
    let server = Server::new(TestApp).bind("127.0.0.1:0").workers(3).hibernate_after(Duration::from_secs(60));
    let running = server.compress(Compression::new().at_least(0)).start().await.expect("a free port");
    let address = deflating::before(running.local_addr()).await;
    let outcome = dog_conformance::run(&Native { workers: 3, hibernates: false, compresses: true, address }).await;
    running.shutdown().await;
    if let Err(summary) = outcome {
        panic!("{summary}");
    }
}
