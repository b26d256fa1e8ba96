//! Writes that were handed to the storage and are not done. A life can end with some of its own among them; the next life
//! of that object reads when they are done, and so reads all that the one before it has written.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use dog_engine::address::Object;
use tokio::sync::Notify;

/// The writes of one worker, which are done in the order in which they were handed over: two numbers say which are.
#[derive(Default)]
pub(super) struct Settling {
    handed_over: Cell<u64>,
    settled: Cell<u64>,
    /// Objects whose life has ended since, and how many writes must be done before they are read.
    owed: RefCell<HashMap<Object, u64>>,
    changed: Notify,
}

impl Settling {
    /// A write is about to be handed over.
    pub(super) fn hands_over(&self) {
        self.handed_over.set(self.handed_over.get() + 1);
    }

    /// The next one is done, or was refused.
    pub(super) fn settles(&self) {
        self.settled.set(self.settled.get() + 1);
        let mut owed = self.owed.borrow_mut();
        if !owed.is_empty() {
            owed.retain(|_, target| self.settled.get() < *target);
            self.changed.notify_waiters();
        }
    }

    /// A life of the object is over. Whether any of the writes under way is its own is not known, and does not matter.
    pub(super) fn life_ended(&self, object: Object) {
        if self.settled.get() < self.handed_over.get() {
            self.owed.borrow_mut().insert(object, self.handed_over.get());
        }
    }

    /// What must be awaited before the object is read; mostly nothing.
    pub(super) fn before_reading(self: &Rc<Self>, object: Object) -> Option<impl Future<Output = ()> + 'static> {
        let target = self.owed.borrow().get(&object).copied()?;
        let this = Rc::clone(self);
        Some(async move {
            loop {
                let changed = this.changed.notified();
                if this.settled.get() >= target {
                    return;
                }
                changed.await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use dog::GroupId;
    use dog_engine::address::{ClassIndex, GroupAddress};
    use futures_util::FutureExt;

    use super::*;

    fn object(name: &str) -> Object {
        Object::Group(GroupAddress { class: ClassIndex(0), group: GroupId::from_name("class", name) })
    }

    #[test]
    fn the_next_life_waits_for_all_that_was_handed_over_before_it_and_for_nothing_later() {
        let settling = Rc::new(Settling::default());
        settling.hands_over();
        settling.hands_over();
        assert!(settling.before_reading(object("a")).is_none(), "its own life goes on");
        settling.life_ended(object("a"));
        settling.hands_over();
        assert!(settling.before_reading(object("b")).is_none(), "another's did");
        let mut waits = Box::pin(settling.before_reading(object("a")).expect("two writes are under way"));
        settling.settles();
        assert!((&mut waits).now_or_never().is_none(), "one is");
        settling.settles();
        assert!((&mut waits).now_or_never().is_some());
        assert!(settling.before_reading(object("a")).is_none());
        settling.settles();
        settling.life_ended(object("a"));
        assert!(settling.before_reading(object("a")).is_none(), "nothing is under way");
    }
}
