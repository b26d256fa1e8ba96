//! A job is watched from a page in a real browser, by its `WebSocket` and by its `EventSource`: both hear the same.
//!
//! Run it with `cargo test -p jobs --features browser --test browser`.

use dog::{Env, Limit};
use dog_native::Server;
use dog_test_support::browser::{Look, browse};
use dog_test_support::client::http;
use jobs::Jobs;
use serde_json::json;

/// A script that watches the pool in both ways.
const WATCH: &str = "(() => {
    window.told = { socket: [], events: [] };
    window.watchers = [
        new WebSocket(`ws://${location.host}/jobs/reports/ws?u=ann`),
        new EventSource('/jobs/reports/events?u=bob'),
    ];
    watchers[0].onmessage = ({ data }) => told.socket.push(JSON.parse(data));
    watchers[1].onmessage = ({ data }) => told.events.push(JSON.parse(data));
})()";

#[tokio::test]
async fn a_page_sees_progress_by_websocket_and_by_event_source() {
    // A Replica has one seat, so the two watchers are on two Replicas.
    let server = Server::new(Jobs).env(Env::new().with(Limit::new(1))).bind("127.0.0.1:0").workers(2);
    let running = server.start().await.expect("a port is free");
    let address = running.local_addr();
    browse([Look::DESKTOP], async |[page]| {
        // Any page of this origin may open both.
        page.goto(&format!("http://{address}/jobs/reports")).await;
        page.eval(WATCH).await;
        page.wait_for("watchers.map((watcher) => watcher.readyState)", &json!([1, 1])).await;
        let answer = http(address, "POST", "/jobs/reports?fail=1", "one two two").await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        let states = |way: &str| format!("told.{way}.map(({{ state, percent, words }}) => percent ?? words ?? state)");
        let expected = json!(["failed", 0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 3]);
        for way in ["socket", "events"] {
            page.wait_for(&states(way), &expected).await;
        }
        // The event stream ends, and the page hears it after its browser has connected again.
        assert_eq!(http(address, "DELETE", "/jobs/reports/1", "").await.status, 204);
        page.wait_for("told.events.at(-1).state", &json!("cancelled")).await;
    })
    .await;
    running.shutdown().await;
}
