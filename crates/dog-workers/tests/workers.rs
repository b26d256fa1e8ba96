//! The conformance suite on the real workerd, which `cargo xtask test workers` builds for, starts and names here.
//!
//! `DOG_WORKERS=host:port` says where the Worker of `tests/worker` listens, `DOG_WORKERS_RESTS=1` that its objects rest
//! after every event.

use std::net::SocketAddr;

use dog_conformance::{Capability, Harness, Lack};

struct Workers {
    rests: bool,
    address: SocketAddr,
}

impl Harness for Workers {
    fn name(&self) -> String {
        let rests = if self.rests { ", resting after every event" } else { "" };
        format!("workerd{rests}")
    }

    fn entries(&self) -> Vec<SocketAddr> {
        vec![self.address]
    }

    fn lacks(&self) -> Vec<Lack> {
        let mut lacks = vec![
            Lack { capability: Capability::Handshakes, reason: "the runtime answers handshakes before the Worker sees them" },
            Lack { capability: Capability::Frames, reason: "the runtime reads frames, and closes as it sees fit" },
            Lack { capability: Capability::BoundedOutbox, reason: "the runtime does not say what waits for a socket" },
            Lack { capability: Capability::Backpressure, reason: "the runtime reads on whatever the handler does" },
        ];
        if !self.rests {
            lacks.push(Lack { capability: Capability::Rest, reason: "objects stay in memory in this run" });
        }
        lacks
    }
}

#[tokio::test]
async fn conforms() {
    let Ok(address) = std::env::var("DOG_WORKERS") else { panic!("run this by `cargo xtask test workers`") };
    let address = address.parse().expect("DOG_WORKERS is HOST:PORT");
    let rests = std::env::var_os("DOG_WORKERS_RESTS").is_some();
    if let Err(summary) = dog_conformance::run(&Workers { rests, address }).await {
        panic!("{summary}");
    }
}
