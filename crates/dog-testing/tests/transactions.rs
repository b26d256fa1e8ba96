//! Details of concurrent transactions of one object: how often their bodies run, how long they wait, and which entries
//! they read.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::task::{Poll, Waker};
use std::time::Duration;

use dog::http::StatusCode;
use dog::{Group, GroupContext, Limit, List, Request, Response, Result, Storage, Transaction};
use dog_test_support::app::{House, Plain};
use dog_testing::{Cluster, PendingRequest};
use futures_util::FutureExt;

/// A Group that uses its storage as the path of the request says.
#[derive(Default)]
struct Office {
    open: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
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
        let storage = cx.storage();
        let path = request.uri().path().trim_start_matches('/').to_owned();
        let answer = match path.split('/').collect::<Vec<_>>()[..] {
            ["add"] => storage.transaction(async |entries| add(entries, "number", 3).await).await?.to_string(),
            ["number"] => storage.get::<u64>("number").await?.unwrap_or_default().to_string(),
            // The inner transaction runs in the body of the outer one. Neither reads what the other writes.
            ["nested"] => {
                let made = async |entries: &Transaction| {
                    storage.transaction(async |inner| add(inner, "inner", 2).await).await?;
                    add(entries, "number", 3).await
                };
                storage.transaction(made).await?.to_string()
            }
            // The future is dropped after this many polls.
            ["abandon", polls] => {
                let made = storage.transaction(async |entries| add(entries, "number", 3).await);
                abandon(made, polls.parse()?).await
            }
            ["panic", polls] => {
                let made = storage.transaction(async |entries| {
                    abandon(add(entries, "number", 3), polls.parse()?).await;
                    panic!("the body was told to");
                    #[allow(unreachable_code, reason = "it says what the body would return")]
                    Ok(())
                });
                AssertUnwindSafe(made).catch_unwind().await.map_or("panicked", |_| "made").into()
            }
            ["keep_turn"] => self.keep_turn(&storage).await?.to_string(),
            ["open"] => {
                storage.transaction(async |entries| add(entries, "other", 0).await).await?;
                self.open.set(true);
                self.waiting.take().into_iter().for_each(Waker::wake);
                "open".into()
            }
            ["fill", count] => {
                let fill = async |entries: &Transaction| {
                    (0..count.parse::<u32>()?)
                        .try_for_each(|number| Ok(entries.put(&format!("k/{number:06}"), &number)?))
                };
                storage.transaction(fill).await.map(|()| "filled".into())?
            }
            ["last", writes, limit] => last(&storage, writes.parse()?, limit.parse()?).await?,
            _ => return Ok(dog::text_response(StatusCode::NOT_FOUND, "not found")),
        };
        Ok(dog::text_response(StatusCode::OK, answer))
    }
}

impl Office {
    /// Runs a transaction that conflicts until it gets an exclusive turn. It keeps that turn until `/open` is
    /// requested.
    async fn keep_turn(&self, storage: &Storage) -> Result<u32> {
        let runs = Cell::new(0);
        let kept = async |entries: &Transaction| {
            runs.set(runs.get() + 1);
            let number = entries.get::<u64>("kept").await?.unwrap_or_default();
            match runs.get() {
                1 | 2 => storage.put("kept", &(number + 1)).await?,
                _ => {
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
            Ok(entries.put("out", &number)?)
        };
        storage.transaction(kept).await?;
        Ok(runs.get())
    }
}

async fn add(entries: &Transaction, key: &str, pauses: u32) -> Result<u64> {
    let number = entries.get::<u64>(key).await?.unwrap_or_default();
    for _ in 0..pauses {
        others_first().await;
    }
    entries.put(key, &(number + 1))?;
    Ok(number + 1)
}

/// Deletes some entries directly before the last one, inserts as many before all others, and then lists from the end.
async fn last(storage: &Storage, writes: u32, limit: usize) -> Result<String> {
    let found = storage.transaction(async |entries| {
        let all = storage.list::<u32>(&List::prefix("k/").reverse().limit(1)).await?;
        let highest = all.first().map_or(0, |(_, number)| *number);
        for number in 0..writes {
            entries.delete(&format!("k/{:06}", highest - 1 - number))?;
            entries.put(&format!("k/-{number:05}"), &number)?;
        }
        let found: Vec<(String, u32)> = entries.list(&List::prefix("k/").reverse().limit(limit)).await?;
        Ok(found.iter().map(|(_, number)| number.to_string()).collect::<Vec<_>>().join(" "))
    });
    found.await
}

async fn others_first() {
    let mut waited = false;
    poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

async fn abandon(work: impl Future<Output = Result<u64>>, mut polls: u32) -> String {
    let mut work = pin!(work);
    poll_fn(|context| {
        if polls == 0 {
            return Poll::Ready("abandoned".to_owned());
        }
        polls -= 1;
        context.waker().wake_by_ref();
        Pin::new(&mut work).poll(context).map(|_| "made".to_owned())
    })
    .await
}

fn begin(cluster: &Cluster, path: &str) -> PendingRequest {
    cluster.begin(dog::http::Request::get(path).body(dog::Body::empty()).expect("a path"))
}

fn answer(cluster: &Cluster, pending: &PendingRequest) -> Option<String> {
    let response = pending.answer()?.expect_err("no socket");
    assert_eq!(response.status(), StatusCode::OK);
    Some(cluster.read_text(*response))
}

fn ask(cluster: &Cluster, path: &str) -> String {
    cluster.read_text(cluster.get(path))
}

#[test]
fn all_transactions_are_made_even_if_others_are_dropped_or_panic() {
    for round in 0..40 {
        let cluster = Cluster::builder(House::<Office>::new()).seed(round).start();
        let mut adding = Vec::new();
        let mut spoilt = Vec::new();
        for number in 0..60 {
            adding.push(begin(&cluster, if number % 3 == 0 { "/nested" } else { "/add" }));
            let polls = (number + round) % 17;
            spoilt.push(begin(&cluster, &format!("/{}/{polls}", if number % 2 == 0 { "abandon" } else { "panic" })));
        }
        cluster.advance(Duration::from_secs(60));
        for adding in &adding {
            assert!(answer(&cluster, adding).is_some(), "a transaction was not committed");
        }
        // An abandoned transaction was committed once or not at all.
        let spoilt: Vec<_> = spoilt.iter().filter_map(|spoilt| answer(&cluster, spoilt)).collect();
        assert_eq!(spoilt.len(), 60);
        let made = 60 + spoilt.iter().filter(|answer| *answer == "made").count();
        let number: usize = ask(&cluster, "/number").parse().expect("a number");
        assert!((made..=120).contains(&number), "{number} after {made} of 120 transactions");
    }
}

#[test]
fn a_turn_that_takes_too_long_ends() {
    let cluster = Cluster::new(House::<Office>::new());
    let kept = begin(&cluster, "/keep_turn");
    cluster.advance(Duration::from_secs(1));
    let opens = begin(&cluster, "/open");
    cluster.advance(Duration::from_millis(1900));
    assert_eq!((answer(&cluster, &kept), answer(&cluster, &opens)), (None, None), "it is still its turn");
    cluster.advance(Duration::from_millis(200));
    assert_eq!(answer(&cluster, &opens).as_deref(), Some("open"));
    assert_eq!(answer(&cluster, &kept).as_deref(), Some("3"), "how often it ran");
}

#[test]
fn a_limited_list_in_a_transaction_reads_its_limit_and_what_the_transaction_took_away() {
    let cluster = Cluster::new(House::<Office>::new());
    for (entries, writes, limit, found) in
        [(3_000, 0, 1, "2999"), (3_000, 7, 1, "2999"), (3_000, 7, 3, "2999 2991 2990"), (40_000, 7, 2, "39999 39991")]
    {
        ask(&cluster, &format!("/fill/{entries}"));
        let before = cluster.entries_listed();
        assert_eq!(ask(&cluster, &format!("/last/{writes}/{limit}")), found);
        let read = cluster.entries_listed() - before;
        // The first read finds the last entry.
        assert_eq!(read, 1 + limit + writes, "entries read, of {entries}");
    }
}
