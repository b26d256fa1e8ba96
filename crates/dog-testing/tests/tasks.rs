//! Tasks and timers, to the millisecond: a task ends with its object's life, keeps it in memory until then, and an interval
//! keeps to its grid. On a real clock ticks may be late.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dog::http::StatusCode;
use dog::{
    Context, Env, Failure, Group, GroupContext, Limit, Message, Replica, Request, Response, Result, Socket, Task,
};
use dog_test_support::app::{House, MAIN};
use dog_testing::{ClientSocket, Cluster};
use futures_util::FutureExt;

const SECOND: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(50);

/// What tasks have done.
#[derive(Default)]
struct Seen {
    ticks: AtomicU64,
    said: Mutex<Vec<String>>,
    /// Whether the next `activate` of a Replica fails after it has spawned a task.
    activate_fails: AtomicBool,
}

impl Seen {
    fn ticks(&self) -> u64 {
        self.ticks.load(Ordering::SeqCst)
    }

    fn say(&self, text: impl Into<String>) {
        self.said.lock().unwrap().push(text.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.said.lock().unwrap())
    }
}

fn seen(env: &Env) -> Arc<Seen> {
    env.get::<Arc<Seen>>().cloned().expect("the test has set it")
}

thread_local! {
    /// The handle of a task, kept beyond the life of its object.
    static KEPT: RefCell<Option<Task<()>>> = RefCell::default();
}

/// Says when it is dropped.
struct Dropped(Arc<Seen>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.say("dropped");
    }
}

struct Hall;

impl Group for Hall {
    type Replica = Room;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "hall";

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self)
    }

    fn limit(&self) -> Limit {
        Limit::new(1)
    }

    /// Ticks until the end of its life.
    async fn receive(&self, cx: &GroupContext, _: Request) -> Result<Response> {
        let (task, mut interval) = (cx.clone(), cx.interval(TICK));
        cx.spawn(async move {
            loop {
                interval.tick().await;
                seen(task.env()).ticks.fetch_add(1, Ordering::SeqCst);
            }
        })?;
        Ok(dog::text_response(StatusCode::OK, "ticks"))
    }
}

struct Room;

impl Replica for Room {
    type Group = Hall;
    type Gossip = ();
    type Answer = ();

    async fn activate(cx: &Context<Self>) -> Result<Self> {
        if seen(cx.env()).activate_fails.swap(false, Ordering::SeqCst) {
            tick(cx)?;
            return Err(Failure::new("it cannot be activated"));
        }
        Ok(Self)
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        Ok(cx.connect(request))
    }

    async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> Result {
        let seen = seen(cx.env());
        let (task, socket) = (cx.clone(), socket.clone());
        match message.as_text().unwrap_or_default() {
            "tick" => drop(tick(cx)?),
            "tick and go" => tick(cx)?.abort(),
            "keep" => {
                let dropped = Dropped(seen);
                let kept = cx.spawn(async move {
                    let _dropped = dropped;
                    std::future::pending::<()>().await;
                })?;
                KEPT.set(Some(kept));
            }
            "slow" => drop(cx.spawn(slow(task, socket))?),
            "panic" => panic!("a handler has had enough"),
            "panic later" => drop(cx.spawn(async move {
                task.sleep(SECOND).await;
                panic!("a task has had enough");
            })?),
            "until stopping" => drop(cx.spawn(async move {
                task.stopping().await;
                seen.say("stopping");
            })?),
            "timeout" => {
                let outcome = cx.timeout(SECOND, cx.sleep(2 * SECOND)).await;
                seen.say(format!("{} at {}", outcome.is_err_and(|error| error.is_deadline()), cx.now().as_millis()));
            }
            other => socket.send(other)?,
        }
        Ok(())
    }
}

fn tick(cx: &Context<Room>) -> Result<Task<()>, dog::Error> {
    let (task, mut interval) = (cx.clone(), cx.interval(TICK));
    cx.spawn(async move {
        loop {
            interval.tick().await;
            seen(task.env()).ticks.fetch_add(1, Ordering::SeqCst);
        }
    })
}

/// Sends how many ticks were skipped before each tick, and when it came, while it pauses between them.
async fn slow(cx: Context<Room>, socket: Socket) {
    let (start, mut interval) = (cx.now(), cx.interval(TICK));
    for pause in [0, 60, 20, 250, 0, 0] {
        let skipped = interval.tick().await;
        let _ = socket.send(format!("{skipped} at {}", cx.now().since(start).as_millis()));
        cx.sleep(Duration::from_millis(pause)).await;
    }
}

fn house() -> (Cluster, Arc<Seen>) {
    let seen = Arc::<Seen>::default();
    (Cluster::builder(House::<Hall>::new()).env(Env::new().with(Arc::clone(&seen))).start(), seen)
}

/// Sends a command that begins a task.
fn begin(cluster: &Cluster, socket: &ClientSocket, command: &str) {
    socket.send(command);
    cluster.run();
}

#[test]
fn an_interval_of_50_ms_ticks_20_times_per_second() {
    let (cluster, seen) = house();
    let ann = cluster.connect("/ws?u=ann");
    begin(&cluster, &ann, "tick");
    cluster.advance(TICK - Duration::from_millis(1));
    assert_eq!(seen.ticks(), 0, "the first comes after one period");
    cluster.advance(Duration::from_millis(1));
    assert_eq!(seen.ticks(), 1);
    cluster.advance(3600 * SECOND - TICK);
    assert_eq!(seen.ticks(), 72_000, "ticks of an hour");
}

#[test]
fn ticks_that_nobody_awaits_are_skipped_and_the_others_keep_to_the_grid() {
    let (cluster, _) = house();
    let ann = cluster.connect("/ws?u=ann");
    begin(&cluster, &ann, "slow");
    cluster.advance(SECOND);
    // The third is late by 10 ms and comes at once. The pause of 250 ms passes over those at 200, 250, 300 and 350 ms.
    let expected = ["0 at 50", "0 at 100", "0 at 160", "0 at 200", "4 at 450", "0 at 500"];
    assert_eq!(ann.received_texts(), expected);
}

#[test]
fn a_timeout_ends_a_future_at_its_time() {
    let (cluster, seen) = house();
    let ann = cluster.connect("/ws?u=ann");
    let due = cluster.now() + SECOND;
    begin(&cluster, &ann, "timeout");
    cluster.advance(10 * SECOND);
    assert_eq!(seen.take(), [format!("true at {}", due.as_millis())]);
}

/// Lets a task tick, ends its life in some way, and checks that it has ticked as long as it lived and not afterwards.
fn ends_with(end: impl FnOnce(&Cluster, &ClientSocket)) {
    let (cluster, seen) = house();
    let ann = cluster.connect("/ws?u=ann");
    begin(&cluster, &ann, "tick");
    begin(&cluster, &ann, "keep");
    cluster.advance(SECOND);
    assert_eq!((seen.ticks(), seen.take().len()), (20, 0));
    end(&cluster, &ann);
    cluster.run();
    assert_eq!(seen.take(), ["dropped"], "what the task held");
    let handle = KEPT.take().expect("it was kept");
    assert!(handle.is_finished());
    assert!(handle.now_or_never().is_some_and(|outcome| outcome.is_err_and(|error| error.is_closed())));
    let again = cluster.connect("/ws?u=ann");
    cluster.advance(SECOND);
    assert!(again.is_open());
    assert_eq!(seen.ticks(), 20, "ticks of a life that has ended");
}

#[test]
fn a_task_ends_with_its_life() {
    ends_with(|_, ann| ann.send("panic"));
    ends_with(|cluster, ann| assert!(cluster.crash_replica(ann.replica())));
}

#[test]
fn a_task_that_panics_ends_its_object_and_is_reported() {
    let (cluster, seen) = house();
    let [ann, bob] = ["ann", "bob"].map(|name| cluster.connect(&format!("/ws?u={name}")));
    begin(&cluster, &ann, "tick");
    begin(&cluster, &ann, "panic later");
    begin(&cluster, &bob, "tick");
    cluster.advance(SECOND);
    assert_eq!(ann.closed().map(|close| close.code()), Some(dog::CloseCode::HANDLER_FAILED));
    assert!(bob.is_open());
    let failures = cluster.failures();
    let told = |failure: &String| {
        failure.contains("a task has had enough") && failure.contains(&format!("{:?}", ann.replica()))
    };
    assert!(failures.len() == 1 && failures.iter().all(told), "{failures:?}");
    let before = seen.ticks();
    cluster.advance(SECOND);
    assert_eq!(seen.ticks() - before, 20, "only the other Replica ticks");
}

#[test]
fn a_task_of_an_activation_that_fails_ends_with_it() {
    let (cluster, seen) = house();
    seen.activate_fails.store(true, Ordering::SeqCst);
    assert!(cluster.get("/ws?u=ann").status().is_server_error());
    assert_eq!(cluster.failures().len(), 1);
    cluster.advance(SECOND);
    assert_eq!(seen.ticks(), 0);
}

#[test]
fn an_aborted_task_does_not_run_any_more() {
    let (cluster, seen) = house();
    let ann = cluster.connect("/ws?u=ann");
    begin(&cluster, &ann, "tick and go");
    cluster.advance(SECOND);
    assert_eq!((seen.ticks(), ann.is_open()), (0, true));
}

#[test]
fn a_task_keeps_its_object_in_memory_until_it_ends() {
    let seen = Arc::<Seen>::default();
    let env = Env::new().with(Arc::clone(&seen));
    let cluster = Cluster::builder(House::<Hall>::new()).env(env).hibernate_after(5 * SECOND).start();
    let ann = cluster.connect("/ws?u=ann");
    begin(&cluster, &ann, "keep");
    cluster.advance(60 * SECOND);
    assert!(cluster.is_awake(ann.replica()) && !cluster.evict_replica(ann.replica()));
    KEPT.take().expect("it was kept").abort();
    cluster.advance(20 * SECOND);
    assert!(!cluster.is_awake(ann.replica()) && ann.is_open());
    assert_eq!(seen.take(), ["dropped"]);
    begin(&cluster, &ann, "tick");
    cluster.advance(60 * SECOND);
    assert_eq!(seen.ticks(), 1200, "the next life has tasks of its own");
}

#[test]
fn a_task_learns_that_the_server_shuts_down() {
    let (cluster, seen) = house();
    let ann = cluster.connect("/ws?u=ann");
    begin(&cluster, &ann, "until stopping");
    cluster.advance(60 * SECOND);
    assert_eq!(seen.take(), [""; 0]);
    cluster.begin_shutdown();
    cluster.run();
    assert_eq!(seen.take(), ["stopping"]);
}

#[test]
fn a_group_has_tasks_that_end_with_its_life() {
    let seen = Arc::<Seen>::default();
    let env = Env::new().with(Arc::clone(&seen));
    let cluster = Cluster::builder(House::<Hall>::new()).env(env).hibernate_after(SECOND).start();
    assert_eq!(cluster.get("/group").status(), StatusCode::OK);
    cluster.advance(60 * SECOND);
    assert_eq!(seen.ticks(), 1200, "it keeps the Group in memory");
    assert!(cluster.is_group_awake::<Hall>(MAIN) && !cluster.evict_group::<Hall>(MAIN));
    assert!(cluster.restart_group::<Hall>(MAIN));
    cluster.advance(60 * SECOND);
    assert_eq!((seen.ticks(), cluster.is_group_awake::<Hall>(MAIN)), (1200, false));
}
