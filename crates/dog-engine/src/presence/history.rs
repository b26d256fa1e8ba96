//! The newest changes: [`History`].

use std::collections::VecDeque;

use dog::Epoch;
use dog::internal::PresenceVersion;

use super::PresenceBounds;
use super::messages::PresenceChanges;
use super::rosters::RosterChange;

/// The newest changes of one life of the Group, within bounds.
#[derive(Debug)]
pub(super) struct History {
    /// The version before the first change that is kept. It may be one of an earlier life.
    base: PresenceVersion,
    life: Epoch,
    changes: VecDeque<RosterChange>,
    bytes: usize,
    bounds: PresenceBounds,
}

impl History {
    /// This life goes on after a version, and has changed nothing yet.
    pub(super) fn new(base: PresenceVersion, life: Epoch, bounds: PresenceBounds) -> Self {
        Self { base, life, changes: VecDeque::new(), bytes: 0, bounds }
    }

    /// The version now.
    pub(super) fn head(&self) -> PresenceVersion {
        PresenceVersion { life: self.life, ..self.base }.plus(self.changes.len() as u64)
    }

    pub(super) fn push(&mut self, change: RosterChange) {
        self.bytes += change.size();
        self.changes.push_back(change);
        while !self.bounds.hold(self.changes.len(), self.bytes)
            && let Some(oldest) = self.changes.pop_front()
        {
            self.bytes -= oldest.size();
            self.base = PresenceVersion { life: self.life, ..self.base }.plus(1);
        }
    }

    /// The first changes since a version, as many as the bounds hold. `None` if they are not all kept.
    pub(super) fn since(&self, version: PresenceVersion, bounds: PresenceBounds) -> Option<PresenceChanges> {
        let is_own = version.life == self.life && version.number >= self.base.number && version <= self.head();
        if version != self.base && !is_own {
            return None;
        }
        let skipped = usize::try_from(version.number - self.base.number).ok()?;
        let mut bytes = 0;
        let fits = |(index, change): &(usize, &RosterChange)| {
            bytes += change.size();
            bounds.hold(index + 1, bytes)
        };
        let changes = self.changes.iter().skip(skipped).enumerate().take_while(fits);
        Some(PresenceChanges {
            since: version,
            life: self.life,
            changes: changes.map(|(_, change)| change.clone()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use dog::ClientId;
    use dog::internal::PresenceChange;

    use super::*;

    fn arrived(number: u64) -> RosterChange {
        PresenceChange::Arrived { client: ClientId::new(format!("u{number:04}")).unwrap() }.into()
    }

    fn version(life: u64, number: u64) -> PresenceVersion {
        PresenceVersion { life: Epoch::from_raw(life), number, epoch: Epoch::from_raw(1) }
    }

    #[test]
    fn what_is_kept_is_bounded_by_number_and_by_bytes() {
        let size = arrived(1).size();
        for bounds in [PresenceBounds { changes: 10, bytes: 9999 }, PresenceBounds { changes: 99, bytes: 10 * size }] {
            let mut history = History::new(version(1, 5), Epoch::from_raw(2), bounds);
            let all = PresenceBounds { changes: 1000, bytes: 1_000_000 };
            assert_eq!(history.since(version(1, 5), all).unwrap().version(), version(2, 5));
            (6..106).for_each(|number| history.push(arrived(number)));
            assert_eq!((history.head(), history.changes.len(), history.bytes), (version(2, 105), 10, 10 * size));
            let since = |number| history.since(version(2, number), all).map(|list| list.changes);
            assert_eq!(since(94), None);
            assert_eq!(since(95).unwrap().len(), 10);
            assert_eq!(since(104).unwrap(), [arrived(105)]);
            assert_eq!(since(105).unwrap(), []);
            assert_eq!(since(106), None, "it has not happened");
            let first = history.since(version(2, 100), PresenceBounds { changes: 2, bytes: 9999 }).unwrap();
            assert_eq!((first.version(), first.changes.len()), (version(2, 102), 2));
        }
    }

    #[test]
    fn only_the_version_that_a_life_has_begun_with_is_known_of_an_earlier_life() {
        let bounds = PresenceBounds { changes: 10, bytes: 9999 };
        let mut history = History::new(version(1, 5), Epoch::from_raw(3), bounds);
        history.push(arrived(6));
        assert_eq!(history.since(version(1, 5), bounds).unwrap().version(), version(3, 6));
        assert!(
            [version(1, 4), version(1, 6), version(2, 5), version(4, 5)]
                .iter()
                .all(|unknown| { history.since(*unknown, bounds).is_none() })
        );
    }
}
