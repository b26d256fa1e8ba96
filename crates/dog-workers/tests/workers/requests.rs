//! What a cluster costs: how many requests objects send each other. Cloudflare bills each.

use std::net::SocketAddr;
use std::time::Duration;

use dog::{ClientId, ROOM};
use dog_conformance::{Client, Outcome};

use crate::workerd::{Disk, Workerd};

/// Longer than anything is reported, acknowledged or repeated late: reports come within a second.
const QUIET: Duration = Duration::from_millis(1500);

/// The requests to Groups and to Replicas of the class "pair" so far.
async fn calls(entry: SocketAddr) -> Outcome<(u64, u64)> {
    let response = dog_conformance::get(entry, "/calls").await?;
    let calls: serde_json::Value = serde_json::from_slice(response.body())?;
    let of = |class: &str| calls[class].as_u64().unwrap_or_else(|| panic!("no {class} in {calls}"));
    Ok((of("PairGroup"), of("PairReplica")))
}

/// The same, when nothing has been sent for a while.
async fn calls_at_rest(entry: SocketAddr) -> Outcome<(u64, u64)> {
    let mut before = calls(entry).await?;
    loop {
        tokio::time::sleep(QUIET).await;
        let after = calls(entry).await?;
        if after == before {
            return Ok(after);
        }
        before = after;
    }
}

async fn publications(entry: SocketAddr) -> Outcome {
    let mut clients = Vec::new();
    for client in ["ann", "bob", "cid"] {
        clients.push(Client::connect(entry, &format!("/pair/cost/ws?u={client}"), ClientId::new(client)?).await?);
    }
    assert_ne!(clients[0].replica(), clients[2].replica(), "two seats per Replica");
    // The first publication begins the log.
    clients[0].publish(ROOM, "first").await?;
    let before = calls_at_rest(entry).await?;
    let count = 10;
    for number in 0..count {
        clients[0].publish(ROOM, &number.to_string()).await?;
        for client in &mut clients {
            client.hear_until(&number.to_string()).await?;
        }
    }
    let after = calls_at_rest(entry).await?;
    let sent = (after.0 - before.0, after.1 - before.1);
    assert_eq!(sent.0, count, "requests to the Group");
    // An answer that takes longer than 250 ms has the end of the log repeated.
    assert!((2 * count..3 * count).contains(&sent.1), "{} requests to the two Replicas", sent.1);
    Ok(())
}

#[tokio::test]
async fn a_publication_is_one_request_to_the_group_and_one_to_each_replica() {
    let disk = Disk::new();
    let workerd = Workerd::counting(&disk);
    if let Err(trouble) = publications(workerd.address()).await {
        panic!("{trouble}");
    }
}
