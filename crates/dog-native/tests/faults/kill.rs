//! A server is killed in the middle of its work, as `kill -9` and the kernel's out-of-memory killer do it, and started
//! again on the same folder. Nothing that it acknowledged may be missing, and no transaction may be there in part.
//!
//! The long run: `DOG_KILLS=100 cargo test -p durable-object-groups-native --test faults kill -- --nocapture`.

use std::time::Duration;

use futures_util::future::{join, join_all};

use crate::child::{Child, Random, Starting, setting};
use crate::ledger;
use crate::ledger::clients::{Model, Tally, connect_all};

const GROUPS: u32 = 6;
const REPLICAS: u32 = 3;

#[tokio::test]
async fn a_server_that_is_killed_has_all_that_it_acknowledged() {
    let kills: u64 = setting("DOG_KILLS").unwrap_or(5);
    let mut random = Random::new("kill");
    let folder = tempfile::tempdir().unwrap();
    let settings = ledger::settings(folder.path());
    let mut model = Model::default();
    let (mut acknowledged, mut unanswered, mut found, mut at_start) = (0, 0, 0, 0);
    for round in 0..=kills {
        if random.below(4) == 0 {
            // Kills one more server in the middle of its recovery.
            let starting = Starting::spawn(&settings);
            tokio::time::sleep(Duration::from_micros(random.below(60_000))).await;
            starting.kill();
            at_start += 1;
        }
        let child = Child::start(&settings).expect("it starts on the folder of the killed server");
        let mut writers = connect_all(child.address, GROUPS, REPLICAS).await;
        found += model.check(&mut writers).await.unwrap_or_else(|wrong| panic!("after kill {round}: {wrong:#?}"));
        if round == kills {
            assert_eq!(child.end(), "", "the server printed errors");
            break;
        }
        let tally = Tally::until(1 + random.below(1_000));
        // A random delay, so that the kill hits the server at different points of its work.
        let moment = Duration::from_micros(random.below(3_000));
        let killing = async {
            tally.reached().await;
            tokio::time::sleep(moment).await;
            tokio::task::spawn_blocking(|| child.kill()).await.unwrap()
        };
        let seeds: Vec<Random> = writers.iter().map(|_| random.fork()).collect();
        let from = (round + 1) * 1_000_000;
        let writing =
            writers.iter_mut().zip(seeds).map(|(writer, random)| writer.write(random, from, usize::MAX, &tally));
        let (errors, _) = join(killing, join_all(writing)).await;
        assert_eq!(errors, "", "the server printed errors before it was killed");
        model.learn(&writers);
        acknowledged += writers.iter().map(|writer| writer.acknowledged.len()).sum::<usize>();
        unanswered += writers.iter().map(|writer| writer.sent.len() - writer.acknowledged.len()).sum::<usize>();
    }
    assert!(acknowledged > 0 && found > 0);
    println!(
        "kill: {kills} kills survived, {acknowledged} writes acknowledged, {found} values looked for and found again; \
         {} sockets were open and {unanswered} writes in flight when it was killed; {at_start} more kills during the start",
        GROUPS * REPLICAS * ledger::SEATS
    );
}
