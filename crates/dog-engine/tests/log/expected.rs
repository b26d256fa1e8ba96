//! One log beside a naive one, which keeps everything and computes each answer from it.

use std::collections::HashMap;
use std::time::Duration;

use dog::Timestamp;
use dog::internal::{LogBounds, Position, Unrecovered};
use dog_engine::log::{
    AnswerBounds, Appended, KEY_AGE, LogHead, Page, PageOrder, Recorded, StoredPublication, TopicLog,
};
use proptest::prelude::*;

use crate::{Checked, ensure, epoch, publication};

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Append { bytes: usize, key: Option<u8> },
    BeginCommit,
    EndCommit { outcome: Outcome },
    Crash,
    Reset { fails: bool },
    Expire,
    Pass { millis: u64 },
    GoBack { millis: u64 },
    Ask { back: u64, most: u32, newest_first: bool, other_epoch: bool },
}

/// What becomes of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Stored,
    StoredAndUnknown,
    NotStored,
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let outcome =
        prop_oneof![5 => Just(Outcome::Stored), 1 => Just(Outcome::StoredAndUnknown), 1 => Just(Outcome::NotStored)];
    let key = prop::option::weighted(0.3, 0..4_u8);
    prop_oneof![
        12 => (0..120_usize, key).prop_map(|(bytes, key)| Op::Append { bytes, key }),
        8 => Just(Op::BeginCommit),
        8 => outcome.prop_map(|outcome| Op::EndCommit { outcome }),
        1 => Just(Op::Crash),
        1 => any::<bool>().prop_map(|fails| Op::Reset { fails }),
        2 => Just(Op::Expire),
        3 => (0..2000_u64).prop_map(|millis| Op::Pass { millis }),
        1 => (KEY_AGE.as_secs() * 1000 - 1000..KEY_AGE.as_secs() * 1000 + 1000).prop_map(|millis| Op::Pass { millis }),
        1 => (0..500_u64).prop_map(|millis| Op::GoBack { millis }),
        10 => (0..20_u64, 0..6_u32, any::<bool>(), prop::bool::weighted(0.05)).prop_map(
            |(back, most, newest_first, other_epoch)| Op::Ask { back, most, newest_first, other_epoch }
        ),
    ]
}

/// The log, its records, and a naive model of both.
struct Compared {
    bounds: LogBounds,
    now: Timestamp,
    /// The latest time so far: the clock may go back.
    latest: Timestamp,
    log: TopicLog,
    epoch: u64,
    made: u64,
    /// What the storage has of this epoch.
    stored: Vec<StoredPublication>,
    /// What a commit is storing.
    committing: Vec<StoredPublication>,
    is_committing: bool,
    /// What everybody has seen.
    seen: Vec<Recorded>,
    /// How many of them have expired for good, although the clock may go back.
    expired: usize,
    /// The publication that each key has named last, if it was seen.
    keys: HashMap<u8, u64>,
}

pub(crate) fn run(bounds: LogBounds, ops: &[Op]) -> Checked {
    let mut compared = Compared {
        bounds,
        now: Timestamp::from_millis(1_000_000),
        latest: Timestamp::from_millis(1_000_000),
        log: new_log(0, bounds),
        epoch: 0,
        made: 0,
        stored: Vec::new(),
        committing: Vec::new(),
        is_committing: false,
        seen: Vec::new(),
        expired: 0,
        keys: HashMap::new(),
    };
    ops.iter().try_for_each(|op| compared.apply(op).map_err(|wrong| format!("{op:?}: {wrong}")))
}

fn new_log(number: u64, bounds: LogBounds) -> TopicLog {
    TopicLog::new(&LogHead { position: Position::new(epoch(number), 0), bounds })
}

impl Compared {
    fn apply(&mut self, op: &Op) -> Checked {
        match *op {
            Op::Append { bytes, key } => self.append(bytes, key)?,
            Op::BeginCommit => {
                if let Some(committing) = self.log.begin_commit() {
                    self.committing = committing.cloned().collect();
                    self.is_committing = true;
                }
            }
            Op::EndCommit { outcome } if self.is_committing => self.end_commit(outcome)?,
            Op::EndCommit { .. } => {}
            Op::Crash => self.crash()?,
            Op::Reset { fails } => self.reset(fails)?,
            Op::Expire => {
                self.expired = self.seen.len() - self.kept().len();
                self.log.expire(self.now);
            }
            Op::Pass { millis } => {
                self.now = self.now + Duration::from_millis(millis);
                self.latest = self.latest.max(self.now);
            }
            Op::GoBack { millis } => self.now = self.now - Duration::from_millis(millis),
            Op::Ask { back, most, newest_first, other_epoch } => self.ask(back, most, newest_first, other_epoch)?,
        }
        self.see()
    }

    fn append(&mut self, bytes: usize, key: Option<u8>) -> Checked {
        self.made += 1;
        let appended = self.log.append(publication(self.made, bytes, key), self.now);
        let named = key.and_then(|key| self.keys.get(&key));
        let earlier = named.and_then(|offset| self.seen.get(usize::try_from(*offset - 1).ok()?));
        let may_be_known = earlier.is_some_and(|earlier| self.now.since(earlier.at) < KEY_AGE);
        let is_known = earlier.is_some_and(|earlier| self.latest.since(earlier.at) < KEY_AGE);
        match appended {
            Appended::Repeated(offset) if self.log.is_visible(offset) => {
                ensure!(may_be_known && named == Some(&offset), "{offset} is not what the key has named: {named:?}");
            }
            Appended::New(_) => ensure!(!is_known, "the key {key:?} was forgotten"),
            Appended::Repeated(_) | Appended::NotNow => {}
        }
        Ok(())
    }

    fn end_commit(&mut self, outcome: Outcome) -> Checked {
        self.is_committing = false;
        let committing = std::mem::take(&mut self.committing);
        if outcome != Outcome::NotStored {
            self.stored.extend(committing);
        }
        if outcome == Outcome::Stored {
            self.log.commit_succeeded();
            return Ok(());
        }
        self.log.commit_failed();
        ensure!(self.log.append(publication(0, 0, None), self.now) == Appended::NotNow, "an offset is given in doubt");
        self.read_again()
    }

    fn read_again(&mut self) -> Checked {
        let from = usize::try_from(self.log.committed().offset()).unwrap_or(usize::MAX);
        let unread: Vec<_> = self.stored.get(from..).unwrap_or_default().to_vec();
        self.log.read_again(unread).map_err(|error| error.to_string())
    }

    /// The Group's life ends while a commit is under way, which may be stored nevertheless. The next one reads the log.
    fn crash(&mut self) -> Checked {
        self.is_committing = false;
        let committing = std::mem::take(&mut self.committing);
        if self.made.is_multiple_of(2) {
            self.stored.extend(committing);
        }
        self.log = new_log(self.epoch, self.bounds);
        self.expired = 0;
        let already_seen = self.seen.len();
        self.read_again()?;
        for index in 0..already_seen {
            let again = self.log.next_visible();
            ensure!(again.as_ref() == self.seen.get(index), "{again:?} was {:?} before", self.seen.get(index));
        }
        Ok(())
    }

    fn reset(&mut self, fails: bool) -> Checked {
        if !self.log.begin_reset() {
            return Ok(());
        }
        if fails {
            self.log.commit_failed();
            return self.read_again();
        }
        self.epoch += 1;
        self.log.reset(epoch(self.epoch));
        self.stored.clear();
        self.seen.clear();
        self.expired = 0;
        self.keys.clear();
        Ok(())
    }

    /// What is seen is stored, and has the next offset.
    fn see(&mut self) -> Checked {
        while let Some(publication) = self.log.next_visible() {
            let offset = publication.offset;
            ensure!(offset == self.seen.len() as u64 + 1, "{offset} is seen after {}", self.seen.len());
            let stored = self.stored.get(self.seen.len());
            ensure!(stored.is_some_and(|stored| stored.publication == publication), "{offset} is seen and not stored");
            if let Some(key) = stored.and_then(|stored| stored.key.as_ref()) {
                self.keys.insert(key[0], offset);
            }
            self.seen.push(publication);
        }
        Ok(())
    }

    /// The newest that the bounds keep.
    fn kept(&self) -> &[Recorded] {
        let is_within = |from: &usize| {
            let kept = &self.seen[*from..];
            let bytes: usize = kept.iter().map(Recorded::size).sum();
            let is_young = kept.iter().all(|publication| self.now.since(publication.at) < self.bounds.age);
            kept.len() <= self.bounds.publications as usize && bytes <= self.bounds.bytes as usize && is_young
        };
        let from = (self.expired..=self.seen.len()).find(is_within).unwrap_or(self.seen.len());
        &self.seen[from..]
    }

    fn ask(&self, back: u64, most: u32, newest_first: bool, other_epoch: bool) -> Checked {
        let head = self.seen.len() as u64;
        // Some positions are one or two after the newest publication.
        let offset = (head + 2).saturating_sub(back);
        let since = Position::new(epoch(if other_epoch { 1000 } else { self.epoch }), offset);
        let most = AnswerBounds { publications: most, bytes: 150 };
        let reason = self.reason(&since, head);
        let recovered = self.log.window().recover(&since, most, self.now);
        let after: Vec<_> = self.seen.iter().filter(|seen| seen.offset > offset).cloned().collect();
        let fits = after.len() <= most.publications as usize && size(&after) <= most.bytes as usize;
        let expected = match reason {
            Some(reason) => Err(reason),
            None if fits => Ok(after.len() as u64),
            None => Err(Unrecovered::GapTooLarge),
        };
        ensure!(recovered == expected, "since {since}: {recovered:?}, not {expected:?}");
        let order = if newest_first { PageOrder::NewestFirst } else { PageOrder::OldestFirst };
        let since = (!back.is_multiple_of(3)).then_some(&since);
        let page = self.log.window().page(since, order, most, self.now);
        let expected = self.page(since, order, most, head);
        ensure!(page == expected, "{order:?} since {since:?}: {page:?}, not {expected:?}");
        self.check_tail(most)
    }

    fn reason(&self, since: &Position, head: u64) -> Option<Unrecovered> {
        if *since.epoch() != epoch(self.epoch) {
            Some(Unrecovered::EpochUnknown)
        } else if since.offset() > head {
            Some(Unrecovered::Future)
        } else {
            let lost = head - since.offset() > self.kept().len() as u64;
            lost.then_some(Unrecovered::Expired)
        }
    }

    fn page(
        &self,
        since: Option<&Position>,
        order: PageOrder,
        most: AnswerBounds,
        head: u64,
    ) -> Result<Page, Unrecovered> {
        let reason = since.and_then(|since| self.reason(since, head));
        if let Some(reason) = reason
            && !(order == PageOrder::NewestFirst && reason == Unrecovered::Expired)
        {
            return Err(reason);
        }
        let mut all: Vec<Recorded> = self.kept().to_vec();
        match order {
            PageOrder::OldestFirst => all.retain(|kept| since.is_none_or(|since| kept.offset > since.offset())),
            PageOrder::NewestFirst => {
                all.retain(|kept| since.is_none_or(|since| kept.offset < since.offset()));
                all.reverse();
            }
        }
        let fits = |count: &usize| *count <= most.publications as usize && size(&all[..*count]) <= most.bytes as usize;
        let count = (0..=all.len()).rev().find(fits).unwrap_or(0);
        let count = if count == 0 && most.publications > 0 { all.len().min(1) } else { count };
        Ok(Page { publications: all[..count].to_vec(), more: count < all.len() })
    }

    fn check_tail(&self, most: AnswerBounds) -> Checked {
        let tail = self.log.window().tail(most, self.now);
        let kept = self.kept();
        let first = self.seen.len() as u64 + 1 - kept.len() as u64;
        ensure!(tail.first == first, "the log keeps {first} and later, the tail says {}", tail.first);
        let fits = |from: &usize| kept.len() - from <= most.publications as usize && size(&kept[*from..]) <= 150;
        let from = (0..=kept.len()).find(fits).unwrap_or(kept.len());
        ensure!(tail.publications == kept[from..], "the tail begins at {:?}", tail.publications.first());
        Ok(())
    }
}

fn size(publications: &[Recorded]) -> usize {
    publications.iter().map(Recorded::size).sum()
}
