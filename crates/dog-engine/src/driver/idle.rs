//! When an object has been idle long enough to rest.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use dog::Timestamp;

use super::life::Living;
use crate::host::{Host, Scheduler};

/// The idleness of one object. One timer at most, whatever its number of events.
#[derive(Debug, Default)]
pub(super) struct Idle {
    last_event: Cell<Timestamp>,
    timed: Cell<bool>,
}

/// An object that can tell how long it has been idle.
pub(super) trait Hibernating: Living {
    fn idle(&self) -> &Idle;
}

impl Idle {
    /// Something has just happened. Once nothing has for the host's time, `rest` is called, and again after that time
    /// as long as it says that the object cannot rest yet.
    pub(super) fn note<O: Hibernating>(&self, object: &Rc<O>, hibernate: fn(&O) -> bool) {
        if object.host().profile().hibernate_after.is_some() {
            self.last_event.set(object.host().now());
            self.watch(object, hibernate);
        }
    }

    /// Something has happened that is no event, such as a question of the engine's own: the object is looked after, and
    /// is as idle as it was. Else a Group that asks after its members would keep them awake for ever.
    pub(super) fn watch<O: Hibernating>(&self, object: &Rc<O>, hibernate: fn(&O) -> bool) {
        let Some(after) = object.host().profile().hibernate_after else { return };
        if self.timed.replace(true) {
            return;
        }
        let weak = Rc::downgrade(object);
        let host = Rc::clone(object.host());
        if after.is_zero() {
            // In a turn of its own, when whoever woke the object has done with it. One that cannot rest then has tasks
            // that run, and comes here again with the last of them.
            return host.spawn(Box::pin(async move {
                let Some(object) = weak.upgrade().filter(|object| !object.life().has_ended()) else { return };
                object.idle().timed.set(false);
                hibernate(&object);
            }));
        }
        object.host().spawn(Box::pin(async move {
            let mut nap = after;
            loop {
                host.sleep(nap).await;
                let Some(object) = weak.upgrade().filter(|object| !object.life().has_ended()) else { return };
                let idle = host.now().since(object.idle().last_event.get());
                nap = after.saturating_sub(idle);
                if nap.is_zero() {
                    nap = after.max(Duration::from_millis(1));
                    if hibernate(&object) {
                        object.idle().timed.set(false);
                        return;
                    }
                }
            }
        }));
    }
}
