//! The virtual clock, and what the seed determines.

use std::time::Duration;

use dog::http::StatusCode;

use super::app::{HALL, Hall, builder, enter, hall, tell};

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn the_clock_stands_still_until_it_is_moved() {
    let cluster = hall(2);
    let began = cluster.now();
    let [ann] = enter(&cluster, ["ann"]);
    tell(&cluster, &ann, "alarm 60");
    assert_eq!(cluster.now(), began);
    assert_eq!(cluster.alarm_of_replica(ann.replica()), Some(began + MINUTE));

    cluster.advance(MINUTE - Duration::from_millis(1));
    assert_eq!(ann.received_texts(), [""; 0]);
    cluster.advance(Duration::from_millis(1));
    assert_eq!(ann.received_texts(), ["the alarm"]);
    assert_eq!((cluster.now(), cluster.alarm_of_replica(ann.replica())), (began + MINUTE, None));
}

#[test]
fn a_group_has_alarms_and_storage_too() {
    let cluster = hall(2);
    assert!(!cluster.is_group_awake::<Hall>(HALL));
    assert_eq!(cluster.get("/group").status(), StatusCode::OK);
    assert!(cluster.is_group_awake::<Hall>(HALL));
    assert_eq!(cluster.stored_by_group::<Hall, bool>(HALL, "asked"), Some(true));
    let at = cluster.alarm_of_group::<Hall>(HALL).unwrap();
    assert_eq!(at, cluster.now() + MINUTE);
    cluster.advance(MINUTE);
    assert_eq!(cluster.stored_by_group::<Hall, u64>(HALL, "rung"), Some(at.as_millis()));
    assert_eq!(cluster.alarm_of_group::<Hall>(HALL), None);
}

/// The configured time is longer than the 30 s after which a Group asks its members for their seats. These questions
/// must not keep members awake.
#[test]
fn an_idle_object_hibernates_after_the_configured_time() {
    let cluster = builder(2).hibernate_after(MINUTE).start();
    let [ann] = enter(&cluster, ["ann"]);
    assert_eq!(tell(&cluster, &ann, "count"), ["1"]);
    cluster.advance(MINUTE / 2);
    assert!(cluster.is_awake(ann.replica()));
    cluster.advance(MINUTE);
    assert!(!cluster.is_awake(ann.replica()) && ann.is_open());
    assert_eq!(tell(&cluster, &ann, "count"), ["1"], "a new life has a new field");
}

/// Lets four clients broadcast at the same time. Returns what each receives, in order, and the ids of the Replicas.
fn babel(seed: u64) -> Vec<String> {
    let cluster = builder(1).seed(seed).network_delay(Duration::from_millis(1), Duration::from_millis(50)).start();
    let all = enter(&cluster, ["ann", "bob", "cid", "dan"]);
    all.iter().for_each(|socket| socket.send(format!("all {}", socket.client())));
    cluster.run();
    assert!(all.iter().all(|socket| socket.received().is_empty()), "the messages are still on their way");
    cluster.advance(Duration::from_secs(1));
    let heard = all[0].received_texts();
    assert_eq!(heard.len(), 4);
    heard.into_iter().chain([format!("{:?}", all[3].replica())]).collect()
}

#[test]
fn the_same_seed_gives_the_same_run_and_others_differ() {
    assert_eq!(babel(1), babel(1));
    let orders: std::collections::BTreeSet<Vec<String>> = (0..8).map(babel).map(|heard| heard[..4].to_vec()).collect();
    assert!(orders.len() > 1, "{orders:?}");
    assert_ne!(babel(1)[4], babel(2)[4], "ids follow from the seed");
}

#[test]
#[should_panic(expected = "ReplicaId(")]
fn a_task_that_wakes_itself_forever_panics_with_its_name() {
    let cluster = builder(2).max_steps(10_000).start();
    let [ann] = enter(&cluster, ["ann"]);
    ann.send("spin");
    cluster.run();
}

#[test]
#[should_panic(expected = "/never?u=ann was not answered within 120 s")]
fn a_request_that_waits_forever_panics() {
    let _ = hall(2).get("/never?u=ann");
}
