//! A Replica of the world, as the engine's driver will use its presence.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use dog::internal::{ConnectionId, PresenceVersion, Topic, TopicChange};
use dog::{ClientId, Epoch, ReplicaId, Timestamp};
use dog_engine::presence::{
    ConnectionEnd, Following, OwnConnections, PresenceAnswer, PresenceBounds, PresenceChanges, PresenceFollower,
    PresenceNews, PresenceReportAnswer, PresenceRound, RosterChange, RosterQuestion, Rosters,
};

use crate::world::{Log, Mail, ToGroup};
use crate::{Checked, ensure};

/// After this time a report is sent again that was not answered.
const REPORT_AGAIN: Duration = Duration::from_secs(1);

/// What a host keeps of an open socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Socket {
    pub(crate) id: ConnectionId,
    pub(crate) client: ClientId,
    pub(crate) value: Bytes,
    pub(crate) topics: BTreeSet<Topic>,
}

pub(crate) struct Replica {
    pub(crate) number: usize,
    pub(crate) life: u64,
    pub(crate) is_alive: bool,
    pub(crate) sockets: Vec<Socket>,
    follows: bool,
    own: OwnConnections,
    follower: PresenceFollower,
    /// Who is there according to what the user's code was told.
    told: Rosters,
    reported_at: Option<Timestamp>,
}

pub(crate) fn id(replica: usize) -> ReplicaId {
    ReplicaId::from_name("room", &replica.to_string())
}

impl Replica {
    pub(crate) fn new(number: usize, life: u64, follows: bool) -> Self {
        Self {
            number,
            life,
            is_alive: true,
            sockets: Vec::new(),
            follows,
            own: OwnConnections::new(id(number), Epoch::from_raw(life)),
            follower: PresenceFollower::default(),
            told: Rosters::default(),
            reported_at: None,
        }
    }

    /// It loses its memory. Its sockets end, or stay open.
    pub(crate) fn next_life(&mut self, keeps_sockets: bool) {
        let sockets = std::mem::take(&mut self.sockets);
        *self = Self::new(self.number, self.life + 1, self.follows);
        if keeps_sockets {
            for socket in &sockets {
                self.own.reopen(socket.id, socket.client.clone(), socket.value.clone());
                self.own.set_topics(socket.id, socket.topics.clone());
            }
            self.sockets = sockets;
        }
    }

    pub(crate) fn open(&mut self, client: ClientId, value: Bytes) {
        let id = self.own.open(client.clone(), value.clone()).expect("the value is short");
        self.sockets.push(Socket { id, client, value, topics: BTreeSet::new() });
    }

    /// Subscribes a socket to a topic, or ends its subscription.
    pub(crate) fn toggle(&mut self, socket: usize, topic: Topic) {
        let Socket { id, topics, .. } = &mut self.sockets[socket];
        if !topics.remove(&topic) {
            topics.insert(topic);
        }
        assert!(self.own.set_topics(*id, topics.clone()), "they were others");
    }

    pub(crate) fn close(&mut self, socket: usize, departure: ConnectionEnd) {
        let closed = self.sockets.swap_remove(socket);
        assert!(self.own.close(closed.id, departure), "it was open");
    }

    pub(crate) fn close_all(&mut self, departure: ConnectionEnd, is_closed: impl Fn(&ClientId) -> bool) {
        while let Some(at) = self.sockets.iter().position(|socket| is_closed(&socket.client)) {
            self.close(at, departure);
        }
    }

    pub(crate) fn update(&mut self, socket: usize, value: Bytes) {
        self.sockets[socket].value = value.clone();
        self.own.set_value(self.sockets[socket].id, value).expect("the value is short");
    }

    pub(crate) fn assign(&mut self, socket: usize, client: &ClientId) {
        self.sockets[socket].client = client.clone();
        assert!(self.own.assign(self.sockets[socket].id, client.clone()), "it is open");
    }

    fn following(&self) -> Following {
        if self.follows { self.follower.following() } else { Following::No }
    }

    fn to_group(&self, message: ToGroup) -> Mail {
        Mail::ToGroup { replica: self.number, life: self.life, message }
    }

    /// What is due is sent.
    pub(crate) fn tick(&mut self, now: Timestamp) -> Vec<Mail> {
        let mut mail = Vec::new();
        if !self.is_alive {
            return mail;
        }
        if self.reported_at.is_none_or(|at| at + REPORT_AGAIN <= now)
            && let Some((round, report)) = self.own.report(self.following())
        {
            self.reported_at = Some(now);
            mail.push(self.to_group(ToGroup::Report(round, report)));
        }
        if self.follows
            && let Some(question) = self.follower.begin_fetch()
        {
            mail.push(self.to_group(ToGroup::Question(question)));
        }
        mail
    }

    /// A life of the Group counts its members.
    pub(crate) fn census(&mut self, group: Epoch, now: Timestamp) -> Vec<Mail> {
        self.own.is_counted_by(group);
        let mut mail = self.tick(now);
        mail.push(self.to_group(ToGroup::Counted(group)));
        mail
    }

    pub(crate) fn answered(&mut self, round: PresenceRound, answer: PresenceReportAnswer) {
        self.reported_at = None;
        self.own.answered(round, answer);
    }

    pub(crate) fn came(&mut self, list: &PresenceChanges, log: &mut Log) -> Checked<Vec<Mail>> {
        let news = self.follower.came(list);
        self.hook(news, log)?;
        Ok(self.acknowledge())
    }

    pub(crate) fn told(&mut self, version: PresenceVersion) -> Vec<Mail> {
        self.follower.told(version);
        self.acknowledge()
    }

    pub(crate) fn fetched(&mut self, answer: PresenceAnswer, log: &mut Log) -> Checked<Vec<Mail>> {
        let news = self.follower.fetched(answer);
        self.hook(news, log)?;
        Ok(self.acknowledge())
    }

    pub(crate) fn fetch_failed(&mut self) {
        self.follower.fetch_failed();
    }

    pub(crate) fn roster(&mut self, question: &RosterQuestion, bounds: PresenceBounds) -> Mail {
        let page = self.follower.page_for_group(question, bounds);
        self.to_group(ToGroup::Roster(question.life, page))
    }

    fn acknowledge(&self) -> Vec<Mail> {
        self.follower.version().map(|version| self.to_group(ToGroup::Acknowledge(version))).into_iter().collect()
    }

    /// The user's code is told. It has to be possible, and complete.
    fn hook(&mut self, news: Option<PresenceNews>, log: &mut Log) -> Checked {
        let number = self.number;
        match news {
            Some(PresenceNews::Reset(_)) => self.told = self.follower.rosters().clone(),
            Some(PresenceNews::Changed { changes, in_topics, .. }) => {
                let in_topics = in_topics.into_iter();
                let in_topics =
                    in_topics.map(|TopicChange { topic, change }| RosterChange { topic: Some(topic), change });
                for change in changes.into_iter().map(RosterChange::from).chain(in_topics) {
                    ensure!(self.told.apply(&change), "Replica {number} is told {change:?} of {:?}", self.told);
                }
            }
            None => {}
        }
        let Some(version) = self.follower.version() else { return Ok(()) };
        ensure!(self.told == *self.follower.rosters(), "Replica {number} was not told everything up to {version:?}");
        log.seen(version, &self.told).map_err(|wrong| format!("Replica {number}: {wrong}"))
    }

    /// Who is there for the user's code, if it follows.
    pub(crate) fn knows(&self) -> Option<&Rosters> {
        (self.follows && self.is_alive).then_some(&self.told)
    }
}
