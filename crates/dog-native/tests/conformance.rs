//! Runs the conformance suite on the native host: with one worker thread and with three, with objects that stay in
//! memory and with objects that hibernate after every event, once with every message compressed that can be, and once over TLS.
//!
//! `DOG_SCENARIO=NAME cargo test -p durable-object-groups-native --test conformance -- --nocapture` runs one scenario.

mod deflating;
mod encrypting;

use std::net::SocketAddr;
use std::time::Duration;

use dog_conformance::app::TestApp;
use dog_conformance::{Capability, Harness, Lack};
use dog_native::{Compression, Running, Server};
use dog_test_support::certificates::Authority;
use dog_test_support::tls;

struct Native {
    workers: usize,
    hibernates: bool,
    compresses: bool,
    encrypts: bool,
    address: SocketAddr,
}

impl Harness for Native {
    fn name(&self) -> String {
        let hibernates = if self.hibernates { ", hibernating after every event" } else { "" };
        let compresses = if self.compresses { ", compressing" } else { "" };
        let encrypts = if self.encrypts { ", over TLS" } else { "" };
        format!("native, {} workers{hibernates}{compresses}{encrypts}", self.workers)
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
            lacks.push(Lack { capability: Capability::FullBuffers, reason });
        }
        lacks
    }
}

fn server(workers: usize, hibernates: bool) -> Server<TestApp> {
    let server = Server::new(TestApp).bind("127.0.0.1:0").workers(workers);
    server.hibernate_after(if hibernates { Duration::ZERO } else { Duration::from_secs(60) })
}

async fn run(running: Running, native: Native) {
    let outcome = dog_conformance::run(&native).await;
    running.shutdown().await;
    if let Err(summary) = outcome {
        panic!("{summary}");
    }
}

async fn conforms(workers: usize, hibernates: bool) {
    let running = server(workers, hibernates).start().await.expect("a free port");
    let address = running.local_addr();
    run(running, Native { workers, hibernates, compresses: false, encrypts: false, address }).await;
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
    let server = server(3, false).compress(Compression::new().at_least(0));
    let running = server.start().await.expect("a free port");
    let address = deflating::before(running.local_addr()).await;
    run(running, Native { workers: 3, hibernates: false, compresses: true, encrypts: false, address }).await;
}

#[tokio::test]
async fn with_one_worker_over_tls() {
    let authority = Authority::new();
    let [certificate, key] = authority.vouches_for(tls::NAME);
    let running = server(1, false).tls(certificate, key).start().await.expect("a free port");
    let client = tls::trusting(authority.root(), tls::BOTH);
    let address = encrypting::before(running.local_addr(), client).await;
    run(running, Native { workers: 1, hibernates: false, compresses: false, encrypts: true, address }).await;
}
