//! Wrong wall clocks: nodes whose clock is a day ahead or behind, and a node whose clock is set while it runs. Debian's
//! libfaketime replaces the wall clock of a process. It does not change the monotonic clock, because no system lets
//! anyone set that.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use crate::app::{Client, PATIENCE};
use crate::child::Child;
use crate::faults::Writer;
use crate::record::Recorder;
use crate::server::NatsServers;
use crate::talk::{Talk, nothing_was_missed};

const LEASE: Duration = Duration::from_secs(5);
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// A wall clock with an offset, for one node.
pub(crate) struct Clock {
    folder: TempDir,
    library: PathBuf,
}

impl Clock {
    pub(crate) fn off_by(seconds: i64) -> Self {
        let libraries = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
        let mut candidates = libraries.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
        let library = candidates.find(|candidate| candidate.exists());
        let library = library.expect("Debian's libfaketime is needed here: apt-get install libfaketime");
        remove_leftovers();
        let clock = Self { folder: tempfile::tempdir().expect("a folder"), library };
        clock.set(seconds);
        clock
    }

    /// Sets the offset. This also works while the node runs.
    pub(crate) fn set(&self, seconds: i64) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, format!("{seconds:+}\n")).expect("the file can be written");
        // A rename is atomic, so libfaketime never reads half of a number.
        std::fs::rename(new, self.file()).expect("the same folder");
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("clock")
    }

    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let text = |path: PathBuf| path.to_str().expect("a path of text").to_owned();
        vec![
            ("LD_PRELOAD", text(self.library.clone())),
            ("FAKETIME_TIMESTAMP_FILE", text(self.file())),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
        ]
    }
}

/// Removes the shared memory and the semaphores of processes that have ended. libfaketime names them by the process id and
/// does not remove them when a process is killed. A later process that gets the same id then ends at its start.
fn remove_leftovers() {
    for entry in std::fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let id = name.strip_prefix("faketime_shm_").or_else(|| name.strip_prefix("sem.faketime_sem_"));
        if id.is_some_and(|id| !PathBuf::from("/proc").join(id).exists()) {
            // Another process may remove it at the same time.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Waits until the node that runs the client's Replica reports a wall clock with this offset. This shows that the
/// offset has an effect.
async fn until_off_by(client: &mut Client, seconds: i64) {
    let by = Instant::now() + PATIENCE;
    loop {
        let clock: i128 = client.question("clock").await.parse().expect("milliseconds");
        let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let off = clock - i128::try_from(real).unwrap_or_default();
        if (off - i128::from(seconds) * 1000).abs() < 10_000 {
            return;
        }
        assert!(Instant::now() < by, "its clock is off by {off} ms");
        // libfaketime reads the file once per second.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until the node has renewed its lease two more times.
pub(crate) async fn lease_goes_on(node: &Child) {
    let (mut before, mut renewals) = (f64::MAX, 0);
    let by = Instant::now() + PATIENCE;
    while renewals < 2 {
        let (_, figures) = node.tells("/metrics").await;
        let left = figures.lines().find_map(|line| line.strip_prefix("dog_cluster_lease_left_ms "));
        let left: f64 = left.expect("a node of a cluster").parse().expect("a number");
        assert!(left > 0.0 && Instant::now() < by, "the lease has ended: {left}");
        renewals += usize::from(left > before);
        before = left;
        // `/metrics` must be polled.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn wall_clocks_that_jump_or_are_wrong_break_nothing() {
    let record = Recorder::new(LEASE);
    let nats = NatsServers::start(1, "");
    let clocks = [0, DAY, -DAY].map(Clock::off_by);
    let nodes: Vec<Child> = clocks.iter().map(|clock| Child::start_by(clock, &nats.url(), LEASE)).collect();
    let mut owner = record.join(nodes[0].address, "clocks", "owner").await;
    assert_eq!(owner.at, nodes[0].id());
    // The room's Group is on one node and its Replicas are on all nodes, so nodes with different clocks exchange
    // tickets.
    for (node, off) in nodes.iter().zip([0, DAY, -DAY]) {
        // Each node gets its own room, whose Replica is then on this node.
        let mut here = Client::join(node.address, &format!("off-by-{off}"), "clock").await;
        assert_eq!(here.at, node.id());
        until_off_by(&mut here, off).await;
    }
    let entries: Vec<_> = nodes.iter().map(|node| node.address).collect();
    let mut talk = Talk::start(&entries, "times", 2).await;
    let mut writer = Writer::start(&record, vec![entries[1]], "clocks");
    for (jump, off) in [0, HOUR, -HOUR, 0].into_iter().enumerate() {
        clocks[0].set(off);
        until_off_by(&mut owner, off).await;
        writer.goes_on(20).await;
        talk.everyone_hears_everyone().await;
        // New clients can join through each node, and an alarm rings.
        for (number, node) in nodes.iter().enumerate() {
            let came = Client::try_to_join(node.address, "times", &format!("wide-new-{jump}-{number}")).await;
            let came = came.expect("a new client joins at once");
            assert_eq!(came.at, node.id(), "each node has its own Replica");
        }
        assert!(owner.say("alarm 200").await);
        while owner.hear().await.expect("its socket stays open") != "it rings" {}
        futures_util::future::join_all(nodes.iter().map(lease_goes_on)).await;
    }
    let mut witness = Client::join(entries[2], "times", "wide-witness").await;
    assert_eq!(witness.count_until(7).await, 7, "promise 8");
    let (kept, longest) = writer.end().await;
    assert!(kept.is_subset(&owner.all().await), "an acknowledged put is lost");
    let heard = nothing_was_missed(&talk.end().await, &[0, 1, 2, 3, 4, 5]);
    println!(
        "cluster: wall clocks a day early and late from the start, and one set an hour forward and back: all sockets and leases \
         stayed, {heard} messages received, none missed; 4 of 4 alarms rang; longest pause of a writer {longest:.1?}, {} puts \
         acknowledged and there; {}",
        kept.len(),
        record.check()
    );
}
