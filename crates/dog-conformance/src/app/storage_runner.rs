//! Runs scripts on the storage and the alarms of an object. [`StorageOwner`] is what Groups and Replicas have in common.

use std::cell::Cell;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use dog::{Alarm, Error, Failure, GroupContext, List, Result, Storage, Timestamp, Transaction};
use serde::Serialize;

use super::hand_over::hand_over;
use super::log_records;
use super::protocol::{ALARM, AlarmAction, Found, OWN, Ring, StorageStep, Told, Why};

/// An object with storage and alarms.
pub(super) trait StorageOwner {
    fn storage(&self) -> Storage;
    fn now(&self) -> Timestamp;
    async fn set_alarm<T: Serialize>(&self, name: &str, at: Timestamp, payload: &T) -> Result<(), Error>;
    async fn delete_alarm(&self, name: &str) -> Result<(), Error>;
    async fn alarm(&self, name: &str) -> Result<Option<Timestamp>, Error>;
    async fn alarms(&self, list: &List) -> Result<Vec<(String, Timestamp)>, Error>;
    /// Waits at a gate.
    async fn pass(&self, gate: &str) -> Result;
    /// Emits a text.
    fn say(&self, text: &str);
}

impl StorageOwner for GroupContext {
    fn storage(&self) -> Storage {
        self.storage()
    }

    fn now(&self) -> Timestamp {
        self.now()
    }

    async fn set_alarm<T: Serialize>(&self, name: &str, at: Timestamp, payload: &T) -> Result<(), Error> {
        self.set_alarm(name, at, payload).await
    }

    async fn delete_alarm(&self, name: &str) -> Result<(), Error> {
        self.delete_alarm(name).await
    }

    async fn alarm(&self, name: &str) -> Result<Option<Timestamp>, Error> {
        self.alarm(name).await
    }

    async fn alarms(&self, list: &List) -> Result<Vec<(String, Timestamp)>, Error> {
        self.alarms(list).await
    }

    async fn pass(&self, gate: &str) -> Result {
        Err(Failure::new(format!("a Group has no gate {gate}")))
    }

    fn say(&self, _: &str) {}
}

fn own(name: &str) -> String {
    format!("{OWN}{name}")
}

fn refused(error: &Error) -> Found {
    Found::Refused(Why::from(error), error.to_string())
}

/// Runs the steps of a script in order, also after a step that failed.
pub(super) async fn run(owner: &impl StorageOwner, steps: &[StorageStep]) -> Result<Vec<Found>> {
    let mut found = Vec::with_capacity(steps.len());
    for step in steps {
        found.push(match step {
            StorageStep::Transaction(steps) => transaction(owner, steps).await?,
            StorageStep::Pass(gate) => owner.pass(gate).await.map(|()| Found::Done)?,
            StorageStep::Unawaited(step) => {
                hand_over(one(owner, step));
                Found::Done
            }
            step => one(owner, step).await.unwrap_or_else(|error| refused(&error)),
        });
    }
    Ok(found)
}

/// Runs the steps of a script in order, and fails with the first step that fails.
pub(super) async fn run_or_fail(owner: &impl StorageOwner, steps: &[StorageStep]) -> Result<Vec<Found>> {
    let mut found = Vec::with_capacity(steps.len());
    for step in steps {
        found.push(match step {
            StorageStep::AlwaysConflict(key) => always_conflict(&owner.storage(), key).await.map(|_| Found::Done)?,
            step => one(owner, step).await?,
        });
    }
    Ok(found)
}

/// Lets all other ready tasks run first.
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

async fn one(owner: &impl StorageOwner, step: &StorageStep) -> Result<Found, Error> {
    let storage = owner.storage();
    let after = |millis: u64| owner.now() + Duration::from_millis(millis);
    Ok(match step {
        StorageStep::Get(key) => Found::Text(storage.get(key).await?),
        StorageStep::Measure(key) => Found::Length(storage.get(key).await?.map(|text: String| text.len())),
        StorageStep::Number(key) => Found::Number(storage.get(key).await?),
        StorageStep::Shape(key) => Found::Shape(storage.get(key).await?),
        StorageStep::Put(key, text) => storage.put(key, text).await.map(|()| Found::Done)?,
        StorageStep::PutBytes(key, length) => storage.put(key, &"x".repeat(*length)).await.map(|()| Found::Done)?,
        StorageStep::PutShape(key, shape) => storage.put(key, shape).await.map(|()| Found::Done)?,
        StorageStep::Delete(key) => storage.delete(key).await.map(|()| Found::Done)?,
        StorageStep::PutRaw(key, bytes) => storage.put_bytes(key, bytes.clone()).await.map(|()| Found::Done)?,
        StorageStep::GetRaw(key) => Found::Raw(storage.get_bytes(key).await?.map(|bytes| bytes.to_vec())),
        StorageStep::Keys(range) => Found::Names(storage.keys(&range.into()).await?),
        StorageStep::DeletePrefix(prefix) => storage.delete_prefix(prefix).await.map(|()| Found::Done)?,
        StorageStep::DeleteAll => storage.delete_all().await.map(|()| Found::Done)?,
        StorageStep::List(range) => Found::Entries(storage.list(&range.into()).await?),
        StorageStep::SetAlarm(millis, plan) => {
            storage.put(&own("plan"), plan).await?;
            set_alarm(owner, ALARM, after(*millis), &[]).await?
        }
        StorageStep::MoveAlarm(millis) => set_alarm(owner, ALARM, after(*millis), &[]).await?,
        StorageStep::DeleteAlarm => owner.delete_alarm(ALARM).await.map(|()| Found::Done)?,
        StorageStep::Alarm => Found::Alarm(owner.alarm(ALARM).await?.map(Timestamp::as_millis)),
        StorageStep::Rings => Found::Rings(rings(&storage).await?),
        StorageStep::Records { from, until, most, reverse } => {
            log_records::read(&storage, (from, until), *most, *reverse).await?
        }
        StorageStep::SetNamed(..)
        | StorageStep::DeleteNamed(_)
        | StorageStep::Named(_)
        | StorageStep::SetSized(..)
        | StorageStep::Alarms(_) => named(owner, step).await?,
        StorageStep::Unawaited(_)
        | StorageStep::Transaction(_)
        | StorageStep::Pass(_)
        | StorageStep::Add(..)
        | StorageStep::AlwaysConflict(_)
        | StorageStep::WriteRecord(..)
        | StorageStep::Publish(..)
        | StorageStep::Fail => unreachable!("{step:?} is not a single read or write"),
    })
}

async fn set_alarm(owner: &impl StorageOwner, name: &str, at: Timestamp, plan: &[AlarmAction]) -> Result<Found, Error> {
    owner.set_alarm(name, at, &plan).await?;
    Ok(Found::Alarm(Some(at.as_millis())))
}

async fn named(owner: &impl StorageOwner, step: &StorageStep) -> Result<Found, Error> {
    let after = |millis: u64| owner.now() + Duration::from_millis(millis);
    Ok(match step {
        StorageStep::SetNamed(name, millis, plan) => set_alarm(owner, name, after(*millis), plan).await?,
        StorageStep::DeleteNamed(name) => owner.delete_alarm(name).await.map(|()| Found::Done)?,
        StorageStep::Named(name) => Found::Alarm(owner.alarm(name).await?.map(Timestamp::as_millis)),
        StorageStep::SetSized(name, payload) => {
            // MessagePack puts three bytes before a text of this length.
            let (name, payload) = ("n".repeat(*name), "p".repeat(payload.saturating_sub(3)));
            owner.set_alarm(&name, after(3_600_000), &payload).await.map(|()| Found::Done)?
        }
        StorageStep::Alarms(range) => {
            Found::Names(owner.alarms(&range.into()).await?.into_iter().map(|(name, _)| name).collect())
        }
        other => unreachable!("{other:?} is not about a named alarm"),
    })
}

async fn transaction(owner: &impl StorageOwner, steps: &[StorageStep]) -> Result<Found> {
    let runs = Cell::new(0);
    let told = Cell::new(false);
    let storage = owner.storage();
    let made = storage.transaction(async |entries| {
        runs.set(runs.get() + 1);
        let mut found = Vec::with_capacity(steps.len());
        for step in steps {
            found.push(match step {
                StorageStep::Fail => {
                    told.set(true);
                    return Err(Failure::new("the transaction was told to fail"));
                }
                StorageStep::Pass(gate) => owner.pass(gate).await.map(|()| Found::Done)?,
                step => within(owner, entries, step).await?,
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

async fn within(owner: &impl StorageOwner, entries: &Transaction, step: &StorageStep) -> Result<Found> {
    Ok(match step {
        StorageStep::SetNamed(name, millis, plan) => {
            let at = owner.now() + Duration::from_millis(*millis);
            entries.set_alarm(name, at, plan).map(|()| Found::Alarm(Some(at.as_millis())))?
        }
        StorageStep::DeleteNamed(name) => entries.delete_alarm(name).map(|()| Found::Done)?,
        StorageStep::Named(name) => Found::Alarm(entries.alarm(name).await?.map(Timestamp::as_millis)),
        StorageStep::Get(key) => Found::Text(entries.get(key).await?),
        StorageStep::Put(key, text) => entries.put(key, text).map(|()| Found::Done)?,
        StorageStep::PutBytes(key, length) => entries.put(key, &"x".repeat(*length)).map(|()| Found::Done)?,
        StorageStep::PutRaw(key, bytes) => entries.put_bytes(key, bytes.clone()).map(|()| Found::Done)?,
        StorageStep::GetRaw(key) => Found::Raw(entries.get_bytes(key).await?.map(|bytes| bytes.to_vec())),
        StorageStep::Keys(range) => Found::Names(entries.keys(&range.into()).await?),
        StorageStep::DeletePrefix(prefix) => entries.delete_prefix(prefix).await.map(|()| Found::Done)?,
        StorageStep::Delete(key) => entries.delete(key).map(|()| Found::Done)?,
        StorageStep::List(range) => Found::Entries(entries.list(&range.into()).await?),
        StorageStep::WriteRecord(key, length) => log_records::write(entries, key, *length),
        StorageStep::Publish(topic, text) => entries.publish(topic, text.as_str()).map(|()| Found::Done)?,
        StorageStep::Add(key, pauses) => {
            let number = entries.get::<u64>(key).await?.unwrap_or_default();
            for _ in 0..*pauses {
                others_first().await;
            }
            entries.put(key, &(number + 1)).map(|()| Found::Number(Some(number + 1)))?
        }
        other => return Err(Failure::new(format!("a transaction cannot do {other:?}"))),
    })
}

/// A transaction that conflicts in every run with a write of its own body, which is not part of it.
pub(super) async fn always_conflict(storage: &Storage, key: &str) -> Result<Told, Error> {
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

/// The handler of alarms. For [`ALARM`] it records that it rang, emits that, and takes the action that the plan has for this
/// time. For another one it emits its name and the attempt, and takes the action that its payload has for this attempt.
pub(super) async fn ring(owner: &impl StorageOwner, alarm: &Alarm) -> Result {
    if alarm.name() != ALARM {
        owner.say(&format!("{} {}", alarm.name(), alarm.attempt()));
        let plan: Vec<AlarmAction> = alarm.payload()?;
        let attempt = usize::try_from(alarm.attempt())?;
        return act(owner, alarm.name(), plan.get(attempt - 1), &plan[attempt.min(plan.len())..]).await;
    }
    let storage = owner.storage();
    let number = rings(&storage).await?.len();
    let ring = Ring { at: owner.now().as_millis(), next: owner.alarm(ALARM).await?.map(Timestamp::as_millis) };
    storage.put(&own(&format!("ring/{number:04}")), &ring).await?;
    let plan: Vec<AlarmAction> = storage.get(&own("plan")).await?.unwrap_or_default();
    owner.say(&format!("ring {number}"));
    act(owner, ALARM, plan.get(number), &[]).await
}

/// `rest`: the plan of the alarm if the action sets it again.
async fn act(owner: &impl StorageOwner, name: &str, action: Option<&AlarmAction>, rest: &[AlarmAction]) -> Result {
    let again =
        async |millis: u64| set_alarm(owner, name, owner.now() + Duration::from_millis(millis), rest).await.map(drop);
    match action {
        None | Some(AlarmAction::Succeed) => Ok(()),
        Some(AlarmAction::Fail) => Err(Failure::new("the secret of on_alarm")),
        Some(AlarmAction::Panic) => panic!("the secret of on_alarm"),
        Some(AlarmAction::SetAgain(millis)) => Ok(again(*millis).await?),
        Some(AlarmAction::SetAgainAndPass(millis, gate)) => {
            again(*millis).await?;
            owner.pass(gate).await
        }
        Some(AlarmAction::Pass(gate)) => owner.pass(gate).await,
    }
}
