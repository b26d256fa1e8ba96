//! When the objects that live on one worker must be woken for their alarms.

use std::collections::{BTreeSet, HashMap};

use dog::Timestamp;
use dog_engine::address::Object;

/// The time of each object's earliest alarm.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    /// The times that have not come.
    set: HashMap<Object, Timestamp>,
    /// The same, ordered by time.
    due: BTreeSet<(Timestamp, Object)>,
}

impl Alarms {
    /// Sets when an object must be woken, or that it must not.
    pub(super) fn set(&mut self, object: Object, at: Option<Timestamp>) {
        let earlier = match at {
            Some(at) => self.set.insert(object, at),
            None => self.set.remove(&object),
        };
        if let Some(earlier) = earlier {
            self.due.remove(&(earlier, object));
        }
        self.due.extend(at.map(|at| (at, object)));
    }

    /// Returns when an object must be woken, if that time has not come.
    pub(super) fn of(&self, object: Object) -> Option<Timestamp> {
        self.set.get(&object).copied()
    }

    /// Returns when the next object must be woken.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Removes and returns an object that must be woken now.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<Object> {
        let (_, object) = self.due.first().copied().filter(|(at, _)| *at <= now)?;
        self.set(object, None);
        Some(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dog::GroupId;
    use dog_engine::address::{ClassIndex, GroupAddress};

    #[test]
    fn one_time_per_object_in_the_order_of_time() {
        let at = Timestamp::from_millis;
        let object = |name| Object::Group(GroupAddress { class: ClassIndex(0), group: GroupId::from_name("g", name) });
        let mut alarms = Alarms::default();
        alarms.set(object("a"), Some(at(50)));
        alarms.set(object("a"), Some(at(20)));
        alarms.set(object("b"), Some(at(10)));
        alarms.set(object("c"), Some(at(5)));
        alarms.set(object("c"), None);
        assert_eq!((alarms.next(), alarms.of(object("a"))), (Some(at(10)), Some(at(20))));
        assert_eq!(alarms.take_due(at(9)), None);
        let due: Vec<_> = std::iter::from_fn(|| alarms.take_due(at(100))).collect();
        assert_eq!(due, [object("b"), object("a")]);
        assert_eq!((alarms.next(), alarms.of(object("a"))), (None, None));
    }
}
