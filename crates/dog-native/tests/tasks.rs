//! Tasks of objects on the native host: what a shutdown does to them, and what they may call.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dog::http::StatusCode;
use dog::{Context, Env, Replica, Request, Response, Result, Task, text_response};
use dog_native::{Running, Server};
use dog_test_support::app::{Bare, House};
use dog_test_support::client::{http, within};

const HOUR: Duration = Duration::from_secs(3600);

/// What the tasks have done.
#[derive(Default)]
struct Seen {
    ticks: AtomicUsize,
    said: Mutex<Vec<&'static str>>,
}

impl Seen {
    fn say(&self, what: &'static str) {
        self.said.lock().unwrap().push(what);
    }
}

/// Says when it is dropped.
struct Dropped(Arc<Seen>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.say("dropped");
    }
}

type Hall = Bare<Room, 10>;

struct Room;

impl Replica for Room {
    type Group = Hall;
    type Gossip = ();
    type Answer = ();

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self)
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        match request.uri().path() {
            "/polite" => drop(polite(cx)?),
            "/endless" => drop(endless(cx)?),
            _ => return Ok(text_response(StatusCode::OK, format!("{:?}", cx.storage().get::<u32>("last").await?))),
        }
        Ok(text_response(StatusCode::OK, "begun"))
    }
}

/// A task that finishes its work when it is told of the end of the server.
fn polite(cx: &Context<Room>) -> Result<Task<()>> {
    let task = cx.clone();
    let work = async move {
        task.stopping().await;
        for number in 1..=5 {
            task.sleep(Duration::from_millis(10)).await;
            task.storage().put("last", &number).await?;
        }
        Ok::<(), dog::Error>(())
    };
    let seen = seen(cx);
    Ok(cx.spawn(async move { seen.say(if work.await.is_ok() { "finished" } else { "failed" }) })?)
}

/// A task that only the end of its object ends.
fn endless(cx: &Context<Room>) -> Result<Task<()>> {
    let (seen, mut interval) = (seen(cx), cx.interval(Duration::from_millis(5)));
    let dropped = Dropped(Arc::clone(&seen));
    Ok(cx.spawn(async move {
        let _dropped = dropped;
        loop {
            interval.tick().await;
            seen.ticks.fetch_add(1, Ordering::SeqCst);
        }
    })?)
}

fn seen(cx: &Context<Room>) -> Arc<Seen> {
    cx.env().get::<Arc<Seen>>().cloned().unwrap()
}

async fn start(set: impl FnOnce(Server<House<Hall>>) -> Server<House<Hall>>) -> (Running, Arc<Seen>) {
    let seen = Arc::<Seen>::default();
    let server = Server::new(House::new()).bind("127.0.0.1:0").workers(2).env(Env::new().with(Arc::clone(&seen)));
    (set(server).start().await.unwrap(), seen)
}

/// Sends a request of a client. Returns the body of the response.
async fn get(running: &Running, path: &str) -> String {
    http(running.local_addr(), "GET", &format!("{path}?u=client"), "").await.body
}

async fn shut_down(running: Running) {
    within("the end of the server", running.shutdown()).await;
}

#[tokio::test]
async fn a_task_that_is_told_of_the_end_finishes_its_work() {
    let folder = tempfile::tempdir().unwrap();
    let (running, seen) = start(|server| server.data(folder.path()).drain_within(HOUR)).await;
    assert_eq!(get(&running, "/polite").await, "begun");
    shut_down(running).await;
    assert_eq!(*seen.said.lock().unwrap(), ["finished"]);
    let (running, _) = start(|server| server.data(folder.path())).await;
    assert_eq!(get(&running, "/last").await, "Some(5)");
    shut_down(running).await;
}

#[tokio::test]
async fn a_task_that_does_not_end_is_ended_with_the_server() {
    let (running, seen) = start(|server| server.drain_within(Duration::from_millis(100))).await;
    assert_eq!(get(&running, "/endless").await, "begun");
    shut_down(running).await;
    assert_eq!(*seen.said.lock().unwrap(), ["dropped"]);
    let ticks = seen.ticks.load(Ordering::SeqCst);
    assert!(ticks > 0, "it was given time");
    assert_eq!(Arc::strong_count(&seen), 1, "nothing of the server is left that could tick");
}
