//! The conformance suite on the native host, with one worker thread and with three.
//!
//! `DOG_SCENARIO=name cargo test -p durable-object-groups-native --test conformance -- --nocapture` runs one scenario.

use std::net::SocketAddr;

use dog_conformance::Harness;
use dog_conformance::app::TestApp;
use dog_native::Server;

struct Native {
    workers: usize,
    address: SocketAddr,
}

impl Harness for Native {
    fn name(&self) -> String {
        format!("native, {} workers", self.workers)
    }

    fn entries(&self) -> Vec<SocketAddr> {
        vec![self.address]
    }
}

async fn conforms(workers: usize) {
    let running = Server::new(TestApp).bind("127.0.0.1:0").workers(workers).start().await.expect("a free port");
    let outcome = dog_conformance::run(&Native { workers, address: running.local_addr() }).await;
    running.shutdown().await;
    if let Err(summary) = outcome {
        panic!("{summary}");
    }
}

#[tokio::test]
async fn with_one_worker() {
    conforms(1).await;
}

#[tokio::test]
async fn with_three_workers() {
    conforms(3).await;
}
