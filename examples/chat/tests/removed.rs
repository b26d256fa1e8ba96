//! A user who was removed, and the end of the program.

use dog_test_support::client::next_second;
use program::{Program, closed};

mod program;

#[tokio::test]
async fn who_was_removed_stays_out_after_the_program_was_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let flags = ["--data", data.to_str().expect("a path in UTF-8")];
    let program = Program::start(folder.path(), &flags);
    let [ann, bob] = [program.log_in("ann").await, program.log_in("bob").await];
    let mut socket = program.enter(&ann).await.expect("a session");
    assert_eq!(program.remove("ann").await, r#"{"sockets":1}"#);
    assert_eq!(closed(&mut socket).await, 4003);
    assert_eq!(program.enter(&ann).await.err(), Some(4403));
    // SIGKILL, right after the answer.
    assert_eq!(program.remove("bob").await, r#"{"sockets":0}"#);
    drop(program);

    let program = Program::start(folder.path(), &flags);
    for session in [&ann, &bob] {
        assert_eq!(program.enter(session).await.err(), Some(4403));
    }
    let cid = program.log_in("cid").await;
    assert!(program.enter(&cid).await.is_ok());
    next_second().await;
    let again = program.log_in("ann").await;
    assert!(program.enter(&again).await.is_ok(), "a new session");
}
