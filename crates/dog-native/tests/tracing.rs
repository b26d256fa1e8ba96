//! A request in the log: one span at the front, and below it the spans of what the request causes, on all threads.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod common;
mod lines;

use common::{connect, start};
use lines::Lines;
use tracing_subscriber::fmt::format::FmtSpan;

#[tokio::test]
async fn spans_follow_a_request_to_its_group_and_its_replica() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber =
        tracing_subscriber::fmt().json().with_span_events(FmtSpan::ENTER).with_writer(move || writer.clone());
    // This subscriber is for all threads of the process, which runs only this test.
    tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
    let (running, _) = start(|server| server).await;
    let (_client, replica) = connect(&running, "ann", "r").await;
    running.shutdown().await;

    let text = lines.text();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let begun = |name: &str, act: &str| {
        let right = |line: &&serde_json::Value| line["span"]["name"] == name && line["span"]["act"] == act;
        lines.iter().find(right).unwrap_or_else(|| panic!("no {name} {act} in {text}")).clone()
    };
    let (identify, fetch) = (begun("group", "call"), begun("replica", "fetch"));
    for line in [&identify, &fetch] {
        let request = &line["spans"][0];
        assert_eq!(
            (&request["name"], &request["method"], &request["path"]),
            (&"request".into(), &"GET".into(), &"/".into())
        );
        assert_eq!(request["number"], identify["spans"][0]["number"]);
    }
    assert_eq!(fetch["span"]["id"], replica);
    assert_eq!(fetch["span"]["group"], identify["span"]["id"]);
    assert!(!text.contains("u=ann"), "the query may hold secrets");
}

#[cfg(twins)]
#[path = "../../dog-conformance/tests/twins/mod.rs"]
mod twins;

#[cfg(twins)]
#[test]
fn two_groups_of_one_name_do_not_compile() {
    let _ = dog_native::Server::new(twins::Twins).service();
}
