//! Writes that were handed to the storage and are not done. A life can end with some of its own among them; the next life
//! of that object reads when they are done, and so reads all that the one before it has written.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use dog_engine::address::Object;
use tokio::sync::Notify;

/// The writes of one worker; those of one object are done in the order in which they were handed over.
#[derive(Default)]
pub(super) struct Settling {
    /// Of objects that have any under way.
    under_way: RefCell<HashMap<Object, UnderWay>>,
    changed: Notify,
}

/// One object's writes.
#[derive(Debug, Default)]
struct UnderWay {
    writes: u64,
    /// How many of them must be done before the object is read, its life having ended since they were handed over.
    owed: u64,
}

impl Settling {
    /// A write is about to be handed over.
    pub(super) fn hands_over(&self, object: Object) {
        self.under_way.borrow_mut().entry(object).or_default().writes += 1;
    }

    /// The object's next one is done, or was refused.
    pub(super) fn settles(&self, object: Object) {
        let mut all = self.under_way.borrow_mut();
        let Some(under_way) = all.get_mut(&object) else { return };
        under_way.writes -= 1;
        if under_way.owed > 0 {
            under_way.owed -= 1;
            if under_way.owed == 0 {
                self.changed.notify_waiters();
            }
        }
        if under_way.writes == 0 {
            all.remove(&object);
        }
    }

    /// A life of the object is over.
    pub(super) fn life_ended(&self, object: Object) {
        if let Some(under_way) = self.under_way.borrow_mut().get_mut(&object) {
            under_way.owed = under_way.writes;
        }
    }

    /// Whether any of its writes is under way.
    pub(super) fn is_busy_with(&self, object: Object) -> bool {
        self.under_way.borrow().contains_key(&object)
    }

    fn owes(&self, object: Object) -> bool {
        self.under_way.borrow().get(&object).is_some_and(|under_way| under_way.owed > 0)
    }

    /// What must be awaited before the object is read; mostly nothing.
    pub(super) fn before_reading(self: &Rc<Self>, object: Object) -> Option<impl Future<Output = ()> + 'static> {
        if !self.owes(object) {
            return None;
        }
        let this = Rc::clone(self);
        Some(async move {
            loop {
                let changed = this.changed.notified();
                if !this.owes(object) {
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
        for done in [b, a] {
            settling.settles(done);
            assert!((&mut waits).now_or_never().is_none(), "its second is");
        }
        settling.settles(a);
        assert!((&mut waits).now_or_never().is_some());
        assert!(settling.before_reading(a).is_none());
        settling.settles(a);
        settling.hands_over(b);
        settling.life_ended(a);
        assert!(settling.before_reading(a).is_none(), "none of its own is under way");
    }
}
