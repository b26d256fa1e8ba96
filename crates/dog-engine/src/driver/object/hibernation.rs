//! When an object hibernates: after it was idle for the host's `hibernate_after`, or when its writes are done.

use std::rc::Rc;
use std::time::Duration;

use super::object_core::Living;
use crate::host::{Host, Scheduler};

/// An event has just been handled. The object hibernates once there was none for the host's `hibernate_after`. If it cannot
/// hibernate then, this is tried again after the same time.
pub(in crate::driver) fn note_event<O: Living>(object: &Rc<O>) {
    let core = object.core();
    if core.host().profile().hibernate_after.is_some() {
        core.idle().note_event(core.host().now());
        watch(object);
    }
}

/// Starts the timer without an event. A call of the engine's own is no event: otherwise a Group that checks on its members
/// would keep them awake for ever.
pub(in crate::driver) fn watch<O: Living>(object: &Rc<O>) {
    let core = object.core();
    let Some(after) = core.host().profile().hibernate_after else { return };
    if !core.idle().begin_timer() {
        return;
    }
    let (host, weak) = (Rc::clone(core.host()), Rc::downgrade(object));
    let living = move || weak.upgrade().filter(|object| !object.core().life().has_ended());
    if after.is_zero() {
        // In a later turn, when the caller has finished with the object. If it cannot hibernate then, tasks run in it, and
        // the last of them comes here again.
        return core.host().spawn(Box::pin(async move {
            let Some(object) = living() else { return };
            object.core().idle().end_timer();
            object.hibernate();
        }));
    }
    core.host().spawn(Box::pin(async move {
        let mut delay = after;
        loop {
            host.sleep(delay).await;
            let Some(object) = living() else { return };
            let idle = object.core().idle();
            delay = idle.remaining(after, host.now());
            if delay.is_zero() {
                delay = after.max(Duration::from_millis(1));
                if object.hibernate() {
                    return idle.end_timer();
                }
            }
        }
    }));
}

/// Whether a later life would read everything that this one has written. If not, the object tries to hibernate again as soon
/// as it would.
pub(in crate::driver) fn writes_are_done<O: Living>(object: &Rc<O>) -> bool {
    let core = object.core();
    let done = core.store().is_settled();
    if !done && core.idle().begin_wait_for_writes() {
        let (store, weak) = (Rc::clone(core.store()), Rc::downgrade(object));
        core.host().spawn(Box::pin(async move {
            store.settled().await;
            if let Some(object) = weak.upgrade().filter(|object| !object.core().life().has_ended()) {
                object.core().idle().end_wait_for_writes();
                note_event(&object);
            }
        }));
    }
    done
}
