//! The alarms of the objects that live on one worker.

use std::collections::{BTreeSet, HashMap};

use dog::Timestamp;
use dog_engine::address::Object;

/// When each object must be woken.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    /// The alarms that are set and have not rung.
    set: HashMap<Object, Timestamp>,
    /// The retries of alarms whose handler failed: when to ring, and how often the handler has failed.
    again: HashMap<Object, (Timestamp, u32)>,
    /// The entries of both maps, ordered by time.
    due: BTreeSet<(Timestamp, Object, u32)>,
}

impl Alarms {
    /// Sets or clears an object's alarm. This also cancels a retry of its last alarm.
    pub(super) fn set(&mut self, object: Object, at: Option<Timestamp>) {
        let earlier = match at {
            Some(at) => self.set.insert(object, at),
            None => self.set.remove(&object),
        };
        if let Some(earlier) = earlier {
            self.due.remove(&(earlier, object, 0));
        }
        if let Some((at, attempt)) = self.again.remove(&object) {
            self.due.remove(&(at, object, attempt));
        }
        self.due.extend(at.map(|at| (at, object, 0)));
    }

    /// Returns the alarm of an object, if it is set and has not rung.
    pub(super) fn of(&self, object: Object) -> Option<Timestamp> {
        self.set.get(&object).copied()
    }

    /// Schedules a retry of an alarm whose handler failed.
    pub(super) fn ring_again(&mut self, object: Object, at: Timestamp, attempt: u32) {
        self.again.insert(object, (at, attempt));
        self.due.insert((at, object, attempt));
    }

    /// Returns when the next alarm is due.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, ..)| *at)
    }

    /// Removes and returns an alarm that is due, with the number of its failed attempts.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<(Object, u32)> {
        let (at, object, attempt) = self.due.first().copied().filter(|(at, ..)| *at <= now)?;
        self.due.pop_first();
        if attempt == 0 && self.set.get(&object) == Some(&at) {
            self.set.remove(&object);
        }
        if self.again.get(&object) == Some(&(at, attempt)) {
            self.again.remove(&object);
        }
        Some((object, attempt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dog::GroupId;
    use dog_engine::address::{ClassIndex, GroupAddress};

    #[test]
    fn one_alarm_per_object_in_the_order_of_time() {
        let at = Timestamp::from_millis;
        let object = |name| Object::Group(GroupAddress { class: ClassIndex(0), group: GroupId::from_name("g", name) });
        let mut alarms = Alarms::default();
        alarms.set(object("a"), Some(at(50)));
        alarms.set(object("a"), Some(at(20)));
        alarms.set(object("b"), Some(at(10)));
        alarms.set(object("c"), Some(at(5)));
        alarms.set(object("c"), None);
        alarms.ring_again(object("d"), at(15), 3);
        alarms.ring_again(object("e"), at(12), 1);
        alarms.set(object("e"), Some(at(60)));
        alarms.ring_again(object("f"), at(12), 1);
        alarms.set(object("f"), None);
        assert_eq!(alarms.next(), Some(at(10)));
        assert_eq!(alarms.take_due(at(9)), None);
        let due: Vec<_> = std::iter::from_fn(|| alarms.take_due(at(100))).collect();
        assert_eq!(due, [(object("b"), 0), (object("d"), 3), (object("a"), 0), (object("e"), 0)]);
        assert_eq!((alarms.next(), alarms.of(object("a"))), (None, None));
    }
}
