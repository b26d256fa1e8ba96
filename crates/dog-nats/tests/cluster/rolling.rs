//! A rolling update: all nodes are replaced one after the other while clients send messages and write.

use std::time::Duration;

use crate::app::Client;
use crate::faults::Writer;
use crate::record::Recorder;
use crate::scene::Scene;
use crate::talk::{Life, Talk, missed};

const LEASE: Duration = Duration::from_secs(15);
/// The number of clients per node at the start.
const EACH: usize = 4;

#[tokio::test]
async fn all_nodes_are_replaced_in_turn_under_load() {
    let record = Recorder::new(LEASE);
    let mut scene = Scene::start(LEASE);
    let entries = scene.entries();
    let mut talk = Talk::start(&entries, "release", EACH).await;
    // The writers use different nodes. At first, each room's Replica is on the node of its writer.
    let mut writers = ["one", "two", "three"].map(|room| {
        let mut entries = entries.clone();
        entries.rotate_left(room.len() % 3);
        (room, Writer::start(&record, entries, room))
    });
    let (mut stayed, mut longest) = (0, Duration::ZERO);
    for (node, entry) in entries.iter().enumerate() {
        for (_, writer) in &mut writers {
            writer.goes_on(20).await;
        }
        let before = talk.lives();
        let old = scene.nodes[node].id();
        let stays = |life: &Life| life.at != old && life.entry != Some(*entry);
        let stay: Vec<usize> = (0..before.len()).filter(|number| stays(&before[*number])).collect();
        longest = longest.max(scene.replace(node).await);
        talk.everyone_hears_everyone().await;
        let after = talk.lives();
        for (number, (before, after)) in before.iter().zip(&after).enumerate() {
            let ended = after.ends.len() - before.ends.len();
            assert_eq!(ended, usize::from(!stay.contains(&number)), "sockets of {number} that ended: {after:?}");
        }
        assert_eq!(missed(&after, &stay), missed(&before, &stay), "messages were missed between sockets that stayed");
        stayed += stay.iter().map(|number| after[*number].count - before[*number].count).sum::<usize>();
    }
    let mut witness = Client::join(entries[0], "release", "wide-witness").await;
    let clients = EACH * 3 + 1;
    assert_eq!(witness.count_until(clients).await, clients, "promise 8");
    let lives = talk.end().await;
    let ends: Vec<_> = lives.iter().flat_map(|life| &life.ends).collect();
    assert!(ends.iter().all(|(code, _)| *code == Some(1012)), "{ends:?}");
    let out = ends.iter().map(|(_, back)| *back).max().unwrap_or_default();
    let (mut puts, mut pause) = (0, Duration::ZERO);
    for (room, writer) in writers {
        let (kept, longest) = writer.end().await;
        let mut witness = record.join(entries[1], room, "witness").await;
        assert!(kept.is_subset(&witness.all().await), "an acknowledged put of the room {room} is lost");
        puts += kept.len();
        pause = pause.max(longest);
    }
    println!(
        "cluster: all three nodes replaced in turn under load, each within {longest:.1?}: {stayed} messages received by sockets \
         that stayed, none missed, all in order; {} sockets closed with 1012 and back after {out:.1?} at most; longest pause \
         of a writer {pause:.1?}, {puts} puts acknowledged and there; {}",
        ends.len(),
        record.check()
    );
}
