//! The Group of the world, as the engine's driver will use its presence, with the naive model beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dog::internal::{PresenceChange, PresenceVersion};
use dog::{ClientId, Epoch, Timestamp};
use dog_engine::presence::{
    ConnectionEnd, Following, GroupPresence, PresenceChanges, PresenceQuestion, PresenceReport, PresenceReportAnswer,
    PresenceSettings, PresenceStart, ReportVerdict, RosterChange, RosterPage,
};

use crate::model::Model;
use crate::replica::id;
use crate::world::{Log, Mail, REPLICAS, ToReplica};
use crate::{Checked, ensure};

/// How long a Group that wakes waits for the Replicas.
const CENSUS: Duration = Duration::from_secs(2);

/// How often a Replica is asked that was not counted.
const ASK_AGAIN: Duration = Duration::from_millis(500);

pub(crate) struct Group {
    pub(crate) life: u64,
    settings: PresenceSettings,
    presence: GroupPresence,
    model: Model,
    woke_at: Timestamp,
    ask_at: Timestamp,
    /// The Replicas that have answered the question for their connections.
    counted: BTreeSet<usize>,
    /// The versions that were named in censuses, by Replicas that have not failed to tell their rosters.
    known: BTreeMap<dog::ReplicaId, PresenceVersion>,
}

fn number(replica: dog::ReplicaId) -> usize {
    (0..REPLICAS).find(|number| id(*number) == replica).expect("it is one of the Replicas")
}

impl Group {
    pub(crate) fn new(life: u64, settings: PresenceSettings, now: Timestamp) -> Self {
        Self {
            life,
            settings,
            presence: GroupPresence::new(Epoch::from_raw(life), settings),
            model: Model::new(settings),
            woke_at: now,
            ask_at: now,
            counted: BTreeSet::new(),
            known: BTreeMap::new(),
        }
    }

    pub(crate) fn presence(&self) -> &GroupPresence {
        &self.presence
    }

    fn mail(&self, replica: usize, message: ToReplica) -> Mail {
        Mail::ToReplica { replica, message }
    }

    pub(crate) fn report(&mut self, report: &PresenceReport, now: Timestamp) -> PresenceReportAnswer {
        let answer = self.presence.report(report.clone(), now);
        if answer.verdict == ReportVerdict::Taken {
            let is_new = self.model.report(report, now);
            if is_new && report.census {
                self.known.remove(&report.replica);
                if let Following::At(version) = report.following {
                    self.known.insert(report.replica, version);
                }
            }
        }
        answer
    }

    pub(crate) fn question(&self, question: &PresenceQuestion) -> dog_engine::presence::PresenceAnswer {
        self.presence.answer(question)
    }

    pub(crate) fn acknowledged(&mut self, replica: usize, version: PresenceVersion, now: Timestamp) {
        self.presence.acknowledged(id(replica), version, now);
    }

    pub(crate) fn was_counted(&mut self, replica: usize) {
        self.counted.insert(replica);
    }

    pub(crate) fn lost(&mut self, replica: usize, life: u64, departure: ConnectionEnd, now: Timestamp) {
        self.known.remove(&id(replica));
        self.presence.lost(id(replica), Epoch::from_raw(life), departure, now);
        self.model.lost(id(replica), Epoch::from_raw(life), departure, now);
    }

    pub(crate) fn disconnect(&mut self, client: &ClientId, now: Timestamp) {
        self.presence.disconnect(client, now);
        self.model.disconnect(client, now);
    }

    pub(crate) fn roster(
        &mut self,
        replica: usize,
        page: Option<RosterPage>,
        log: &mut Log,
        now: Timestamp,
    ) -> Checked<Vec<Mail>> {
        let start = match page {
            Some(page) => self.presence.roster(id(replica), page, now),
            None => {
                self.known.remove(&id(replica));
                self.presence.no_roster(id(replica), now)
            }
        };
        start.map_or(Ok(Vec::new()), |start| self.started(start, log, now))
    }

    fn started(&mut self, start: PresenceStart, log: &mut Log, now: Timestamp) -> Checked<Vec<Mail>> {
        if let PresenceStart::Ask(replica, question) = start {
            return Ok(vec![self.mail(number(replica), ToReplica::Roster(question))]);
        }
        let (roster, version) = self.presence.told().ok_or("it has not started")?;
        if start == PresenceStart::Reset {
            ensure!(self.known.is_empty(), "a new epoch begins, but {:?} are known", self.known);
            self.model.reset();
        } else {
            // A Replica may have learned of a later epoch after it was counted.
            let progress = |version: &PresenceVersion| (version.epoch, version.number);
            let newest = self.known.values().max().map(progress);
            ensure!(
                Some(progress(&version)) >= newest,
                "it goes on with {version:?} although {:?} are known",
                self.known
            );
            self.model.go_on(roster, now);
        }
        log.seen(version, roster)?;
        Ok(Vec::new())
    }

    /// What is due is done.
    pub(crate) fn tick(&mut self, log: &mut Log, now: Timestamp) -> Checked<Vec<Mail>> {
        let mut mail = Vec::new();
        // A report may be of an earlier life of the Replica, whose connections it does not have any more: so each is asked.
        let unanswered: Vec<_> = (0..REPLICAS).filter(|replica| !self.counted.contains(replica)).collect();
        if self.ask_at <= now {
            self.ask_at = now + ASK_AGAIN;
            let census = || ToReplica::Census(Epoch::from_raw(self.life));
            mail.extend(unanswered.iter().map(|replica| self.mail(*replica, census())));
        }
        // It is called once: what follows is caused by answers.
        let are_counted = unanswered.is_empty() && (0..REPLICAS).all(|replica| self.presence.is_counted(id(replica)));
        let is_due = are_counted || self.woke_at + CENSUS <= now;
        if is_due && self.woke_at > Timestamp::default() {
            self.woke_at = Timestamp::default();
            let start = self.presence.start(now);
            mail.extend(self.started(start, log, now)?);
        }
        if let Some(list) = self.presence.advance(now) {
            self.check(&list, log, now)?;
            let followers = self.presence.followers().into_iter();
            mail.extend(followers.map(|replica| self.mail(number(replica), ToReplica::List(list.clone()))));
        }
        let repeats = self.presence.due_repeats(now);
        if let Some((roster, version)) = self.presence.told() {
            mail.extend(repeats.into_iter().map(|replica| self.mail(number(replica), ToReplica::Head(version))));
            if self.presence.is_settled() {
                self.model.agrees(roster, now)?;
            }
        }
        Ok(mail)
    }

    /// What is told is possible after what was told before, by whichever life; and nobody leaves early.
    fn check(&self, list: &PresenceChanges, log: &mut Log, now: Timestamp) -> Checked {
        ensure!(list.changes.len() <= self.settings.list.changes, "the list is too long: {list:?}");
        let mut roster = log.of(list.since).ok_or("nobody knows the version before")?;
        let mut version = PresenceVersion { life: list.life, ..list.since };
        log.seen(version, &roster)?;
        for change in &list.changes {
            ensure!(roster.apply(change), "{change:?} is told of {roster:?}");
            if let RosterChange { topic, change: PresenceChange::Left { client } } = change {
                let is_here = self.model.is_here(topic.as_ref(), client, now);
                ensure!(!is_here, "{client:?} is in {topic:?}, and is said to leave");
            }
            version = version.plus(1);
            log.seen(version, &roster)?;
        }
        let told = self.presence.told().ok_or("it has not started")?;
        ensure!(told == (&roster, version), "the changes lead to {roster:?} and not to {told:?}");
        Ok(())
    }
}
