//! The conformance suite on workerd. One run keeps objects in memory, and one hibernates them after every event.

use std::net::SocketAddr;

use dog_conformance::{Capability, Harness, Lack};

use crate::workerd::{Disk, Workerd};

/// The capabilities that the Worker lacks, because the runtime does these things itself.
const LACKS: [Lack; 7] = [
    Lack { capability: Capability::Handshakes, reason: "the runtime answers handshakes before the Worker sees them" },
    Lack { capability: Capability::Frames, reason: "the runtime reads frames and chooses the close code" },
    Lack {
        capability: Capability::BoundedOutbox,
        reason: "the runtime does not report how many bytes wait for a socket",
    },
    Lack {
        capability: Capability::Hangup,
        reason: "workerd keeps a connection open if its client has never sent anything",
    },
    Lack {
        capability: Capability::PeerAddress,
        reason: "Cloudflare's front puts it into a header, and workerd alone does not",
    },
    Lack { capability: Capability::LogsInMemory, reason: "every log is durable there" },
    Lack { capability: Capability::Backpressure, reason: "the runtime reads on while a handler runs" },
];

struct Workers {
    hibernates: bool,
    address: SocketAddr,
}

impl Harness for Workers {
    fn name(&self) -> String {
        let hibernates = if self.hibernates { ", hibernating after every event" } else { "" };
        format!("workerd{hibernates}")
    }

    fn entries(&self) -> Vec<SocketAddr> {
        vec![self.address]
    }

    fn lacks(&self) -> Vec<Lack> {
        let stays = Lack { capability: Capability::Hibernation, reason: "objects stay in memory in this run" };
        LACKS.into_iter().chain((!self.hibernates).then_some(stays)).collect()
    }
}

async fn conforms(hibernates: bool) {
    let disk = Disk::new();
    // workerd does not support jurisdictions.
    let mut variables = vec![("DOG_WITHOUT_JURISDICTIONS", "yes")];
    if hibernates {
        variables.push(("DOG_HIBERNATE_AFTER_EVERY_EVENT", "yes"));
    }
    let workerd = Workerd::start(&disk, &variables);
    let outcome = dog_conformance::run(&Workers { hibernates, address: workerd.address() }).await;
    if let Err(summary) = outcome {
        panic!("{summary}");
    }
}

#[tokio::test]
async fn staying_in_memory() {
    conforms(false).await;
}

#[tokio::test]
async fn hibernating_after_every_event() {
    conforms(true).await;
}
