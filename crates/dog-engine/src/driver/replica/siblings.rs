//! What a Replica knows from its Group: its siblings, and which of them are parked. Pure.

use std::sync::Arc;

use dog::{Epoch, ReplicaId};

use crate::address::{ReplicaAddress, Targets, View, ViewVersion};

/// The view of the Group, as this Replica was last told it.
#[derive(Debug, Default)]
pub(super) struct Siblings {
    /// Whether the Group has told the limit and a view.
    enrolled: bool,
    view: View,
    /// Whether a later life of the Group than that of the view has counted the seats here, without telling its view.
    later_life: bool,
    /// The parked siblings, with the view that they belong to. They are not part of the view: what is sent to every member
    /// at every change must not grow with the number of Replicas that ever existed. Whenever one is parked or used again the
    /// view changes, so the Group is asked for them once per view.
    parked: Option<(ViewVersion, Arc<[ReplicaId]>)>,
}

impl Siblings {
    pub(super) fn is_enrolled(&self) -> bool {
        self.enrolled
    }

    pub(super) fn enrol(&mut self) {
        self.enrolled = true;
    }

    /// Takes a later view. Views may arrive late or twice.
    pub(super) fn update(&mut self, view: View) {
        if view.version > self.view.version {
            self.later_life &= view.version.epoch == self.view.version.epoch;
            self.view = view;
        }
    }

    /// A life of the Group that has not placed anybody yet has counted the seats here.
    pub(super) fn note_later_life(&mut self) {
        self.later_life = true;
    }

    /// Whether the Group has begun another life since it was in this one. Then it does not know the tickets of that life.
    pub(super) fn are_of_later_life(&self, epoch: Epoch) -> bool {
        self.later_life || epoch < self.view.version.epoch
    }

    pub(super) fn version(&self) -> ViewVersion {
        self.view.version
    }

    /// All siblings of `me`.
    pub(super) fn of(&self, me: ReplicaAddress) -> Targets {
        Targets { group: me.group, replicas: Arc::clone(&self.view.members), except: Some(me.replica) }
    }

    /// The parked siblings, if they are known for the current view.
    pub(super) fn parked(&self) -> Option<Arc<[ReplicaId]>> {
        let known = self.parked.as_ref().filter(|(version, _)| *version == self.view.version);
        known.map(|(_, parked)| Arc::clone(parked))
    }

    /// The Group has told the parked siblings when the view was `version`.
    pub(super) fn set_parked(&mut self, version: ViewVersion, parked: Arc<[ReplicaId]>) {
        self.parked = Some((version, parked));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(epoch: u64, change: u64) -> View {
        View { version: ViewVersion { epoch: Epoch::from_raw(epoch), change }, members: Arc::new([]) }
    }

    #[test]
    fn only_a_later_view_counts() {
        let mut siblings = Siblings::default();
        for (epoch, change, expected) in [(1, 2, (1, 2)), (1, 1, (1, 2)), (2, 1, (2, 1)), (1, 9, (2, 1))] {
            siblings.update(view(epoch, change));
            let version = siblings.version();
            assert_eq!((version.epoch.as_u64(), version.change), expected);
        }
    }

    #[test]
    fn a_ticket_is_of_an_earlier_life_once_a_later_one_was_heard() {
        let is_earlier = |siblings: &Siblings| [1, 2].map(|epoch| siblings.are_of_later_life(Epoch::from_raw(epoch)));
        let mut siblings = Siblings::default();
        siblings.update(view(1, 1));
        assert_eq!(is_earlier(&siblings), [false, false]);
        siblings.note_later_life();
        assert_eq!(is_earlier(&siblings), [true, true], "it has counted the seats, and who it is is not known yet");
        siblings.update(view(1, 2));
        assert_eq!(is_earlier(&siblings), [true, true], "a view of the life before is late");
        siblings.update(view(2, 1));
        assert_eq!(is_earlier(&siblings), [true, false]);
    }

    #[test]
    fn parked_siblings_are_known_for_one_view() {
        let mut siblings = Siblings::default();
        siblings.update(view(1, 1));
        assert_eq!(siblings.parked(), None);
        let parked: Arc<[ReplicaId]> = Arc::new([ReplicaId::from_name("room", "1")]);
        siblings.set_parked(siblings.version(), Arc::clone(&parked));
        assert_eq!(siblings.parked(), Some(parked));
        siblings.update(view(1, 2));
        assert_eq!(siblings.parked(), None);
    }
}
