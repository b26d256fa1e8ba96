//! Hibernation, crashes, cuts and a disk that fails. Also how a test gets the failures of the user's code.

use std::time::Duration;

use dog::http::StatusCode;
use dog::{CloseCode, Policy};
use dog_testing::websocket;

use super::app::{HALL, Hall, builder, enter, hall, tell};

#[test]
fn an_evicted_replica_keeps_sockets_attachments_and_storage_and_loses_its_fields() {
    let cluster = hall(2);
    let [ann, bob] = enter(&cluster, ["ann", "bob"]);
    tell(&cluster, &ann, "name Ann");
    tell(&cluster, &ann, "put this");
    assert_eq!(tell(&cluster, &ann, "count"), ["3"]);
    bob.send("name Bob");
    assert!(cluster.evict_replica(ann.replica()), "messages on their way are handled first");
    assert!(!cluster.is_awake(ann.replica()) && ann.is_open() && bob.is_open());
    assert_eq!((cluster.seats(ann.replica()), cluster.replicas::<Hall>(HALL).len()), (2, 1));

    assert_eq!(tell(&cluster, &ann, "names"), ["Ann,Bob"]);
    assert!(cluster.is_awake(ann.replica()));
    assert_eq!(tell(&cluster, &ann, "count"), ["2"], "since it was woken");
    assert_eq!(cluster.stored_by_replica(ann.replica(), "kept"), Some("this".to_owned()));
}

#[test]
fn an_object_whose_handler_waits_is_not_evicted() {
    let cluster = hall(2);
    let [ann] = enter(&cluster, ["ann"]);
    ann.send("wait");
    assert!(!cluster.evict_replica(ann.replica()));
    assert!(cluster.is_awake(ann.replica()));
}

#[test]
fn a_group_is_evicted_once_nothing_needs_it() {
    let cluster = hall(2);
    let [ann] = enter(&cluster, ["ann"]);
    tell(&cluster, &ann, "put this");
    let before = ann.replica();
    assert!(!cluster.evict_group::<Hall>(HALL), "a client is connected");
    ann.close();
    cluster.advance(Policy::default().park_after * 2);
    assert!(cluster.evict_group::<Hall>(HALL));
    assert!(!cluster.is_group_awake::<Hall>(HALL));
    let [bob] = enter(&cluster, ["bob"]);
    assert_eq!(bob.replica(), before, "the Group was not evicted");
}

#[test]
fn a_crash_breaks_the_sockets_of_one_replica_and_keeps_its_storage() {
    let cluster = hall(1);
    let [ann, bob] = enter(&cluster, ["ann", "bob"]);
    tell(&cluster, &ann, "put this");
    assert!(cluster.crash_replica(ann.replica()));
    assert!(!cluster.crash_replica(ann.replica()), "it has already crashed");
    cluster.run();
    assert_eq!(ann.closed().unwrap().code(), CloseCode::ABNORMAL);
    assert_eq!(bob.received_texts(), [""; 0], "no handler has run");
    assert_eq!(cluster.seats(ann.replica()), 0);
    assert_eq!(cluster.stored_by_replica(ann.replica(), "kept"), Some("this".to_owned()));
    assert_eq!(tell(&cluster, &bob, "all still here"), ["still here"]);
}

#[test]
fn a_crash_loses_only_writes_that_were_not_acknowledged() {
    let survives = |seed| {
        let cluster = builder(1).seed(seed).write_delay(Duration::from_secs(1)).start();
        let [ann] = enter(&cluster, ["ann"]);
        tell(&cluster, &ann, "put first");
        cluster.advance(Duration::from_secs(1));
        assert_eq!(ann.received_texts(), ["kept"]);
        assert_eq!(tell(&cluster, &ann, "put second"), [""; 0]);
        cluster.crash_replica(ann.replica());
        cluster.advance(Duration::from_secs(1));
        match cluster.stored_by_replica::<String>(ann.replica(), "kept").as_deref() {
            Some("second") => true,
            Some("first") => false,
            other => panic!("what was acknowledged is lost: {other:?}"),
        }
    };
    let survived = (0..32).filter(|seed| survives(*seed)).count();
    assert!((1..32).contains(&survived), "{survived} of 32");
}

#[test]
fn a_restarted_group_finds_its_members() {
    let cluster = hall(2);
    let [ann, bob, cid] = enter(&cluster, ["ann", "bob", "cid"]);
    assert!(cluster.restart_group::<Hall>(HALL));
    assert!(!cluster.restart_group::<Hall>(HALL) && !cluster.is_group_awake::<Hall>(HALL));
    let [dan] = enter(&cluster, ["dan"]);
    assert_eq!(dan.replica(), cid.replica());
    tell(&cluster, &dan, "all one cluster");
    for socket in [&ann, &bob, &cid] {
        assert_eq!(socket.received_texts(), ["one cluster"]);
    }
}

#[test]
fn a_replica_that_is_cut_off_is_missing_until_the_cut_is_healed() {
    let cluster = hall(1);
    let [ann, bob, cid] = enter(&cluster, ["ann", "bob", "cid"]);
    cluster.cut_off_replica(bob.replica());
    assert_eq!(tell(&cluster, &ann, "ask"), [""; 0], "the deadline has not passed");
    cluster.advance(Duration::from_secs(5));
    assert_eq!(ann.received_texts(), ["1 answered, 1 missing"]);
    tell(&cluster, &bob, "all alone");
    assert_eq!((ann.received_texts().len(), cid.received_texts().len()), (0, 0));
    assert!(bob.is_open());

    cluster.heal();
    tell(&cluster, &bob, "ask");
    assert_eq!(tell(&cluster, &ann, "ask"), ["2 answered, 0 missing"]);
}

#[test]
fn a_group_that_is_cut_off_places_nobody_and_its_sockets_go_on() {
    let cluster = hall(1);
    let [ann, bob] = enter(&cluster, ["ann", "bob"]);
    cluster.cut_off_group::<Hall>(HALL);
    let refused = cluster.open(websocket("/ws?u=cid")).unwrap_err();
    assert!(refused.status().is_server_error(), "{}", refused.status());
    tell(&cluster, &ann, "all hello");
    assert_eq!(bob.received_texts(), ["hello"]);
    cluster.heal();
    enter(&cluster, ["cid"]);
}

#[test]
#[should_panic(expected = "to cut off")]
fn an_unknown_replica_cannot_be_cut_off() {
    hall(1).cut_off_replica(dog::ReplicaId::from_name("hall", "never"));
}

#[test]
fn a_write_to_a_disk_that_fails_is_an_error_and_stores_nothing() {
    let cluster = hall(2);
    let [ann] = enter(&cluster, ["ann"]);
    cluster.fail_writes(true);
    let told = tell(&cluster, &ann, "put this");
    assert!(told[0].ends_with("storage: true"), "{told:?}");
    assert_eq!(cluster.stored_by_replica::<String>(ann.replica(), "kept"), None);
    cluster.fail_writes(false);
    assert_eq!(tell(&cluster, &ann, "put this"), ["kept"]);
}

#[test]
fn a_failure_closes_its_socket_and_tells_only_the_test_why() {
    let cluster = hall(2);
    let [ann, bob] = enter(&cluster, ["ann", "bob"]);
    ann.send("fail for a reason");
    cluster.run();
    let closed = ann.closed().unwrap();
    assert_eq!((closed.code(), closed.reason()), (CloseCode::HANDLER_FAILED, ""));
    assert!(bob.is_open());
    assert_eq!(cluster.failures(), [format!("{:?}: on_message failed: for a reason", bob.replica())]);
    assert!(cluster.failures().is_empty(), "each failure is taken once");

    bob.send("panic with a bang");
    cluster.run();
    assert!(!bob.is_open());
    assert_eq!(cluster.failures(), [format!("{:?}: a panic: with a bang", bob.replica())]);
    assert_eq!(cluster.get("/fail").status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(cluster.failures(), ["the App: App::fetch failed: the app has had enough"]);
}

#[test]
fn what_a_socket_keeps_in_memory_is_there_in_its_last_handler_and_lost_at_hibernation() {
    let cluster = hall(3);
    let [ann, bob, cid] = enter(&cluster, ["ann", "bob", "cid"]);
    for socket in [&ann, &bob] {
        tell(&cluster, socket, "note one");
        tell(&cluster, socket, "note two");
    }
    assert_eq!(
        (tell(&cluster, &ann, "notes"), tell(&cluster, &cid, "notes")),
        (vec!["one,two".into()], vec!["".into()])
    );
    ann.close_with(CloseCode::NORMAL, "");
    cluster.run();
    assert_eq!(cid.received_texts(), ["ann closed with 1000 one,two"]);
    assert!(cluster.evict_replica(cid.replica()));
    assert_eq!(bob.received_texts(), ["ann closed with 1000 one,two"]);
    assert_eq!(tell(&cluster, &bob, "notes"), [""]);
    bob.close_with(CloseCode::NORMAL, "");
    cluster.run();
    assert_eq!(cid.received_texts(), ["bob closed with 1000 "]);
    assert!(cluster.failures().is_empty());
}

#[test]
fn a_replica_that_closes_stays_closed_while_it_is_used_and_opens_when_it_was_parked() {
    let cluster = hall(3);
    let [ann] = enter(&cluster, ["ann"]);
    let home = ann.replica();
    tell(&cluster, &ann, "shut");
    let [bob] = enter(&cluster, ["bob"]);
    assert_ne!(bob.replica(), home);
    assert!(cluster.restart_group::<Hall>(HALL));
    let [cid] = enter(&cluster, ["cid"]);
    assert_eq!(cid.replica(), bob.replica(), "the census says that the other is closed");
    assert!(cluster.evict_replica(home), "it hibernates");
    let [dan, tab] = enter(&cluster, ["dan", "ann"]);
    assert_eq!((dan.replica(), tab.replica()), (bob.replica(), home));
    for socket in [&ann, &tab, &bob, &cid, &dan] {
        socket.close();
        cluster.run();
    }
    cluster.advance(Duration::from_secs(121));
    let [eve] = enter(&cluster, ["eve"]);
    assert_eq!(eve.replica(), home, "it was parked before the other");
    assert!(cluster.failures().is_empty());
}

#[test]
fn a_refusal_of_what_a_client_has_done_is_no_failure() {
    let cluster = hall(2);
    for (status, failures) in [(403, 0), (499, 0), (500, 1), (503, 1), (200, 1)] {
        let answer = cluster.get(&format!("/refuse?u=ann&status={status}"));
        let due = if status == 200 { (500, "internal error") } else { (status, "not you") };
        assert_eq!(answer.status().as_u16(), due.0);
        assert_eq!(cluster.read_text(answer), due.1);
        assert_eq!(cluster.failures().len(), failures, "{status}");
    }
}

#[test]
#[should_panic(expected = "a panic: no such thing")]
fn a_refused_connect_says_what_has_failed() {
    let _ = hall(2).connect("/panic?u=ann");
}

#[test]
fn a_node_that_crashes_loses_its_objects_and_they_go_on_elsewhere() {
    let cluster = builder(1).nodes(3).start();
    let [ann, bob, cid] = enter(&cluster, ["ann", "bob", "cid"]);
    tell(&cluster, &ann, "put this");
    let node = cluster.node_of_replica(ann.replica()).expect("it is in memory");
    cluster.crash_node(node);
    cluster.run();
    assert_eq!(ann.closed().unwrap().code(), CloseCode::ABNORMAL);
    assert_eq!(cluster.node_of_replica(ann.replica()), None);

    // The new life of the Group places no client until it has counted its members or two seconds have passed.
    let [back] = enter(&cluster, ["ann"]);
    let survivors = [&bob, &cid].into_iter().filter(|socket| socket.is_open());
    let there: Vec<_> = survivors.chain([&back]).map(|socket| cluster.node_of_replica(socket.replica())).collect();
    assert!(there.iter().all(|at| at.is_some_and(|at| at != node)), "{there:?}, and {node} has crashed");
    assert_ne!(cluster.node_of_group::<Hall>(HALL), Some(node));
    assert_eq!(cluster.stored_by_replica(ann.replica(), "kept"), Some("this".to_owned()));

    assert!(cluster.restart_node(node));
    assert!(!cluster.restart_node(node), "the node is already running");
}

#[test]
#[should_panic(expected = "is the last node")]
fn the_last_node_cannot_crash() {
    hall(1).crash_node(0);
}

#[test]
#[should_panic(expected = "there is no node 3")]
fn an_unknown_node_cannot_crash() {
    builder(1).nodes(3).start().crash_node(3);
}
