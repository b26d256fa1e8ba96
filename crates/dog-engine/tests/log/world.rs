//! The messages of the world, and what they are delivered to.

use std::collections::BTreeMap;
use std::time::Duration;

use dog::Timestamp;
use dog::internal::{LogBounds, LogEpoch, Position, Unrecovered};
use dog_engine::log::{LogHead, Missed, Recorded, Tail};

use crate::group::Group;
use crate::replica::Replica;
use crate::{Checked, ensure};

/// A call of a Replica to its Group.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// Its first socket subscribes: where does the log end?
    Follow,
    /// What has it missed?
    Missed(Position),
    /// What has a socket missed that catches up?
    MissedBy(usize, Position),
    /// The newest publications, for the sockets that have come back.
    Tail,
}

#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Head(LogHead),
    Missed(Missed),
    Tail(Tail),
}

/// A message between the Group and the Replica with this number.
#[derive(Clone, Debug)]
pub(crate) enum Mail {
    Publication(LogEpoch, Recorded),
    Head(Position),
    Acknowledge(Position),
    /// To the life of the Replica that has asked.
    Ask(u64, Ask),
    Answer(u64, Ask, Answer),
}

/// A socket, as its client sees it.
#[derive(Clone, Debug)]
pub(crate) struct Socket {
    /// What it has got last, or where it was subscribed.
    pub(crate) position: Option<Position>,
    pub(crate) replica: usize,
}

/// One Group, its Replicas, the sockets, and the messages on their way.
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) group: Group,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) sockets: Vec<Socket>,
    pub(crate) mail: Vec<(usize, Mail)>,
    /// Every publication that was ever seen in the Group, by its epoch.
    pub(crate) history: BTreeMap<LogEpoch, Vec<Recorded>>,
}

pub(crate) const REPLICAS: usize = 3;
pub(crate) const SOCKETS: usize = 5;

impl World {
    pub(crate) fn new(bounds: LogBounds) -> Self {
        Self {
            now: Timestamp::from_millis(1_000_000),
            group: Group::new(bounds),
            replicas: (0..REPLICAS).map(Replica::new).collect(),
            sockets: (0..SOCKETS).map(|_| Socket { position: None, replica: 0 }).collect(),
            mail: Vec::new(),
            history: BTreeMap::new(),
        }
    }

    pub(crate) fn publish(&mut self, bytes: usize) {
        for publication in self.group.publish(bytes, self.now) {
            let epoch = self.group.epoch();
            self.history.entry(epoch.clone()).or_default().push(publication.clone());
            for replica in self.group.followers() {
                self.mail.push((replica, Mail::Publication(epoch.clone(), publication.clone())));
            }
        }
    }

    /// One message arrives.
    pub(crate) fn deliver(&mut self, (number, mail): (usize, Mail)) -> Checked {
        match mail {
            Mail::Acknowledge(position) => self.group.acknowledged(number, &position, self.now),
            Mail::Ask(life, ask) => {
                let answer = self.group.answer(number, &ask, self.now);
                self.mail.push((number, Mail::Answer(life, ask, answer)));
            }
            mail => {
                let Self { replicas, sockets, now, history, group, .. } = self;
                replicas[number].hears(mail, &mut Seen { sockets, history, group }, *now)?;
                self.collect(number);
            }
        }
        Ok(())
    }

    /// One message is lost. Who has asked learns it from a deadline.
    pub(crate) fn lose(&mut self, (number, mail): (usize, Mail)) {
        if let Mail::Ask(life, ask) | Mail::Answer(life, ask, _) = mail {
            self.replicas[number].ask_failed(life, &ask);
            self.collect(number);
        }
    }

    /// What a Replica wants to send is on its way.
    pub(crate) fn collect(&mut self, number: usize) {
        let sent = self.replicas[number].sent();
        self.mail.extend(sent.into_iter().map(|mail| (number, mail)));
    }

    /// Time passes in small steps: heads are repeated, and acknowledgements are sent.
    pub(crate) fn pass(&mut self, millis: u64) {
        let until = self.now + Duration::from_millis(millis);
        while self.now < until {
            self.now = self.now + Duration::from_millis(50);
            let head = self.group.head();
            let due = self.group.due(self.now);
            self.mail.extend(due.into_iter().map(|replica| (replica, Mail::Head(head.clone()))));
            for number in 0..REPLICAS {
                self.replicas[number].tick(self.now);
                self.collect(number);
            }
        }
    }
}

/// What the sockets of a Replica see, and what is true.
pub(crate) struct Seen<'a> {
    pub(crate) sockets: &'a mut Vec<Socket>,
    pub(crate) history: &'a BTreeMap<LogEpoch, Vec<Recorded>>,
    pub(crate) group: &'a Group,
}

impl Seen<'_> {
    /// A socket gets a publication.
    pub(crate) fn get(&mut self, socket: usize, epoch: &LogEpoch, publication: &Recorded) -> Checked {
        let offset = publication.offset;
        let position = self.sockets[socket].position.replace(Position::new(epoch.clone(), offset));
        let expected = position.as_ref().map(|position| (position.epoch(), position.offset() + 1));
        ensure!(expected == Some((epoch, offset)), "socket {socket} got {epoch}:{offset} after {position:?}");
        let index = usize::try_from(offset - 1).unwrap_or(usize::MAX);
        let recorded = self.history.get(epoch).and_then(|all| all.get(index));
        ensure!(recorded == Some(publication), "socket {socket} got {publication:?}, and the log has {recorded:?}");
        Ok(())
    }

    /// A socket is told that it cannot have what came after its position: that has to be true.
    pub(crate) fn lost(&self, socket: usize, reason: Unrecovered, now: Timestamp) -> Checked {
        let Some(position) = &self.sockets[socket].position else { return Ok(()) };
        let truth = self.group.recover(position, now);
        let is_true = match reason {
            Unrecovered::Expired => matches!(truth, Err(Unrecovered::Expired | Unrecovered::EpochUnknown)),
            Unrecovered::GapTooLarge => truth.is_err(),
            Unrecovered::EpochUnknown => truth == Err(Unrecovered::EpochUnknown),
            Unrecovered::Future | Unrecovered::NotPermitted => false,
        };
        ensure!(is_true, "socket {socket} at {position} is told {reason}, but the log says {truth:?}");
        Ok(())
    }
}
