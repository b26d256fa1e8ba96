//! What objects store across restarts of the server: values, alarms and a Group's members; and which data folders are
//! refused. The conformance suite tests storage within one life of a server.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod keeper;

use std::time::Duration;

use dog_native::Server;
use keeper::{Keeper, ask, ask_at, start};

#[tokio::test]
async fn what_was_put_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(folder.path()).await;
    ask(&running, "ann", "put/a/1").await;
    ask(&running, "ann", "put/b/2").await;
    ask(&running, "ann", "delete/a").await;
    ask(&running, "ann", "move/b/c").await;
    running.shutdown().await;
    let running = start(folder.path()).await;
    assert_eq!(ask(&running, "ann", "list").await, "c=2");
    running.shutdown().await;
}

#[tokio::test]
async fn a_cluster_is_one_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(folder.path()).await;
    // A Replica has 100 seats, and the requests come one after another, so one Replica serves all of them.
    let first = ask(&running, "ann", "id").await;
    ask(&running, "ann", "put/who/ann").await;
    running.shutdown().await;
    let running = start(folder.path()).await;
    // The Group stores its members, so the Replica is the same one, and has what it stored.
    assert_eq!(ask(&running, "somebody else", "id").await, first);
    assert_eq!(ask(&running, "somebody else", "list").await, "who=ann");
    running.shutdown().await;
}

#[tokio::test]
async fn a_life_reads_what_the_one_before_it_has_left_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(folder.path()).await;
    // The value is so large that its write takes longer than the next request takes to arrive.
    for key in 0..20 {
        let panicked = ask_at(running.local_addr(), "ann", &format!("put_and_panic/{key}/2000000")).await;
        assert!(panicked.unwrap_err().to_string().starts_with("HTTP/1.1 50"));
        assert_eq!(ask(&running, "ann", &format!("length/{key}")).await, "2000000");
    }
    running.shutdown().await;
}

#[tokio::test]
async fn an_alarm_rings_after_a_restart_and_again_after_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(folder.path()).await;
    // Late enough to be set before the server ends, and early enough to be due soon after it is back.
    ask(&running, "ann", "alarm/300").await;
    running.shutdown().await;
    let running = start(folder.path()).await;
    let rung = async {
        // The handler fails the first time, panics the second, and succeeds the third.
        while ask(&running, "ann", "list").await != "rung=3" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), rung).await.expect("the alarm rings until it succeeds");
    assert_eq!(ask(&running, "ann", "next_alarm").await, "none");
    running.shutdown().await;
}

#[tokio::test]
async fn a_folder_in_use_is_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(folder.path()).await;
    let error =
        Server::new(Keeper).bind("127.0.0.1:0").data(folder.path()).start().await.expect_err("the folder is in use");
    assert!(error.is_data());
    let text = error.to_string();
    assert!(text.contains("is in use") && !text.contains('\n'), "{text}");
    running.shutdown().await;
    start(folder.path()).await.shutdown().await;
}

#[tokio::test]
async fn a_damaged_folder_is_told_in_one_line_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(folder.path()).await;
    ask(&running, "ann", "put/a/1").await;
    running.shutdown().await;
    let version = std::fs::read_dir(folder.path().join("objects")).unwrap().map(|entry| entry.unwrap().path());
    let version = version.filter(|path| path.is_file()).max_by_key(|path| path.file_name() == Some("version".as_ref()));
    let path = version.expect("the database has files");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, b"nonsense").unwrap();
    let server = Server::new(Keeper).bind("127.0.0.1:0").data(folder.path());
    let error = server.start().await.expect_err("the folder is damaged");
    assert!(error.is_data() && !error.to_string().contains('\n'), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"nonsense");
    // After the repair everything is there.
    std::fs::write(&path, whole).unwrap();
    let running = start(folder.path()).await;
    assert_eq!(ask(&running, "ann", "list").await, "a=1");
    running.shutdown().await;
}
