//! Calls the handlers of alarms: [`alarms_due`]. What is due, and what follows from an outcome, is decided in the
//! [book](super::alarm_book).

use std::pin::pin;
use std::rc::Rc;

use bytes::Bytes;
use dog::Alarm;
use dog::internal::Alarms;
use futures_util::future::select;

use super::alarm_book::{DueAlarm, FIRST_DELAY};
use super::alarm_storage::read_alarm;
use super::object_core::Living;
use super::task::start;
use crate::driver::failures::report_failure;
use crate::host::{HostObserver, Scheduler};
use crate::repeats::log_limited;

/// The host wakes the object for its earliest alarm.
pub(in crate::driver) fn alarms_due<O: Living>(object: &Rc<O>) {
    if !Alarms::ON {
        return;
    }
    object.core().store().alarm_runs().wake();
    start_due(object);
}

/// Begins the handlers of all alarms that are due.
fn start_due<O: Living>(object: &Rc<O>) {
    if object.core().life().has_ended() || !object.core().store().alarm_runs().begin_starting() {
        return;
    }
    let this = Rc::clone(object);
    start(object, async move {
        let began = begin_all(&this).await;
        let (store, runs) = (this.core().store(), this.core().store().alarm_runs());
        runs.end_starting();
        if runs.take_woken() && !began && !store.with_alarms(|book| book.is_busy()) {
            store.announce_alarms_again();
        }
        runs.note_change();
        watch(&this);
    });
}

/// Returns whether any was due.
async fn begin_all<O: Living>(object: &Rc<O>) -> bool {
    let (host, store) = (object.core().host(), object.core().store());
    let mut began = false;
    loop {
        while let Some(loading) = store.load_alarms() {
            if let Err(error) = loading.await {
                log_limited!(host, error, "alarms cannot be read", "alarms cannot be read: {error}");
                host.sleep(FIRST_DELAY).await;
            }
        }
        let Some(due) = store.with_alarms(|book| book.begin_next(host.now())) else { return began };
        began = true;
        begin(object, due).await;
    }
}

async fn begin<O: Living>(object: &Rc<O>, due: DueAlarm) {
    let (host, store) = (object.core().host(), object.core().store());
    let payload = match due.payload {
        Some(payload) => payload,
        None => match read_alarm(&**host, object.core().object(), &due.name, due.number).await {
            Ok(Some(payload)) => payload,
            Ok(None) => return store.with_alarms(|book| book.is_missing(&due.name, due.number)),
            Err(error) => {
                log_limited!(host, error, "an alarm cannot be read", "an alarm cannot be read: {error}");
                return store.with_alarms(|book| {
                    book.hold(&due.name, host.now());
                    book.end(&due.name);
                });
            }
        },
    };
    store.with_alarms(|book| book.note_payload(&due.name, &payload));
    // All handlers begin here, in order, and not whenever the value is in memory. If it cannot be activated, the life ends,
    // and this task with it; or it goes on for what needs no value.
    if object.awaken().await.is_ok() {
        let this = Rc::clone(object);
        start(object, async move { run(&this, due.name, due.number, (due.due, due.failed), payload).await });
    } else {
        store.with_alarms(|book| {
            book.hold(&due.name, host.now());
            book.end(&due.name);
        });
    }
}

async fn run<O: Living>(
    object: &Rc<O>,
    name: String,
    number: u64,
    (due, failed): (dog::Timestamp, u32),
    payload: Bytes,
) {
    let alarm = Alarm::new(name.clone(), due, failed.saturating_add(1), payload);
    let outcome = object.on_alarm(alarm).await;
    let (host, store) = (object.core().host(), object.core().store());
    if let Err(failure) = &outcome {
        report_failure(&**host, O::ON_ALARM, Some(object.core().object()), None, failure);
    }
    if let Some(written) = store.alarm_ended(&name, number, outcome.is_ok())
        && let Err(error) = written.await
    {
        log_limited!(
            host,
            error,
            "the outcome of an alarm was not stored",
            "the outcome of an alarm was not stored: {error}"
        );
        store.with_alarms(|book| book.hold(&name, host.now()));
    }
    store.with_alarms(|book| book.end(&name));
    store.alarm_runs().note_change();
    start_due(object);
}

/// While handlers run, the time of the earliest alarm may be one of theirs, so the host does not wake the object for the next
/// one. The object is in memory then, and waits for it itself.
fn watch<O: Living>(object: &Rc<O>) {
    let store = object.core().store();
    if !store.with_alarms(|book| book.is_busy()) || !store.alarm_runs().begin_watching() {
        return;
    }
    let (host, store, weak) = (Rc::clone(object.core().host()), Rc::clone(store), Rc::downgrade(object));
    object.core().host().spawn(Box::pin(async move {
        let runs = store.alarm_runs();
        while store.with_alarms(|book| book.is_busy()) {
            // The code that begins handlers now reports when it has done so.
            let next = if runs.is_starting() { None } else { store.with_alarms(|book| book.next_time()) };
            match next {
                Some(at) => drop(select(host.sleep(at.since(host.now())), pin!(runs.changed())).await),
                None => runs.changed().await,
            }
            let Some(object) = weak.upgrade().filter(|object| !object.core().life().has_ended()) else { return };
            if store.with_alarms(|book| book.next_time().is_some_and(|at| at <= host.now())) {
                start_due(&object);
            }
        }
        runs.end_watching();
    }));
}
