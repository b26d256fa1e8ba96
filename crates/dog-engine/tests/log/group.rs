//! The Group of the world, as the engine's driver uses the log.

use dog::internal::{LogBounds, LogEpoch, Position, Unrecovered};
use dog::{ReplicaId, Timestamp};
use dog_engine::log::{
    AnswerBounds, Appended, Heads, LogHead, Missed, PageOrder, Recorded, StoredPublication, TopicLog,
};

use crate::world::{Answer, Ask, REPLICAS};
use crate::{epoch, publication};

pub(crate) struct Group {
    log: TopicLog,
    heads: Heads,
    /// Which Replicas it sends to.
    follows: [bool; REPLICAS],
    epochs: u64,
    made: u64,
    stored: Vec<StoredPublication>,
}

fn id(replica: usize) -> ReplicaId {
    ReplicaId::from_name("room", &replica.to_string())
}

impl Group {
    pub(crate) fn new(bounds: LogBounds) -> Self {
        Self {
            log: TopicLog::new(&LogHead { position: Position::new(epoch(0), 0), bounds }),
            heads: Heads::new(0),
            follows: [false; REPLICAS],
            epochs: 0,
            made: 0,
            stored: Vec::new(),
        }
    }

    pub(crate) fn epoch(&self) -> LogEpoch {
        self.log.window().epoch().clone()
    }

    pub(crate) fn head(&self) -> Position {
        self.log.window().position()
    }

    pub(crate) fn followers(&self) -> Vec<usize> {
        (0..REPLICAS).filter(|replica| self.follows[*replica]).collect()
    }

    /// Numbers and stores a publication. Returns what is to be sent.
    pub(crate) fn publish(&mut self, bytes: usize, now: Timestamp) -> Vec<Recorded> {
        self.made += 1;
        let appended = self.log.append(publication(self.made, bytes, None), now);
        assert!(matches!(appended, Appended::New(_)), "there is no key and no doubt");
        let committed: Vec<_> = self.log.begin_commit().into_iter().flatten().cloned().collect();
        self.stored.extend(committed);
        self.log.commit_succeeded();
        let visible: Vec<_> = std::iter::from_fn(|| self.log.next_visible()).collect();
        visible.iter().for_each(|publication| self.heads.sent(publication.offset, now));
        self.log.expire(now);
        visible
    }

    pub(crate) fn acknowledged(&mut self, replica: usize, position: &Position, now: Timestamp) {
        if position.epoch() == self.log.window().epoch() {
            self.heads.acknowledge(id(replica), position.offset(), now);
        }
    }

    pub(crate) fn due(&mut self, now: Timestamp) -> Vec<usize> {
        let due = self.heads.due(now);
        (0..REPLICAS).filter(|replica| due.contains(&id(*replica))).collect()
    }

    pub(crate) fn answer(&mut self, replica: usize, ask: &Ask, now: Timestamp) -> Answer {
        let head = self.log.window().head();
        match ask {
            Ask::Follow => {
                self.follows[replica] = true;
                self.heads.follow(id(replica));
                Answer::Head(head)
            }
            Ask::Missed(since) | Ask::MissedBy(_, since) => {
                let most = AnswerBounds { publications: 4, bytes: 500 };
                let page = self.log.window().page(Some(since), PageOrder::OldestFirst, most, now);
                Answer::Missed(Missed { head, page })
            }
            Ask::Tail => Answer::Tail(self.log.window().tail(AnswerBounds::RECOVERY, now)),
        }
    }

    /// What is true of a position.
    pub(crate) fn recover(&self, since: &Position, now: Timestamp) -> Result<u64, Unrecovered> {
        self.log.window().recover(since, AnswerBounds::RECOVERY, now)
    }

    /// A life ends, and another begins. Its log is in the storage, or lost.
    pub(crate) fn restart(&mut self, is_durable: bool, now: Timestamp) {
        let bounds = self.log.window().bounds();
        if !is_durable {
            self.epochs += 1;
            self.stored.clear();
        }
        self.log = TopicLog::new(&LogHead { position: Position::new(epoch(self.epochs), 0), bounds });
        self.log.read_again(self.stored.clone()).expect("it was stored without a gap");
        while self.log.next_visible().is_some() {}
        self.log.expire(now);
        self.heads = Heads::new(self.head().offset());
        // It does not know which Replicas have subscribers: all may have some.
        (0..REPLICAS).for_each(|replica| self.heads.find(id(replica), now));
        self.follows = [true; REPLICAS];
    }

    pub(crate) fn reset(&mut self, now: Timestamp) {
        assert!(self.log.begin_reset(), "nothing is pending");
        self.epochs += 1;
        self.stored.clear();
        self.log.reset(epoch(self.epochs));
        self.heads.restart(0, now);
    }
}
