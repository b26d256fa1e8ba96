//! The messages of the world, and what they are delivered to.

use std::collections::BTreeMap;
use std::time::Duration;

use dog::Timestamp;
use dog::internal::PresenceVersion;
use dog_engine::presence::{
    PresenceAnswer, PresenceBounds, PresenceChanges, PresenceQuestion, PresenceReport, PresenceReportAnswer,
    PresenceRound, PresenceSettings, RosterPage, RosterQuestion, Rosters,
};

use crate::group::Group;
use crate::replica::Replica;
use crate::{Checked, ensure};

pub(crate) const REPLICAS: usize = 3;

#[derive(Clone, Debug)]
pub(crate) enum ToGroup {
    Report(PresenceRound, PresenceReport),
    Question(PresenceQuestion),
    Acknowledge(PresenceVersion),
    /// The life that sends it has heard this life of the Group, and reports to it.
    Counted(dog::Epoch),
    /// To the life of the Group that has asked.
    Roster(dog::Epoch, Option<RosterPage>),
}

#[derive(Clone, Debug)]
pub(crate) enum ToReplica {
    /// This life of the Group has woken.
    Census(dog::Epoch),
    List(PresenceChanges),
    Head(PresenceVersion),
    Roster(RosterQuestion),
    /// Both to the life of the Replica that has asked.
    Reported(u64, PresenceRound, PresenceReportAnswer),
    Answer(u64, PresenceAnswer),
}

/// A message on its way.
#[derive(Clone, Debug)]
pub(crate) enum Mail {
    ToGroup { replica: usize, life: u64, message: ToGroup },
    ToReplica { replica: usize, message: ToReplica },
}

/// Every version that was ever known, and who was there.
#[derive(Default)]
pub(crate) struct Log {
    versions: BTreeMap<PresenceVersion, Rosters>,
}

impl Log {
    /// Somebody knows this version: it is the same everywhere.
    pub(crate) fn seen(&mut self, version: PresenceVersion, roster: &Rosters) -> Checked {
        let known = self.versions.entry(version).or_insert_with(|| roster.clone());
        ensure!(known == roster, "{version:?} is {known:?} and {roster:?}");
        Ok(())
    }

    pub(crate) fn of(&self, version: PresenceVersion) -> Option<Rosters> {
        self.versions.get(&version).cloned()
    }
}

pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) settings: PresenceSettings,
    pub(crate) lives: u64,
    /// `None`: it is not in memory.
    pub(crate) group: Option<Group>,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) mail: Vec<Mail>,
    pub(crate) log: Log,
}

impl World {
    pub(crate) fn new(settings: PresenceSettings, follows: [bool; REPLICAS]) -> Self {
        let now = Timestamp::from_millis(1_000_000);
        Self {
            now,
            settings,
            lives: 1,
            group: Some(Group::new(1, settings, now)),
            replicas: (0..REPLICAS).map(|number| Replica::new(number, 1, follows[number])).collect(),
            mail: Vec::new(),
            log: Log::default(),
        }
    }

    /// What a page for the Group has at most.
    fn page(&self) -> PresenceBounds {
        self.settings.list
    }

    pub(crate) fn deliver(&mut self, mail: Mail) -> Checked {
        match mail {
            Mail::ToGroup { replica, life, message } if self.group.is_some() => {
                self.deliver_to_group(replica, life, message)
            }
            Mail::ToReplica { replica, message } if self.replicas[replica].is_alive => {
                self.deliver_to_replica(replica, message)
            }
            mail => self.lose(&mail),
        }
    }

    fn deliver_to_group(&mut self, replica: usize, life: u64, message: ToGroup) -> Checked {
        let now = self.now;
        let Some(group) = &mut self.group else { return Ok(()) };
        let mut answer = |message| self.mail.push(Mail::ToReplica { replica, message });
        match message {
            ToGroup::Report(round, report) => {
                let said = group.report(&report, now);
                answer(ToReplica::Reported(life, round, said));
            }
            ToGroup::Question(question) => {
                let said = group.question(&question);
                answer(ToReplica::Answer(life, said));
            }
            ToGroup::Acknowledge(version) => group.acknowledged(replica, version, now),
            ToGroup::Counted(asked_by) if asked_by.as_u64() == group.life => group.was_counted(replica),
            ToGroup::Roster(asked_by, page) if asked_by.as_u64() == group.life => {
                let mail = group.roster(replica, page, &mut self.log, now)?;
                self.mail.extend(mail);
            }
            ToGroup::Counted(_) | ToGroup::Roster(..) => {}
        }
        Ok(())
    }

    fn deliver_to_replica(&mut self, number: usize, message: ToReplica) -> Checked {
        let (now, page) = (self.now, self.page());
        let replica = &mut self.replicas[number];
        let mail = match message {
            ToReplica::Census(group) => replica.census(group, now),
            ToReplica::List(list) => replica.came(&list, &mut self.log)?,
            ToReplica::Head(version) => replica.told(version),
            ToReplica::Roster(question) => vec![replica.roster(&question, page)],
            ToReplica::Reported(life, round, answer) if life == replica.life => {
                replica.answered(round, answer);
                Vec::new()
            }
            ToReplica::Answer(life, answer) if life == replica.life => replica.fetched(answer, &mut self.log)?,
            ToReplica::Reported(..) | ToReplica::Answer(..) => Vec::new(),
        };
        self.mail.extend(mail);
        Ok(())
    }

    /// One message is lost. Who has asked learns it from a deadline.
    pub(crate) fn lose(&mut self, mail: &Mail) -> Checked {
        match mail {
            Mail::ToGroup { replica, life, message: ToGroup::Question(_) }
            | Mail::ToReplica { replica, message: ToReplica::Answer(life, _) }
                if self.replicas[*replica].life == *life =>
            {
                self.replicas[*replica].fetch_failed();
            }
            Mail::ToGroup { replica, message: ToGroup::Roster(life, _), .. }
            | Mail::ToReplica { replica, message: ToReplica::Roster(RosterQuestion { life, .. }) } => {
                let Some(group) = self.group.as_mut().filter(|group| group.life == life.as_u64()) else {
                    return Ok(());
                };
                let mail = group.roster(*replica, None, &mut self.log, self.now)?;
                self.mail.extend(mail);
            }
            _ => {}
        }
        Ok(())
    }

    /// Time passes in small steps, and what is due is sent.
    pub(crate) fn pass(&mut self, millis: u64) -> Checked {
        let until = self.now + Duration::from_millis(millis);
        while self.now < until {
            self.now = self.now + Duration::from_millis(50);
            if let Some(group) = &mut self.group {
                self.mail.extend(group.tick(&mut self.log, self.now)?);
            }
            for replica in &mut self.replicas {
                self.mail.extend(replica.tick(self.now));
            }
        }
        Ok(())
    }
}
