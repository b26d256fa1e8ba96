//! What a cluster survives on Workers: objects that leave memory while their sockets are open, and the end of the
//! process.

use std::net::SocketAddr;
use std::time::Duration;

use dog::ClientId;
use dog_conformance::app::protocol::{Act, Attached, Told, Whom};
use dog_conformance::{Client, Outcome};

use crate::workerd::{Disk, Workerd};

/// The longest wait for hibernation. The runtime removes an object from memory after ten seconds without an event.
const HIBERNATES_WITHIN: Duration = Duration::from_secs(60);

async fn join(entry: SocketAddr, class: &str, client: &str) -> Outcome<Client> {
    let path = format!("/{class}/lives/ws?u={client}");
    Client::connect(entry, &path, ClientId::new(client)?).await
}

/// Returns the number of requests in the Group's present life, including this one.
async fn requests_in_this_life(entry: SocketAddr) -> Outcome<u32> {
    let response = dog_conformance::get(entry, "/pair/lives/group?do=count").await?;
    Ok(String::from_utf8_lossy(response.body()).parse()?)
}

/// Waits until the Replica of `client` and its Group have both left memory, so that their fields are lost. More
/// frequent questions would keep them in memory.
async fn hibernate(client: &mut Client, entry: SocketAddr) -> Outcome {
    client.ask(Act::SwapField { value: 1 }).await?;
    requests_in_this_life(entry).await?;
    let begun = std::time::Instant::now();
    let mut nap = Duration::from_secs(12);
    let (mut replica_stays, mut group_stays) = (true, true);
    while replica_stays || group_stays {
        tokio::time::sleep(nap).await;
        group_stays &= requests_in_this_life(entry).await? > 1;
        replica_stays &= client.ask(Act::SwapField { value: 1 }).await? != (Told::Field { value: 0 });
        let late = begun.elapsed() > HIBERNATES_WITHIN;
        assert!(!late, "in memory: the Replica {replica_stays}, the Group {group_stays}");
        nap += Duration::from_secs(3);
    }
    Ok(())
}

/// Asserts that sockets, attachments and clusters survive when objects leave memory, and that the limit still holds.
async fn out_of_memory(entry: SocketAddr) -> Outcome {
    let mut ann = join(entry, "pair", "ann").await?;
    let mut bob = join(entry, "pair", "bob").await?;
    let mut cid = join(entry, "pair", "cid").await?;
    assert_eq!(ann.replica(), bob.replica(), "two seats per Replica");
    assert_ne!(ann.replica(), cid.replica(), "two seats per Replica");
    let large = "x".repeat(14_000);
    let value = Attached { name: large, visits: 7, tags: vec![] };
    ann.obey(Act::Attach { value: value.clone() }).await?;
    hibernate(&mut ann, entry).await?;
    assert_eq!(ann.ask(Act::Attachment).await?, Told::Attachment { value: Some(value) });
    assert_eq!(cid.confirmed("all", Whom::Everyone).await?, (3, vec![]), "sockets reached by a broadcast");
    for client in [&mut ann, &mut bob, &mut cid] {
        assert_eq!(client.hear().await?, "all");
    }
    assert_eq!(cid.whisper("bob", "psst").await?, 1, "sockets that a whisper reaches");
    assert_eq!(bob.hear().await?, "psst");
    // The full Replica is still full. The other one has one seat left.
    let dan = join(entry, "pair", "dan").await?;
    assert_eq!(dan.replica(), cid.replica(), "the next client gets the free seat");
    bob.leave().await?;
    let report = ann.report_after(&ClientId::new("bob")?).await?;
    assert_eq!(report.open, [ClientId::new("ann")?], "the clients that are left");
    Ok(())
}

#[tokio::test]
async fn sockets_outlive_their_objects_time_in_memory() {
    let disk = Disk::new();
    let workerd = Workerd::start(&disk, &[]);
    if let Err(trouble) = out_of_memory(workerd.address()).await {
        panic!("{trouble}");
    }
}

/// Asserts that after the end of the process the clients get the same Replicas, which form one cluster.
async fn come_back(before: SocketAddr, end: impl FnOnce() -> SocketAddr) -> Outcome {
    let mut clients = Vec::new();
    for name in ["ann", "bob", "cid"] {
        clients.push(join(before, "pair", name).await?);
    }
    let mut homes: Vec<_> = clients.iter().map(Client::replica).collect();
    let after = end();
    for client in &mut clients {
        assert_eq!(client.ended().await?.code, 1006, "the process was killed");
    }
    clients.clear();
    for name in ["cid", "bob", "ann"] {
        clients.push(join(after, "pair", name).await?);
    }
    let mut again: Vec<_> = clients.iter().map(Client::replica).collect();
    homes.sort_unstable();
    homes.dedup();
    again.sort_unstable();
    again.dedup();
    assert_eq!(again, homes, "the members of the cluster");
    assert_eq!(clients[0].confirmed("all", Whom::Everyone).await?, (3, vec![]), "sockets reached by a broadcast");
    Ok(())
}

#[tokio::test]
async fn a_cluster_is_one_after_the_process_was_killed() {
    let disk = Disk::new();
    let first = Workerd::start(&disk, &[]);
    let mut second = None;
    let address = first.address();
    let restart = || {
        drop(first);
        second.insert(Workerd::start(&disk, &[])).address()
    };
    if let Err(trouble) = come_back(address, restart).await {
        panic!("{trouble}");
    }
}
