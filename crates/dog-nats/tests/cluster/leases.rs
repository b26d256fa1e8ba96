//! How leases end: at once when another process ends them, but never because of the wall clock of a NATS server.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;

use crate::app::PATIENCE;
use crate::child::Child;
use crate::record::{Recorder, Victim};
use crate::server::NatsServers;

/// A lease whose renewal is due long after the test has ended.
const ENDLESS: Duration = Duration::from_secs(3600);

/// Returns the subject of the only node's lease.
async fn only_lease(client: &async_nats::Client) -> String {
    let question = serde_json::json!({ "subjects_filter": "dog.lease.*" }).to_string();
    let answer = client.request("$JS.API.STREAM.INFO.dog_nodes", question.into()).await.expect("an answer");
    let info: serde_json::Value = serde_json::from_slice(&answer.payload).expect("JSON");
    let subjects = info["state"]["subjects"].as_object().expect("a node has a lease");
    assert_eq!(subjects.len(), 1, "{subjects:?}");
    subjects.keys().next().expect("there is a lease").clone()
}

async fn last_of(client: &async_nats::Client, subject: &str) -> bytes::Bytes {
    let stream = async_nats::jetstream::new(client.clone()).get_stream_no_info("dog_nodes").await.expect("a stream");
    stream.get_last_raw_message_by_subject(subject).await.expect("a lease").payload
}

/// How another process ends a node's lease.
#[derive(Clone, Copy, Debug)]
enum End {
    Deleted,
    Overwritten,
}

async fn a_lease_is_ended(end: End) {
    let record = Recorder::new(ENDLESS);
    let nats = NatsServers::start(1, "");
    let node = Child::start(&nats.url(), ENDLESS);
    let mut old = record.join(node.address, "struck", "old").await;
    assert!(old.put(1).await);
    let client = async_nats::connect(nats.url()).await.expect("a server");
    let lease = only_lease(&client).await;
    let mut headers = HeaderMap::new();
    let payload = match end {
        End::Deleted => {
            headers.insert("Dog-Gone", "1");
            bytes::Bytes::new()
        }
        End::Overwritten => {
            let mut other: serde_json::Value = serde_json::from_slice(&last_of(&client, &lease).await).expect("JSON");
            other["nonce"] = "another".into();
            other["writer"] = "another".into();
            other.to_string().into()
        }
    };
    record.fault(Victim::Node(node.id()));
    let ended = Instant::now();
    client.request_with_headers(lease.clone(), headers.clone(), payload).await.expect("the message is stored");
    // Without a notification, the node would renew its lease only after 20 minutes.
    assert_eq!(tokio::time::timeout(PATIENCE, old.hear()).await, Ok(None), "{end:?}: the old life still acts");
    let noticed = ended.elapsed();
    assert_eq!(old.close_code(), Some(1012));
    if matches!(end, End::Overwritten) {
        // The room belongs to the lease's node until the lease is deleted.
        assert!(record.try_to_join(node.address, "struck", "early").await.is_err());
        headers.insert("Dog-Gone", "1");
        client.request_with_headers(lease, headers, "".into()).await.expect("the message is stored");
    }
    // The process has joined the cluster again, under another node id.
    let mut new = record.join(node.address, "struck", "new").await;
    assert!(new.put(2).await);
    assert_eq!(new.all().await, BTreeSet::from([1, 2]));
    println!(
        "cluster: a lease of {ENDLESS:?} ended by others ({end:?}): its node stopped acting after {noticed:.1?}; {}",
        record.check()
    );
}

#[tokio::test]
async fn a_node_whose_lease_is_deleted_stops_at_once() {
    a_lease_is_ended(End::Deleted).await;
}

#[tokio::test]
async fn a_node_whose_lease_is_overwritten_stops_at_once() {
    a_lease_is_ended(End::Overwritten).await;
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod stepped {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;
    use crate::clocks::lease_goes_on;
    use crate::faults::{Writer, owner_and_others, start};
    use crate::stepped::WallClock;
    use crate::talk::{Talk, nothing_was_missed};

    const LEASE: Duration = Duration::from_secs(5);
    const HOUR: i64 = 3600;

    /// Waits until the server stamps leases with a clock of this offset. This shows that the clock was set.
    async fn until_off_by(client: &async_nats::Client, seconds: i64) {
        let context = async_nats::jetstream::new(client.clone());
        let by = Instant::now() + PATIENCE;
        loop {
            let stream = context.get_stream("dog_nodes").await.expect("a stream");
            let clock = stream.cached_info().state.last_timestamp.unix_timestamp();
            let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let off = clock - i64::try_from(real).unwrap_or_default();
            if (off - seconds).abs() < 10 {
                return;
            }
            assert!(Instant::now() < by, "its clock is off by {off} s");
            // The next renewal carries a new time.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    #[tokio::test]
    async fn steps_of_a_nats_servers_clock_end_no_lease_and_keep_none() {
        let record = Recorder::new(LEASE);
        let nats = NatsServers::start(1, "");
        let mut nodes = start(&nats, LEASE);
        let client = async_nats::connect(nats.url()).await.expect("a server");
        let clock = WallClock::of(nats.process(0));
        let entries: Vec<_> = nodes.iter().map(|node| node.address).collect();
        let mut talk = Talk::start(&entries, "steps", 1).await;
        let (owner, others) = owner_and_others(&record, &nodes, "stepped").await;
        let mut writer = Writer::start(&record, others.map(|node| nodes[node].address).to_vec(), "stepped");
        for off in [2, HOUR, -HOUR, 0] {
            clock.step_to(off);
            until_off_by(&client, off).await;
            futures_util::future::join_all(nodes.iter().map(lease_goes_on)).await;
            writer.goes_on(20).await;
            talk.everyone_hears_everyone().await;
        }
        let heard = nothing_was_missed(&talk.end().await, &[0, 1, 2]);
        // A lease that is no longer renewed ends in time, although the clock of the server that stamped it is far
        // ahead.
        record.fault(Victim::Node(nodes[owner].id()));
        nodes[owner].kill();
        clock.step_to(-HOUR);
        let killed = Instant::now();
        let mut witness = record.join(nodes[others[0]].address, "stepped", "witness").await;
        let back = killed.elapsed();
        assert_ne!(witness.at, nodes[owner].id());
        writer.goes_on(20).await;
        let (kept, longest) = writer.end().await;
        assert!(kept.is_subset(&witness.all().await), "an acknowledged put is lost");
        println!(
            "cluster: the wall clock of the NATS server set by 2 s and by an hour, forward and back: all sockets and leases \
             stayed (lease {LEASE:?}), {heard} messages heard, none missed; a node killed as it was set back by an hour: \
             served again after {back:.1?}, longest pause of a writer {longest:.1?}, {} puts acknowledged and there; {}",
            kept.len(),
            record.check()
        );
    }
}
