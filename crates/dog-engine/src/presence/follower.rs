//! A Replica that follows the presence of its Group: [`PresenceFollower`].

use dog::Epoch;
use dog::internal::{PresenceNews, PresenceVersion, TopicChange};

use super::PresenceBounds;
use super::messages::{Following, PresenceAnswer, PresenceChanges, PresenceQuestion, RosterPage, RosterQuestion};
use super::rosters::{RosterChange, RosterKey, Rosters};

/// The presence as one life of a Replica knows it. What it yields leads from one version of the rosters to the next: so nobody
/// is told to join twice, or to leave without having joined.
#[derive(Debug, Default)]
pub struct PresenceFollower {
    rosters: Rosters,
    /// `None`: nothing is known yet.
    version: Option<PresenceVersion>,
    /// The newest version that the Group has named.
    newest: Option<PresenceVersion>,
    /// The newest life of the Group that was heard. Earlier ones are not listened to.
    life: Epoch,
    /// The pages of a snapshot so far.
    snapshot: Option<Snapshot>,
    is_asking: bool,
}

#[derive(Debug)]
struct Snapshot {
    rosters: Rosters,
    version: PresenceVersion,
    next: RosterKey,
}

impl PresenceFollower {
    /// Who is there in the version that is known.
    pub fn rosters(&self) -> &Rosters {
        &self.rosters
    }

    /// The version that is known: what the Group is told as an acknowledgement.
    pub fn version(&self) -> Option<PresenceVersion> {
        self.version
    }

    /// What a census says.
    pub fn following(&self) -> Following {
        self.version.map_or(Following::New, Following::At)
    }

    /// Whether a life of the Group may be listened to.
    fn hears(&mut self, life: Epoch) -> bool {
        self.life = self.life.max(life);
        life == self.life
    }

    /// The Group has told changes.
    pub fn came(&mut self, list: &PresenceChanges) -> Option<PresenceNews> {
        let to = list.version();
        if !self.hears(to.life) {
            return None;
        }
        self.newest = self.newest.max(Some(to));
        let version = self.version?;
        let is_within = version.life == to.life && (list.since.number..to.number).contains(&version.number);
        if version != list.since && !is_within {
            return None;
        }
        let known = usize::try_from(version.number - list.since.number).ok()?;
        self.version = Some(to);
        let new = list.changes.get(known..)?;
        let changes: Vec<_> = new.iter().filter(|change| self.rosters.apply(change)).cloned().collect();
        news(to, changes)
    }

    /// The Group repeats its version, because it was not acknowledged.
    pub fn told(&mut self, version: PresenceVersion) {
        if self.hears(version.life) {
            self.newest = self.newest.max(Some(version));
        }
    }

    /// Begins to ask for what is missing, if something is and no question is under way.
    pub fn begin_fetch(&mut self) -> Option<PresenceQuestion> {
        if self.version >= self.newest {
            self.snapshot = None;
            return None;
        }
        if self.is_asking {
            return None;
        }
        self.is_asking = true;
        Some(self.snapshot.as_ref().map_or(PresenceQuestion::Since(self.version), |snapshot| PresenceQuestion::Next {
            since: snapshot.version,
            after: snapshot.next.clone(),
        }))
    }

    /// The question was not answered.
    pub fn fetch_failed(&mut self) {
        self.is_asking = false;
    }

    /// The question was answered.
    pub fn fetched(&mut self, answer: PresenceAnswer) -> Option<PresenceNews> {
        self.is_asking = false;
        match answer {
            PresenceAnswer::Changes(list) => {
                self.snapshot = None;
                self.came(&list)
            }
            PresenceAnswer::Page(page) => self.page(*page),
            PresenceAnswer::NotYet => {
                // It tells its version when it has one.
                self.newest = self.version;
                None
            }
        }
    }

    fn page(&mut self, page: RosterPage) -> Option<PresenceNews> {
        let before = self.snapshot.take();
        if !self.hears(page.version.life) {
            return None;
        }
        self.newest = self.newest.max(Some(page.version));
        let mut rosters = match (before, &page.after) {
            (_, None) => Rosters::default(),
            (Some(snapshot), Some(after)) if snapshot.next == *after => snapshot.rosters,
            _ => return None,
        };
        page.changes.iter().chain(&page.entries).for_each(|change| {
            rosters.apply(change);
        });
        if let Some(next) = page.next {
            self.snapshot = Some(Snapshot { rosters, version: page.version, next });
            return None;
        }
        (Some(page.version) > self.version).then(|| self.install(rosters, page.version)).flatten()
    }

    /// A snapshot is complete.
    fn install(&mut self, rosters: Rosters, version: PresenceVersion) -> Option<PresenceNews> {
        let before = std::mem::replace(&mut self.rosters, rosters);
        let known = self.version.replace(version);
        if known.is_none_or(|known| known.epoch != version.epoch) {
            return Some(PresenceNews::Reset(version));
        }
        let changes = before.difference(&self.rosters);
        news(version, changes)
    }

    /// A Group that has woken reads the rosters, within these bounds. From now on no earlier life of it is listened to. `None`:
    /// nothing is known, or the question is one of an earlier life.
    pub fn page_for_group(&mut self, question: &RosterQuestion, bounds: PresenceBounds) -> Option<RosterPage> {
        if !self.hears(question.life) {
            return None;
        }
        let version = self.version?;
        let (entries, next) = self.rosters.page(question.after.as_ref(), bounds);
        Some(RosterPage { version, after: question.after.clone(), changes: Vec::new(), entries, next })
    }
}

/// What the user's code is told of changes that lead to a version. `None`: there are none.
fn news(version: PresenceVersion, all: Vec<RosterChange>) -> Option<PresenceNews> {
    let (mut changes, mut in_topics) = (Vec::new(), Vec::new());
    for RosterChange { topic, change } in all {
        match topic {
            None => changes.push(change),
            Some(topic) => in_topics.push(TopicChange { topic, change }),
        }
    }
    let is_news = !changes.is_empty() || !in_topics.is_empty();
    is_news.then_some(PresenceNews::Changed { version, changes, in_topics })
}
