//! The alarms of Replicas in a run, and the checks of them: promises 11 and 21.

use std::time::Duration;

use dog::{Alarm, Context, Replica, Result};

use crate::witness::Witness;

/// Sets an alarm that rings after this time, and an entry beside it.
pub(crate) async fn set<R: Replica>(witness: &Witness, cx: &Context<R>, millis: u64) {
    let at = cx.now() + Duration::from_millis(millis);
    let object = *cx.id().as_bytes();
    let name = ["a", "b", "c"][usize::from(millis.to_be_bytes()[7] % 3)];
    let number = {
        let mut record = witness.record();
        // The storage refuses the alarm of an old life.
        record.runs_current_life(object).then(|| record.stored().alarm_begins(object, name))
    };
    let storage = cx.storage();
    let set = storage.transaction(async |entries| {
        entries.put(&format!("alarm {name}"), &number.unwrap_or_default())?;
        Ok(entries.set_alarm(name, at, &number.unwrap_or_default())?)
    });
    let is_set = set.await.is_ok();
    let mut record = witness.record();
    // An old life may learn so late that the alarm is set that it has already rung in the new one.
    if let Some(number) = number {
        let at = Some(at).filter(|_| is_set && record.runs_current_life(object));
        record.stored().alarm_set(object, name, number, at);
    }
}

/// An alarm rings. It must be due, and the entry that was written with it must be there.
pub(crate) async fn rings<R: Replica>(witness: &Witness, cx: &Context<R>, alarm: &Alarm) -> Result {
    let (name, number) = (alarm.name(), alarm.payload::<u64>()?);
    let storage = cx.storage();
    let read = storage.transaction(async |entries| {
        Ok((entries.alarm(name).await?, entries.get::<u64>(&format!("alarm {name}")).await?))
    });
    // While its handler runs, the alarm does not count. Another one was set with an entry of its own.
    let entry = match read.await? {
        (None, entry) => entry,
        (Some(_), _) => Some(number),
    };
    let (object, mut record) = (*cx.id().as_bytes(), witness.record());
    // An old life cannot clear the alarm, so the alarm rings again in the new one.
    if record.runs_current_life(object) {
        record.alarm_rang(object, alarm, (number, entry), cx.now());
    }
    Ok(())
}
