//! Writes that were handed to the storage and are not done. A life can end with some of its own among them; the next life
//! of that object reads when they are done, and so reads all that the one before it has written.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use dog_engine::address::Object;
use tokio::sync::Notify;

/// The writes of one worker, which are done in the order in which they were handed over.
#[derive(Default)]
pub(super) struct Settling {
    /// Whose they are, of those that are under way; how many were done before them.
    under_way: RefCell<VecDeque<Object>>,
    settled: Cell<u64>,
    /// The last one of each object that has any under way: how many will be done with it.
    last: RefCell<HashMap<Object, u64>>,
    /// Objects whose life has ended since, and how many writes must be done before they are read.
    owed: RefCell<HashMap<Object, u64>>,
    changed: Notify,
}

impl Settling {
    /// A write is about to be handed over.
    pub(super) fn hands_over(&self, object: Object) {
        let mut under_way = self.under_way.borrow_mut();
        under_way.push_back(object);
        self.last.borrow_mut().insert(object, self.settled.get() + under_way.len() as u64);
    }

    /// The next one is done, or was refused.
    pub(super) fn settles(&self) {
        let Some(object) = self.under_way.borrow_mut().pop_front() else { return };
        let settled = self.settled.get() + 1;
        self.settled.set(settled);
        let mut last = self.last.borrow_mut();
        if last.get(&object) == Some(&settled) {
            last.remove(&object);
        }
        let mut owed = self.owed.borrow_mut();
        if owed.get(&object).is_some_and(|target| *target <= settled) {
            owed.remove(&object);
            self.changed.notify_waiters();
        }
    }

    /// A life of the object is over.
    pub(super) fn life_ended(&self, object: Object) {
        if let Some(target) = self.last.borrow().get(&object) {
            self.owed.borrow_mut().insert(object, *target);
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
        let (a, b) = (object("a"), object("b"));
        settling.hands_over(a);
        settling.hands_over(b);
        settling.hands_over(a);
        assert!(settling.before_reading(a).is_none(), "its own life goes on");
        settling.life_ended(a);
        settling.hands_over(a);
        assert!(settling.before_reading(b).is_none(), "another's did");
        let mut waits = Box::pin(settling.before_reading(a).expect("two of its writes are under way"));
        for _ in 0..2 {
            settling.settles();
            assert!((&mut waits).now_or_never().is_none(), "its second is");
        }
        settling.settles();
        assert!((&mut waits).now_or_never().is_some());
        assert!(settling.before_reading(a).is_none());
        settling.settles();
        settling.hands_over(b);
        settling.life_ended(a);
        assert!(settling.before_reading(a).is_none(), "none of its own is under way");
    }
}
