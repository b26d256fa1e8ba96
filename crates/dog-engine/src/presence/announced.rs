//! What was told last, and to whom: [`Announced`].

use std::collections::BTreeSet;

use dog::internal::PresenceVersion;
use dog::{Epoch, ReplicaId, Timestamp};

use super::history::History;
use super::messages::{Following, PresenceAnswer, PresenceChanges, PresenceQuestion, RosterPage};
use super::rosters::{RosterChange, RosterKey, Rosters};
use super::{PresenceBounds, PresenceSettings};
use crate::log::Heads;

/// The rosters as everybody has been told, the newest changes, and the Replicas that follow.
#[derive(Debug)]
pub(super) struct Announced {
    rosters: Rosters,
    history: History,
    /// The version up to which changes were sent.
    sent: PresenceVersion,
    /// Who has not acknowledged the version: it is repeated to them.
    heads: Heads,
    followers: BTreeSet<ReplicaId>,
    list: PresenceBounds,
}

impl Announced {
    /// A life of the Group goes on with these rosters.
    pub(super) fn new(rosters: Rosters, base: PresenceVersion, life: Epoch, settings: &PresenceSettings) -> Self {
        Self {
            rosters,
            history: History::new(base, life, settings.history),
            sent: base,
            heads: Heads::new(base.number),
            followers: BTreeSet::new(),
            list: settings.list,
        }
    }

    pub(super) fn rosters(&self) -> &Rosters {
        &self.rosters
    }

    pub(super) fn version(&self) -> PresenceVersion {
        self.history.head()
    }

    /// Numbers a change. Returns `false` if it was not possible: then nothing has happened.
    pub(super) fn push(&mut self, change: RosterChange) -> bool {
        let is_possible = self.rosters.apply(&change);
        if is_possible {
            self.history.push(change);
        }
        is_possible
    }

    /// The changes that were not sent yet: one list for all who follow. The first list of a life may be empty, and says that
    /// the life goes on after this version.
    pub(super) fn next_list(&mut self, changes: Vec<RosterChange>, now: Timestamp) -> Option<PresenceChanges> {
        let (since, version) = (self.sent, self.version());
        if since == version {
            return None;
        }
        self.sent = version;
        self.heads.sent(version.number, now);
        Some(PresenceChanges { since, life: version.life, changes })
    }

    pub(super) fn followers(&self) -> impl Iterator<Item = ReplicaId> + '_ {
        self.followers.iter().copied()
    }

    /// A life of a Replica has said whether it follows.
    pub(super) fn set_following(&mut self, replica: ReplicaId, following: Following, now: Timestamp) {
        self.remove(replica);
        if following == Following::No {
            return;
        }
        self.followers.insert(replica);
        self.heads.find(replica, now);
        if let Following::At(version) = following {
            self.acknowledged(replica, version, now);
        }
    }

    pub(super) fn remove(&mut self, replica: ReplicaId) {
        self.followers.remove(&replica);
        self.heads.remove(replica);
    }

    pub(super) fn acknowledged(&mut self, replica: ReplicaId, version: PresenceVersion, now: Timestamp) {
        if version.life == self.version().life {
            self.heads.acknowledge(replica, version.number, now);
        }
    }

    /// The Replicas that the version has to be repeated to now.
    pub(super) fn due_repeats(&mut self, now: Timestamp) -> Vec<ReplicaId> {
        self.heads.due(now)
    }

    pub(super) fn next_repeat(&self) -> Option<Timestamp> {
        self.heads.next_time()
    }

    pub(super) fn answer(&self, question: &PresenceQuestion) -> PresenceAnswer {
        let page = match question {
            PresenceQuestion::Since(version) => {
                let changes = version.and_then(|version| self.history.since(version, self.list));
                if let Some(changes) = changes {
                    return PresenceAnswer::Changes(changes);
                }
                None
            }
            PresenceQuestion::Next { since, after } => self.next_page(*since, after),
        };
        PresenceAnswer::Page(Box::new(page.unwrap_or_else(|| self.first_page())))
    }

    fn first_page(&self) -> RosterPage {
        let (entries, next) = self.rosters.page(None, self.list);
        RosterPage { version: self.version(), after: None, changes: Vec::new(), entries, next }
    }

    /// `None`: what has changed since the pages before is not known any more.
    fn next_page(&self, since: PresenceVersion, after: &RosterKey) -> Option<RosterPage> {
        let mut list = self.history.since(since, self.list)?;
        let version = list.version();
        list.changes.retain(|change| RosterKey::of(change) <= *after);
        let (entries, next) = if version == self.version() {
            self.rosters.page(Some(after), self.list)
        } else {
            // First the rest of the changes: the entries are those of the newest version.
            (Vec::new(), Some(after.clone()))
        };
        Some(RosterPage { version, after: Some(after.clone()), changes: list.changes, entries, next })
    }
}
