//! Many alarms of one object: how many there may be, how many of their handlers run at once, and what happens when the
//! disk fails or the node crashes meanwhile.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use dog::http::StatusCode;
use dog::{
    Alarm, Env, Failure, Group, GroupContext, Limit, List, MAX_ALARMS, Request, Response, Result, Timestamp,
    text_response,
};
use dog_test_support::app::{House, MAIN, Plain};
use dog_testing::Cluster;

/// The names and attempts of the handlers that have begun, each with its time.
type Rings = Arc<Mutex<Vec<(String, u32, Timestamp)>>>;

/// A Group that sets and lists alarms as the path of a request says. A handler whose name begins with `wait` waits until
/// `/open` is asked.
#[derive(Default)]
struct Office {
    open: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

impl Office {
    async fn opened(&self) {
        poll_fn(|context| {
            if self.open.get() {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Group for Office {
    type Replica = Plain<Self>;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "office";

    async fn activate(_: &GroupContext) -> Result<Self> {
        Ok(Self::default())
    }

    fn limit(&self) -> Limit {
        Limit::new(1)
    }

    async fn receive(&self, cx: &GroupContext, request: Request) -> Result<Response> {
        let path = request.uri().path().trim_start_matches('/').to_owned();
        let answer = match path.split('/').collect::<Vec<_>>()[..] {
            // Sets this number of alarms that are due in a second.
            ["set", name, count] => {
                let (count, at) = (count.parse::<usize>()?, cx.now() + Duration::from_secs(1));
                let storage = cx.storage();
                let made = storage.transaction(async |entries| {
                    for number in 0..count {
                        entries.set_alarm(&format!("{name}/{number:05}"), at, &number)?;
                    }
                    Ok(entries.put("last", &count)?)
                });
                match made.await {
                    Ok(()) => "set",
                    Err(failure) if failure.downcast_ref().is_some_and(dog::Error::is_too_many) => "too many",
                    Err(failure) if failure.downcast_ref().is_some_and(dog::Error::is_storage) => "not stored",
                    Err(failure) => return Err(failure),
                }
                .to_owned()
            }
            ["delete", name] => cx.delete_alarm(&name.replace('.', "/")).await.map(|()| "deleted".to_owned())?,
            ["count"] => cx.alarms(&List::all()).await?.len().to_string(),
            ["open"] => {
                self.open.set(true);
                self.waiting.take().into_iter().for_each(Waker::wake);
                "open".to_owned()
            }
            _ => return Err(Failure::new("the test asks for nothing else")),
        };
        Ok(text_response(StatusCode::OK, answer))
    }

    async fn on_alarm(&self, cx: &GroupContext, alarm: Alarm) -> Result {
        let rings = cx.env().get::<Rings>().ok_or_else(|| Failure::new("the test has set the rings"))?;
        rings.lock().map_err(|_| Failure::new("a test has panicked"))?.push((
            alarm.name().to_owned(),
            alarm.attempt(),
            cx.now(),
        ));
        assert!(alarm.name().ends_with(&format!("{:05}", alarm.payload::<usize>()?)), "another one's payload");
        if alarm.name().starts_with("wait") {
            self.opened().await;
        }
        Ok(())
    }
}

fn start() -> (Cluster, Rings) {
    let rings = Rings::default();
    (Cluster::builder(House::<Office>::new()).env(Env::new().with(Arc::clone(&rings))).start(), rings)
}

fn ask(cluster: &Cluster, path: &str) -> String {
    cluster.read_text(cluster.get(path))
}

fn rung(rings: &Rings) -> Vec<String> {
    rings.lock().expect("no test has panicked").iter().map(|(name, ..)| name.clone()).collect()
}

#[test]
fn an_object_has_ten_thousand_alarms_and_no_more() {
    let (cluster, rings) = start();
    assert_eq!(ask(&cluster, &format!("/set/a/{}", MAX_ALARMS + 1)), "too many");
    assert_eq!(cluster.stored_by_group::<Office, usize>(MAIN, "last"), None, "half a transaction was made");
    assert_eq!(ask(&cluster, &format!("/set/a/{MAX_ALARMS}")), "set");
    // The next life reads them page by page.
    assert!(cluster.restart_group::<Office>(MAIN));
    assert_eq!(ask(&cluster, "/count"), MAX_ALARMS.to_string());
    assert_eq!(ask(&cluster, "/set/b/1"), "too many");
    assert_eq!(ask(&cluster, "/delete/a.00007"), "deleted");
    assert_eq!(ask(&cluster, "/set/b/1"), "set");
    cluster.advance(Duration::from_secs(2));
    assert_eq!((rung(&rings).len(), ask(&cluster, "/count").as_str()), (MAX_ALARMS, "0"));
    assert_eq!(cluster.alarm_of_group::<Office>(MAIN), None);
}

#[test]
fn sixty_four_handlers_run_at_once_and_the_others_follow_in_order() {
    let (cluster, rings) = start();
    assert_eq!(ask(&cluster, "/set/wait/70"), "set");
    cluster.advance(Duration::from_secs(10));
    let names: Vec<_> = (0..70).map(|number| format!("wait/{number:05}")).collect();
    assert_eq!(rung(&rings), names[..64]);
    assert_eq!(ask(&cluster, "/count"), "6", "those whose handler runs do not count");
    assert_eq!(ask(&cluster, "/open"), "open");
    cluster.run();
    assert_eq!((rung(&rings), ask(&cluster, "/count").as_str()), (names, "0"));
}

#[test]
fn one_that_comes_due_while_another_runs_is_not_late() {
    let (cluster, rings) = start();
    assert_eq!(ask(&cluster, "/set/wait/1"), "set");
    cluster.advance(Duration::from_secs(1));
    assert_eq!(rung(&rings), ["wait/00000"]);
    let set = cluster.now();
    assert_eq!(ask(&cluster, "/set/b/1"), "set");
    cluster.advance(Duration::from_secs(3));
    let (name, attempt, at) = rings.lock().unwrap()[1].clone();
    assert_eq!((name.as_str(), attempt, at), ("b/00000", 1, set + Duration::from_secs(1)));
}

#[test]
fn a_crash_while_they_run_makes_them_ring_again() {
    let rings = Rings::default();
    let cluster = Cluster::builder(House::<Office>::new()).env(Env::new().with(Arc::clone(&rings))).nodes(2).start();
    assert_eq!(ask(&cluster, "/set/wait/3"), "set");
    cluster.advance(Duration::from_secs(1));
    assert_eq!(rung(&rings).len(), 3);
    cluster.crash_node(cluster.node_of_group::<Office>(MAIN).unwrap());
    cluster.advance(Duration::from_secs(30));
    let names = ["wait/00000", "wait/00001", "wait/00002"];
    assert_eq!(rung(&rings), [names, names].concat());
}

#[test]
fn a_success_that_the_disk_refuses_makes_it_ring_again() {
    let (cluster, rings) = start();
    assert_eq!(ask(&cluster, "/set/a/1"), "set");
    cluster.fail_writes(true);
    assert_eq!(ask(&cluster, "/set/b/1"), "not stored");
    cluster.advance(Duration::from_secs(20));
    let failed = rung(&rings);
    assert!((3..=8).contains(&failed.len()) && failed.iter().all(|name| name == "a/00000"), "{failed:?}");
    cluster.fail_writes(false);
    cluster.advance(Duration::from_secs(60));
    assert_eq!(rung(&rings).len(), failed.len() + 1);
    assert_eq!((ask(&cluster, "/count").as_str(), cluster.alarm_of_group::<Office>(MAIN)), ("0", None));
}
