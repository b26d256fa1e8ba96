//! What a pool of jobs does, on the clock of the test kit: when jobs run, who hears of them, and what survives a crash.

use std::time::Duration;

use dog::http::{Method, StatusCode};
use dog::{Body, Env, Limit, Request};
use dog_testing::Cluster;
use jobs::{Jobs, Pool};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

/// A Replica has one seat, so each client has a Replica of its own.
fn start() -> Cluster {
    Cluster::builder(Jobs).env(Env::new().with(Limit::new(1))).start()
}

fn send(cluster: &Cluster, method: Method, path: &str, body: &str) -> (StatusCode, Value) {
    let mut request = Request::new(Body::from(body.to_owned()));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().expect("a path");
    let response = cluster.fetch(request);
    let (status, text) = (response.status(), cluster.read_text(response));
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

fn post(cluster: &Cluster, path: &str, text: &str) -> u64 {
    let (status, answer) = send(cluster, Method::POST, path, text);
    assert_eq!((status, &answer["state"]), (StatusCode::ACCEPTED, &json!("waiting")), "{answer}");
    answer["id"].as_u64().expect("a number")
}

fn list(cluster: &Cluster) -> Vec<Value> {
    let (status, answer) = send(cluster, Method::GET, "/jobs/reports", "");
    assert_eq!(status, StatusCode::OK);
    answer.as_array().expect("a list").clone()
}

/// The states of one job, in the order in which they were told.
fn states(told: &[Value], id: u64) -> Vec<&str> {
    told.iter().filter(|told| told["id"] == id).map(|told| told["state"].as_str().expect("a text")).collect()
}

#[test]
fn a_job_runs_at_its_time_and_every_watcher_sees_each_step() {
    let cluster = start();
    let ann = cluster.connect("/jobs/reports/ws?u=ann");
    let bob = cluster.open_events("/jobs/reports/events?u=bob");
    let cid = cluster.connect("/jobs/letters/ws?u=cid");
    let id = post(&cluster, "/jobs/reports?in=60", "the dog and the other dog");
    cluster.advance(59 * SECOND);
    assert_eq!(states(&ann.received_json(), id), ["waiting"]);
    cluster.advance(3 * SECOND);
    let told: Vec<Value> = ann.received_json();
    let percent: Vec<_> = told.iter().filter_map(|told| told["percent"].as_u64()).collect();
    assert_eq!(percent, [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
    assert_eq!(told.last(), Some(&json!({ "id": id, "state": "done", "words": 6 })));
    let by_event_stream: Vec<Value> = bob.received_json();
    assert_eq!(by_event_stream[1..], told);
    assert_eq!(by_event_stream[0]["state"], "waiting");
    assert_eq!(cid.received(), [], "it watches another pool");
    assert_eq!(list(&cluster), [json!({ "id": id, "state": "done", "words": 6 })]);
    cluster.advance(3600 * SECOND);
    assert_eq!(list(&cluster), [json!(null); 0], "it is forgotten after an hour");
}

#[test]
fn a_job_that_fails_is_tried_again_and_delays_no_other() {
    let cluster = start();
    let ann = cluster.connect("/jobs/reports/ws?u=ann");
    let flaky = post(&cluster, "/jobs/reports?fail=2", "a b");
    let other = post(&cluster, "/jobs/reports", "a b c");
    cluster.advance(Duration::from_millis(1_500));
    let told: Vec<Value> = ann.received_json();
    assert_eq!(states(&told, other).last(), Some(&"done"));
    assert_eq!(states(&told, flaky), ["failed", "failed"]);
    cluster.advance(5 * SECOND);
    assert_eq!(ann.received_json::<Value>().last(), Some(&json!({ "id": flaky, "state": "done", "words": 2 })));
}

#[test]
fn jobs_survive_a_crash_and_each_is_done_once() {
    let cluster = Cluster::builder(Jobs).nodes(2).start();
    let now = post(&cluster, "/jobs/reports", "runs when the machine dies");
    let later = post(&cluster, "/jobs/reports?in=30", "has not begun");
    cluster.advance(Duration::from_millis(300));
    cluster.crash_node(cluster.node_of_group::<Pool>("reports").unwrap());
    cluster.advance(120 * SECOND);
    let done = |id: u64, words: u64| json!({ "id": id, "state": "done", "words": words });
    assert_eq!(list(&cluster), [done(now, 5), done(later, 3)]);
}

#[test]
fn a_job_that_is_taken_back_does_not_run() {
    let cluster = start();
    let ann = cluster.connect("/jobs/reports/ws?u=ann");
    let waits = post(&cluster, "/jobs/reports?in=5", "a");
    let runs = post(&cluster, "/jobs/reports", "b");
    cluster.advance(Duration::from_millis(500));
    for id in [waits, runs] {
        let path = format!("/jobs/reports/{id}");
        assert_eq!(send(&cluster, Method::DELETE, &path, "").0, StatusCode::NO_CONTENT);
        assert_eq!(send(&cluster, Method::DELETE, &path, "").0, StatusCode::NOT_FOUND);
    }
    cluster.advance(60 * SECOND);
    let told: Vec<Value> = ann.received_json();
    assert_eq!(states(&told, waits), ["waiting", "cancelled"]);
    assert!(!states(&told, runs).contains(&"done"), "{told:?}");
    assert_eq!((list(&cluster), cluster.alarm_of_group::<Pool>("reports")), (vec![], None));
}

#[test]
fn bad_requests_are_told_what_is_wrong() {
    let cluster = start();
    let long = "x".repeat(15 * 1024 + 1);
    for (method, path, body, status) in [
        (Method::GET, "/", "", 404),
        (Method::GET, "/jobs", "", 404),
        (Method::GET, "/jobs/", "", 400),
        (Method::GET, "/jobs/%20", "", 400),
        (Method::GET, "/jobs/reports/ws?u=ann", "", 426),
        (Method::GET, "/jobs/reports/events", "", 400),
        (Method::GET, "/jobs/reports/7", "", 404),
        (Method::PUT, "/jobs/reports", "", 405),
        (Method::POST, "/jobs/reports/ws?u=ann", "", 405),
        (Method::POST, "/jobs/reports?in=soon", "", 400),
        (Method::POST, "/jobs/reports?in=31536001", "", 400),
        (Method::POST, "/jobs/reports?fail=-1", "", 400),
        (Method::POST, "/jobs/reports", &long, 413),
        (Method::DELETE, "/jobs/reports/7", "", 404),
    ] {
        assert_eq!(send(&cluster, method.clone(), path, body).0.as_u16(), status, "{method} {path}");
    }
    let longest = "x".repeat(15 * 1024);
    post(&cluster, "/jobs/reports", &longest);
}
