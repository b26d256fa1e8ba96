//! How an object does what a script says: [`Keeper`], which Rooms and Clusters are.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use dog::{Error, Failure, GroupContext, List, Result, Storage, Timestamp, Transaction};

use super::class::Class;
use super::keep::{Found, Keep, OWN, Ring, Then};
use super::protocol::{Told, waiting};
use super::report::Why;
use super::room::Room;

/// What Groups and Replicas have in common here.
pub(super) trait Keeper {
    fn storage(&self) -> Storage;
    fn now(&self) -> Timestamp;
    async fn set_alarm(&self, at: Timestamp) -> Result<(), Error>;
    async fn delete_alarm(&self) -> Result<(), Error>;
    async fn alarm(&self) -> Result<Option<Timestamp>, Error>;
    /// Waits at a gate.
    async fn pass(&self, gate: &str) -> Result;
    /// Says that the alarm rings.
    fn say(&self, text: &str);
}

/// A Room and its context.
pub(super) struct InRoom<'a, C: Class>(pub(super) &'a Room<C>, pub(super) &'a dog::Context<Room<C>>);

impl<C: Class> Keeper for InRoom<'_, C> {
    fn storage(&self) -> Storage {
        self.1.storage()
    }

    fn now(&self) -> Timestamp {
        self.1.now()
    }

    async fn set_alarm(&self, at: Timestamp) -> Result<(), Error> {
        self.1.set_alarm(at).await
    }

    async fn delete_alarm(&self) -> Result<(), Error> {
        self.1.delete_alarm().await
    }

    async fn alarm(&self) -> Result<Option<Timestamp>, Error> {
        self.1.alarm().await
    }

    async fn pass(&self, gate: &str) -> Result {
        self.1.emit(waiting(gate))?;
        self.0.gates.pass(gate).await;
        Ok(())
    }

    fn say(&self, text: &str) {
        // Nobody may be there to hear it.
        let _ = self.1.emit(text);
    }
}

impl Keeper for GroupContext {
    fn storage(&self) -> Storage {
        self.storage()
    }

    fn now(&self) -> Timestamp {
        self.now()
    }

    async fn set_alarm(&self, at: Timestamp) -> Result<(), Error> {
        self.set_alarm(at).await
    }

    async fn delete_alarm(&self) -> Result<(), Error> {
        self.delete_alarm().await
    }

    async fn alarm(&self) -> Result<Option<Timestamp>, Error> {
        self.alarm().await
    }

    async fn pass(&self, gate: &str) -> Result {
        Err(Failure::new(format!("a Group has no gate {gate}")))
    }

    fn say(&self, _: &str) {}
}

/// Begins `write` and does not wait for it: what a handler does must not depend on how fast the disk is.
pub(super) fn hand_over<T>(write: impl Future<Output = T>) {
    let _ = pin!(write).poll(&mut Context::from_waker(Waker::noop()));
}

fn own(name: &str) -> String {
    format!("{OWN}{name}")
}

fn refused(error: &Error) -> Found {
    Found::Refused(Why::from(error), error.to_string())
}

/// Does the steps of a script, one after the other, whatever comes of each.
pub(super) async fn perform(keeper: &impl Keeper, steps: &[Keep]) -> Result<Vec<Found>> {
    let mut found = Vec::with_capacity(steps.len());
    for step in steps {
        found.push(match step {
            Keep::Transaction(steps) => transaction(keeper, steps).await?,
            Keep::Pass(gate) => keeper.pass(gate).await.map(|()| Found::Done)?,
            Keep::Unawaited(step) => {
                hand_over(one(keeper, step));
                Found::Done
            }
            step => one(keeper, step).await.unwrap_or_else(|error| refused(&error)),
        });
    }
    Ok(found)
}

/// Does the steps of a script, and fails with the first that the library refuses.
pub(super) async fn insist(keeper: &impl Keeper, steps: &[Keep]) -> Result<Vec<Found>> {
    let mut found = Vec::with_capacity(steps.len());
    for step in steps {
        found.push(match step {
            Keep::Quarrel(key) => quarrel(&keeper.storage(), key).await.map(|_| Found::Done)?,
            step => one(keeper, step).await?,
        });
    }
    Ok(found)
}

/// Lets whatever else is ready go first.
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

async fn one(keeper: &impl Keeper, step: &Keep) -> Result<Found, Error> {
    let storage = keeper.storage();
    let after = |millis: u64| keeper.now() + std::time::Duration::from_millis(millis);
    Ok(match step {
        Keep::Get(key) => Found::Text(storage.get(key).await?),
        Keep::Measure(key) => Found::Length(storage.get(key).await?.map(|text: String| text.len())),
        Keep::Number(key) => Found::Number(storage.get(key).await?),
        Keep::Shape(key) => Found::Shape(storage.get(key).await?),
        Keep::Put(key, text) => storage.put(key, text).await.map(|()| Found::Done)?,
        Keep::PutBytes(key, length) => storage.put(key, &"x".repeat(*length)).await.map(|()| Found::Done)?,
        Keep::PutShape(key, shape) => storage.put(key, shape).await.map(|()| Found::Done)?,
        Keep::Delete(key) => storage.delete(key).await.map(|()| Found::Done)?,
        Keep::DeleteAll => storage.delete_all().await.map(|()| Found::Done)?,
        Keep::List(range) => Found::Entries(storage.list(&range.into()).await?),
        Keep::SetAlarm(millis, plan) => {
            storage.put(&own("plan"), plan).await?;
            set_alarm(keeper, after(*millis)).await?
        }
        Keep::MoveAlarm(millis) => set_alarm(keeper, after(*millis)).await?,
        Keep::DeleteAlarm => keeper.delete_alarm().await.map(|()| Found::Done)?,
        Keep::Alarm => Found::Alarm(keeper.alarm().await?.map(Timestamp::as_millis)),
        Keep::Rings => Found::Rings(rings(&storage).await?),
        Keep::Unawaited(_) | Keep::Transaction(_) | Keep::Pass(_) | Keep::Add(..) | Keep::Quarrel(_) | Keep::Fail => {
            unreachable!("{step:?} is no read or write")
        }
    })
}

async fn set_alarm(keeper: &impl Keeper, at: Timestamp) -> Result<Found, Error> {
    keeper.set_alarm(at).await?;
    Ok(Found::Alarm(Some(at.as_millis())))
}

async fn transaction(keeper: &impl Keeper, steps: &[Keep]) -> Result<Found> {
    let runs = Cell::new(0);
    let told = Cell::new(false);
    let storage = keeper.storage();
    let made = storage.transaction(async |entries| {
        runs.set(runs.get() + 1);
        let mut found = Vec::with_capacity(steps.len());
        for step in steps {
            found.push(match step {
                Keep::Fail => {
                    told.set(true);
                    return Err(Failure::new("the transaction was told to fail"));
                }
                Keep::Pass(gate) => keeper.pass(gate).await.map(|()| Found::Done)?,
                step => within(entries, step).await?,
            });
        }
        Ok(found)
    });
    match made.await {
        Ok(found) => Ok(Found::Made(runs.get(), found)),
        Err(_) if told.get() => Ok(Found::Failed(runs.get())),
        Err(failure) => match failure.downcast_ref::<Error>() {
            Some(error) => Ok(refused(error)),
            None => Err(failure),
        },
    }
}

async fn within(entries: &Transaction, step: &Keep) -> Result<Found> {
    Ok(match step {
        Keep::Get(key) => Found::Text(entries.get(key).await?),
        Keep::Put(key, text) => entries.put(key, text).map(|()| Found::Done)?,
        Keep::PutBytes(key, length) => entries.put(key, &"x".repeat(*length)).map(|()| Found::Done)?,
        Keep::Delete(key) => entries.delete(key).map(|()| Found::Done)?,
        Keep::List(range) => Found::Entries(entries.list(&range.into()).await?),
        Keep::Add(key, pauses) => {
            let number = entries.get::<u64>(key).await?.unwrap_or_default();
            for _ in 0..*pauses {
                others_first().await;
            }
            entries.put(key, &(number + 1)).map(|()| Found::Number(Some(number + 1)))?
        }
        other => return Err(Failure::new(format!("a transaction cannot do {other:?}"))),
    })
}

/// A transaction that is overtaken whenever it runs, by a write of its own body that is no part of it.
pub(super) async fn quarrel(storage: &Storage, key: &str) -> Result<Told, Error> {
    let made = storage.transaction(async |entries| {
        let text: Option<String> = entries.get(key).await?;
        hand_over(storage.put(key, &format!("{}x", text.unwrap_or_default())));
        entries.put("out", &"made")?;
        Ok(Told::Done)
    });
    made.await.map_err(|failure| match failure.downcast_ref::<Error>() {
        Some(error) => Error::new(error.kind(), error.to_string()),
        None => unreachable!("the body returns no failure of its own: {failure}"),
    })
}

async fn rings(storage: &Storage) -> Result<Vec<Ring>, Error> {
    Ok(storage.list(&List::prefix(own("ring/"))).await?.into_iter().map(|(_, ring)| ring).collect())
}

/// What `on_alarm` does: notes that it rang, says so, and does what the plan says for this time.
pub(super) async fn ring(keeper: &impl Keeper) -> Result {
    let storage = keeper.storage();
    let number = rings(&storage).await?.len();
    let ring = Ring { at: keeper.now().as_millis(), next: keeper.alarm().await?.map(Timestamp::as_millis) };
    storage.put(&own(&format!("ring/{number:04}")), &ring).await?;
    let plan: Vec<Then> = storage.get(&own("plan")).await?.unwrap_or_default();
    keeper.say(&format!("ring {number}"));
    let again = async |millis: u64| keeper.set_alarm(keeper.now() + std::time::Duration::from_millis(millis)).await;
    match plan.get(number) {
        None | Some(Then::Succeed) => Ok(()),
        Some(Then::Fail) => Err(Failure::new("the secret of on_alarm")),
        Some(Then::Panic) => panic!("the secret of on_alarm"),
        Some(Then::SetAgain(millis)) => Ok(again(*millis).await?),
        Some(Then::SetAgainAndPass(millis, gate)) => {
            again(*millis).await?;
            keeper.pass(gate).await
        }
    }
}
