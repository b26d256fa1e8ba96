//! [`PendingWrites`]: writes that were passed to the storage and are not completed. A life can end before its writes
//! complete. The next life of that object reads only after them, so that it sees all of them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use dog::Error;
use dog::internal::LocalFuture;
use dog_engine::address::Object;
use tokio::sync::Notify;

use crate::storage::port::{Read, Storage};

/// The writes of one worker. Those of one object complete in the order in which they began.
#[derive(Default)]
pub(super) struct PendingWrites {
    /// Contains only objects with pending writes.
    pending: RefCell<HashMap<Object, Pending>>,
    changed: Notify,
}

/// The writes of one object.
#[derive(Debug, Default)]
struct Pending {
    writes: u64,
    /// How many of them belong to lives that have ended. They must complete before the object is read.
    of_ended_lives: u64,
}

impl PendingWrites {
    /// Notes that a write begins.
    pub(super) fn begin(&self, object: Object) {
        self.pending.borrow_mut().entry(object).or_default().writes += 1;
    }

    /// Notes that the object's oldest write is durable or has failed.
    pub(super) fn done(&self, object: Object) {
        let mut all = self.pending.borrow_mut();
        let Some(pending) = all.get_mut(&object) else { return };
        pending.writes -= 1;
        if pending.of_ended_lives > 0 {
            pending.of_ended_lives -= 1;
            if pending.of_ended_lives == 0 {
                self.changed.notify_waiters();
            }
        }
        if pending.writes == 0 {
            all.remove(&object);
        }
    }

    /// Notes that a life of the object has ended.
    pub(super) fn life_ended(&self, object: Object) {
        if let Some(pending) = self.pending.borrow_mut().get_mut(&object) {
            pending.of_ended_lives = pending.writes;
        }
    }

    /// Returns whether any write of the object is pending.
    pub(super) fn has_any(&self, object: Object) -> bool {
        self.pending.borrow().contains_key(&object)
    }

    /// Reads at once, or after the writes of the object's ended lives.
    pub(super) fn read_after<T: Send + 'static>(
        self: &Rc<Self>,
        storage: &Arc<dyn Storage>,
        object: Object,
        read: impl FnOnce(&dyn Storage) -> Read<T> + 'static,
    ) -> LocalFuture<Result<T, Error>> {
        match self.before_reading(object) {
            None => match read(&**storage) {
                Read::Now(read) => Box::pin(async { read }),
                Read::Later(read) => read,
            },
            Some(done) => {
                let storage = Arc::clone(storage);
                Box::pin(async move {
                    done.await;
                    read(&*storage).into_future().await
                })
            }
        }
    }

    fn must_wait(&self, object: Object) -> bool {
        self.pending.borrow().get(&object).is_some_and(|pending| pending.of_ended_lives > 0)
    }

    /// Returns a future to await before the object is read. It is rarely necessary.
    fn before_reading(self: &Rc<Self>, object: Object) -> Option<impl Future<Output = ()> + 'static> {
        if !self.must_wait(object) {
            return None;
        }
        let this = Rc::clone(self);
        Some(async move {
            loop {
                let changed = this.changed.notified();
                if !this.must_wait(object) {
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
        let writes = Rc::new(PendingWrites::default());
        let (a, b) = (object("a"), object("b"));
        writes.begin(a);
        writes.begin(b);
        writes.begin(a);
        assert!(writes.before_reading(a).is_none(), "its life has not ended");
        writes.life_ended(a);
        writes.begin(a);
        assert!(writes.before_reading(b).is_none(), "the life of another object has ended");
        let mut waits = Box::pin(writes.before_reading(a).expect("two of its writes are pending"));
        for done in [b, a] {
            writes.done(done);
            assert!((&mut waits).now_or_never().is_none(), "its second write is pending");
        }
        writes.done(a);
        assert!((&mut waits).now_or_never().is_some());
        assert!(writes.before_reading(a).is_none());
        writes.done(a);
        writes.begin(b);
        writes.life_ended(a);
        assert!(writes.before_reading(a).is_none(), "none of its own writes is pending");
    }
}
