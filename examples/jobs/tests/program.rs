//! The native program: a job over real sockets, its command line, and what its operator sees.

use dog::{Env, Limit};
use dog_native::Server;
use dog_test_support::client::{Client, http};
use dog_test_support::command_line;
use jobs::Jobs;
use serde_json::Value;

#[tokio::test]
async fn a_job_runs_and_its_watchers_see_it() {
    let server = Server::new(Jobs).env(Env::new().with(Limit::new(1))).bind("127.0.0.1:0").workers(2);
    let running = server.start().await.expect("a port is free");
    let address = running.local_addr();
    let mut watchers = vec![Client::connect(address, "/jobs/reports/ws?u=ann").await];
    watchers.push(Client::connect(address, "/jobs/reports/ws?u=bob").await);
    let answer = http(address, "POST", "/jobs/reports", "one two two").await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let id = serde_json::from_str::<Value>(&answer.body).expect("JSON")["id"].clone();
    for watcher in &mut watchers {
        let mut told = watcher.next().await;
        while told["state"] != "done" {
            assert_eq!(told["id"], id, "{told}");
            told = watcher.next().await;
        }
        assert_eq!(told["words"], 3);
    }
    let listed = http(address, "GET", "/jobs/reports", "").await;
    assert!(listed.body.contains(r#""state":"done""#), "{}", listed.body);
}

#[tokio::test]
async fn the_command_line_says_what_is_wrong() {
    let program = env!("CARGO_BIN_EXE_jobs");
    command_line::check_command_line(program).await;
    command_line::misused(program, &["--limit", "0"], "--limit <SEATS>");
    command_line::refused(program, &["--workers", "0"], "workers");
}

#[tokio::test]
async fn its_operator_sees_it_and_ends_it() {
    command_line::check_operating(env!("CARGO_BIN_EXE_jobs"), &[], "/jobs/reports/ws?u=user{}").await;
}

#[tokio::test]
async fn it_speaks_tls() {
    command_line::check_tls(env!("CARGO_BIN_EXE_jobs")).await;
}
