//! One durable log and its records, beside a naive log, which keeps everything and computes each answer from it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use dog::Timestamp;
use dog::internal::LogBounds;
use dog_engine::host::Order;
use dog_engine::log::{
    AnswerBounds, Appended, Inquiry, InquiryStep, KEY_AGE, LogAnswer, LogEntries, LogRead, LogTopics, Question,
    Recorded, Restore, Segment, SegmentPlace, StoredLog,
};

use crate::naive::Naive;
use crate::ops::{Asked, Op, Outcome, Write};
use crate::{Checked, ensure, epoch, publication};

/// A write that is under way.
struct UnderWay {
    write: Write,
    entries: LogEntries,
    /// The offset of the last publication that it deletes.
    deletes: usize,
}

/// An inquiry that is answered while the log goes on.
struct Slow {
    inquiry: Inquiry,
    question: Question,
    most: AnswerBounds,
    reads_early: bool,
    /// What is being read, with what was there when the read began.
    reading: Option<(LogRead, Vec<(Bytes, Bytes)>)>,
}

/// The log, its records, and a naive model of both.
struct Compared {
    now: Timestamp,
    /// The latest time so far: the clock may go back.
    latest: Timestamp,
    memory: AnswerBounds,
    log: StoredLog,
    naive: Naive,
    /// How many epochs there were.
    epochs: u64,
    made: u64,
    /// What the storage has, of this topic and two others.
    stored: BTreeMap<Vec<u8>, Bytes>,
    under_way: Option<UnderWay>,
    slow: Option<Slow>,
    /// The publication that each key has named last, if it was seen.
    keys: HashMap<u8, u64>,
}

const TOPIC: &str = "topic";

pub(crate) fn run(bounds: LogBounds, memory: AnswerBounds, ops: &[Op]) -> Checked {
    let now = Timestamp::from_millis(1_000_000);
    let restored = Restore::new(TOPIC, bounds, memory, epoch(0)).finish();
    let others = ["topi", "topics"].map(|other| SegmentPlace { resets: 0, first: 1 }.key(other));
    let mut compared = Compared {
        now,
        latest: now,
        memory,
        log: restored.map_err(|error| error.to_string())?,
        naive: Naive::new(bounds),
        epochs: 0,
        made: 0,
        stored: others.map(|other| (other, Bytes::from("another topic"))).into(),
        under_way: None,
        slow: None,
        keys: HashMap::new(),
    };
    ops.iter().try_for_each(|op| compared.apply(op).map_err(|wrong| format!("{op:?}: {wrong}")))?;
    compared.purge().map_err(|wrong| format!("at the end: {wrong}"))
}

impl Compared {
    fn apply(&mut self, op: &Op) -> Checked {
        match *op {
            Op::Append { bytes, key } => self.append(bytes, key)?,
            Op::Begin { write } => self.begin(write)?,
            Op::End { outcome } => self.end(outcome)?,
            Op::Crash { is_stored } => self.crash(is_stored)?,
            Op::ReadForTrim { takes } => self.read_for_trim(takes)?,
            Op::Expire => self.log.expire(self.now),
            Op::Memory { publications, bytes } => self.log.keep_in_memory(AnswerBounds { publications, bytes }),
            Op::Pass { millis } => {
                self.now = self.now + Duration::from_millis(millis);
                self.latest = self.latest.max(self.now);
            }
            Op::GoBack { millis } => self.now = self.now - Duration::from_millis(millis),
            Op::Ask { asked } => self.ask(asked)?,
            Op::AskSlowly { asked, reads_early } => {
                let (question, most) = self.question(&asked);
                let inquiry = Inquiry::new(question.clone(), most);
                self.slow = Some(Slow { inquiry, question, most, reads_early, reading: None });
            }
            Op::Step => self.step()?,
        }
        self.see()?;
        self.check_stored()
    }

    fn append(&mut self, bytes: usize, key: Option<u8>) -> Checked {
        self.made += 1;
        let appended = self.log.append(publication(self.made, bytes, key), self.now);
        let named = key.and_then(|key| self.keys.get(&key));
        let earlier = named.and_then(|offset| self.naive.get(*offset));
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

    fn begin(&mut self, write: Write) -> Checked {
        let entries = match write {
            Write::Commit => self.log.begin_commit(self.now),
            Write::Trim => self.log.begin_trim(self.now, 3),
            Write::Reset => self.log.begin_reset(epoch(self.epochs + 1)),
            Write::Empty => self.log.begin_empty(),
            Write::Purge => self.log.begin_purge(epoch(self.epochs + 1)),
            Write::Removal => self.log.begin_removal(),
        };
        let Some(entries) = entries else { return Ok(()) };
        ensure!(self.under_way.is_none(), "two writes are under way");
        let deletes = if write == Write::Removal { 0 } else { self.check_deleted(&entries)? };
        self.under_way = Some(UnderWay { write, entries, deletes });
        if !matches!(write, Write::Commit | Write::Trim) {
            let appended = self.log.append(publication(0, 0, None), self.now);
            ensure!(appended == Appended::NotNow, "an offset is given in a reset");
        }
        Ok(())
    }

    /// Nothing is deleted that is needed. Returns the last offset that is.
    fn check_deleted(&self, entries: &LogEntries) -> Checked<usize> {
        let mut last = 0;
        for (key, _) in entries.iter().filter(|(_, value)| value.is_none()) {
            let record = self.stored.get(key).ok_or("something is deleted that is not stored")?;
            let segment = Segment::decode(key, record).map_err(|error| error.to_string())?;
            if segment.epoch != epoch(self.naive.epoch) {
                continue;
            }
            for stored in segment.publications {
                let Recorded { offset, at, .. } = stored.publication;
                ensure!(!self.naive.keeps(offset, self.now), "{offset} is deleted and is kept");
                let is_old = self.now.since(at) >= KEY_AGE;
                ensure!(stored.key.is_none() || is_old, "the key of {offset} is deleted and is needed");
                last = usize::try_from(offset).map_err(|error| error.to_string())?;
            }
        }
        Ok(last)
    }

    /// A write is over.
    fn end(&mut self, outcome: Outcome) -> Checked {
        let Some(UnderWay { write, entries, deletes }) = self.under_way.take() else { return Ok(()) };
        let is_stored = outcome != Outcome::NotStored;
        if is_stored {
            self.write(write, entries, deletes);
        }
        if outcome == Outcome::Stored {
            let was_purged = self.log.is_purged();
            self.log.succeeded();
            let is_purged = matches!(write, Write::Purge | Write::Removal) || (write == Write::Trim && was_purged);
            ensure!(self.log.has_begun() != is_purged, "after {write:?}: has it begun?");
            return if write == Write::Removal {
                self.restore(Restore::again(&self.log, epoch(self.epochs)))
            } else {
                Ok(())
            };
        }
        self.log.failed();
        if write == Write::Trim {
            // It goes on as if they were deleted.
            self.naive.gone = self.naive.gone.max(deletes);
            ensure!(!self.log.is_in_doubt(), "a trim brings the log into doubt");
            return Ok(());
        }
        ensure!(self.log.append(publication(0, 0, None), self.now) == Appended::NotNow, "an offset is given in doubt");
        let begun = [self.log.begin_commit(self.now), self.log.begin_trim(self.now, 1), self.log.begin_removal()];
        ensure!(begun.iter().all(Option::is_none), "a write begins in doubt");
        self.restore(Restore::again(&self.log, epoch(self.epochs + 1)))?;
        let shown = self.log.window().next() - 1;
        ensure!(shown == self.naive.head(), "{shown} is the head before it was seen, not {}", self.naive.head());
        Ok(())
    }

    /// The storage has it.
    fn write(&mut self, write: Write, entries: LogEntries, deletes: usize) {
        for (key, value) in entries {
            match value {
                Some(value) => drop(self.stored.insert(key, value)),
                None => drop(self.stored.remove(&key)),
            }
        }
        self.naive.gone = self.naive.gone.max(deletes);
        if matches!(write, Write::Reset | Write::Purge) {
            self.epochs += 1;
            self.naive.reset(self.epochs);
            self.keys.clear();
        }
    }

    fn read(&self, read: &LogRead) -> Vec<(Bytes, Bytes)> {
        let range = self.stored.range::<Vec<u8>, _>(read.keys.clone());
        let found = range.map(|(key, record)| (Bytes::copy_from_slice(key), record.clone()));
        match read.order {
            Order::Ascending => found.take(read.limit).collect(),
            Order::Descending => found.rev().take(read.limit).collect(),
        }
    }

    fn restore(&mut self, mut restore: Restore) -> Checked {
        while let Some(read) = restore.next_read(self.now) {
            restore.read(&self.read(&read)).map_err(|error| error.to_string())?;
        }
        self.log = restore.finish().map_err(|error| error.to_string())?;
        if self.log.window().next() == 1 {
            let found = self.read(&LogTopics::read_one(TOPIC));
            if LogTopics::default().purged(TOPIC, &found).map_err(|error| error.to_string())? {
                self.log.was_purged();
            }
        }
        let epoch = epoch(self.naive.epoch);
        ensure!(*self.log.window().epoch() == epoch, "{epoch} has become {}", self.log.window().epoch());
        Ok(())
    }

    /// The Group's life ends while a write is under way, which may be stored nevertheless. The next one reads the log.
    fn crash(&mut self, is_stored: bool) -> Checked {
        let under_way = self.under_way.take().filter(|_| is_stored);
        let is_purged = under_way.as_ref().is_some_and(|under_way| under_way.write == Write::Removal);
        if let Some(UnderWay { write, entries, deletes }) = under_way {
            self.write(write, entries, deletes);
        }
        self.slow = None;
        self.epochs += 1;
        if self.records().next().is_none() {
            // Nothing was ever acknowledged, or all of it was purged: nobody was told the epoch.
            ensure!(self.naive.head() == 0 && (is_purged || !self.log.has_begun()), "what was seen is lost");
            self.naive.reset(self.epochs);
            self.keys.clear();
        }
        self.restore(Restore::new(TOPIC, self.naive.bounds, self.memory, epoch(self.epochs)))
    }

    fn records(&self) -> impl Iterator<Item = (&Vec<u8>, &Bytes)> {
        let prefix = format!("{TOPIC}\0").into_bytes();
        self.stored.iter().filter(move |(key, _)| key.starts_with(&prefix))
    }

    fn read_for_trim(&mut self, takes: bool) -> Checked {
        let Some(read) = self.log.trim_read() else { return Ok(()) };
        let records = self.read(&read);
        if !takes && self.under_way.is_some() {
            // It arrives after a write.
            self.end(Outcome::Stored)?;
        }
        self.log.trim_found(&records).map_err(|error| error.to_string())
    }

    /// What is seen is stored, and has the next offset.
    fn see(&mut self) -> Checked {
        let stored = self.stored_publications()?;
        // What a log that was restored shows at once, of which a part is in memory, and then what is committed.
        let window = self.log.window();
        let mut seen = Vec::new();
        for offset in self.naive.head() + 1..window.next() {
            let (publication, _) = stored.get(&offset).ok_or_else(|| format!("{offset} is shown and not stored"))?;
            ensure!(window.get(offset).is_none_or(|shown| shown == publication), "{offset} is not what is stored");
            seen.push(publication.clone());
        }
        seen.extend(std::iter::from_fn(|| self.log.next_visible()));
        for publication in seen {
            let offset = publication.offset;
            ensure!(offset == self.naive.head() + 1, "{offset} is seen after {}", self.naive.head());
            let Some((_, key)) = stored.get(&offset).filter(|(stored, _)| *stored == publication) else {
                return Err(format!("{offset} is seen and not stored"));
            };
            if let Some(key) = key {
                self.keys.insert(key[0], offset);
            }
            self.naive.see(publication);
        }
        let (next, head) = (self.log.window().next(), self.naive.head());
        ensure!(next == head + 1, "the log goes on with {next} after {head}");
        let (window, most) = (self.log.window(), self.log.in_memory());
        let is_bounded = window.len() <= most.publications as usize && window.bytes() <= most.bytes as usize;
        ensure!(is_bounded, "{} publications with {} bytes are in memory", window.len(), window.bytes());
        Ok(())
    }

    /// Those of this epoch.
    fn stored_publications(&self) -> Checked<BTreeMap<u64, (Recorded, Option<Bytes>)>> {
        let mut all = BTreeMap::new();
        for (key, record) in self.records() {
            let segment = Segment::decode(key, record).map_err(|error| error.to_string())?;
            if segment.epoch == epoch(self.naive.epoch) {
                let publications = segment.publications.into_iter();
                all.extend(publications.map(|stored| (stored.publication.offset, (stored.publication, stored.key))));
            }
        }
        Ok(all)
    }

    /// What the bounds keep is stored, and what other topics have stays.
    fn check_stored(&self) -> Checked {
        let stored = self.stored_publications()?;
        let is_missing = |kept: &&Recorded| stored.get(&kept.offset).is_none_or(|(stored, _)| stored != *kept);
        let missing = self.naive.kept(self.now).iter().find(is_missing);
        ensure!(missing.is_none(), "{missing:?} is kept and not stored");
        let (all, own) = (self.stored.len(), self.records().count());
        ensure!(all == own + 2 + usize::from(own > 0), "{own} of {all} records are of the topic, and one is its name");
        Ok(())
    }

    fn question(&self, asked: &Asked) -> (Question, AnswerBounds) {
        let since = asked.back.map(|back| self.naive.position(back, asked.other_epoch));
        let question = asked.order.map_or(Question::Tail, |order| Question::Page(since, order));
        (question, AnswerBounds { publications: asked.most, bytes: 150 })
    }

    /// Asks, and is answered at once.
    fn ask(&mut self, asked: Asked) -> Checked {
        let (question, most) = self.question(&asked);
        let mut inquiry = Inquiry::new(question.clone(), most);
        loop {
            match inquiry.step(&mut self.log, self.now).map_err(|error| error.to_string())? {
                InquiryStep::LogAnswer(told) => return self.check_told(&question, most, &told),
                InquiryStep::Read(read) => {
                    let records = self.read(&read);
                    inquiry.read(&mut self.log, &records, self.now).map_err(|error| error.to_string())?;
                }
            }
        }
    }

    /// A slow inquiry goes on.
    fn step(&mut self) -> Checked {
        let Some(mut slow) = self.slow.take() else { return Ok(()) };
        if let Some((read, early)) = slow.reading.take() {
            let records = if slow.reads_early { early } else { self.read(&read) };
            slow.inquiry.read(&mut self.log, &records, self.now).map_err(|error| error.to_string())?;
        }
        match slow.inquiry.step(&mut self.log, self.now).map_err(|error| error.to_string())? {
            InquiryStep::LogAnswer(told) => self.check_told(&slow.question, slow.most, &told),
            InquiryStep::Read(read) => {
                let early = self.read(&read);
                self.slow = Some(Slow { reading: Some((read, early)), ..slow });
                Ok(())
            }
        }
    }

    fn check_told(&self, question: &Question, most: AnswerBounds, told: &LogAnswer) -> Checked {
        let expected = match question {
            Question::Page(since, order) => LogAnswer::Page(self.naive.page(since.as_ref(), *order, most, self.now)),
            Question::Tail => LogAnswer::Tail(self.naive.tail(most, self.now)),
        };
        ensure!(*told == expected, "{question:?}: {told:?}, not {expected:?}");
        let has_all = self.naive.kept(self.now).iter().all(|kept| kept.offset >= self.log.window().first());
        if let (Question::Page(Some(since), _), true) = (question, has_all) {
            // What a Replica says that has the same in memory.
            let recovered = self.log.window().recover(since, most, self.now);
            let expected = self.naive.recover(since, most, self.now);
            ensure!(recovered == expected, "since {since}: {recovered:?}, not {expected:?}");
        }
        Ok(())
    }

    /// Nothing is left of the log once it was purged.
    fn purge(&mut self) -> Checked {
        self.end(Outcome::Stored)?;
        self.see()?;
        let write = |compared: &mut Self, write: Write| {
            compared.begin(write)?;
            let has_begun = compared.under_way.is_some();
            compared.end(Outcome::Stored)?;
            compared.see()?;
            Ok::<_, String>(has_begun)
        };
        while write(self, Write::Commit)? {}
        if self.records().next().is_none() {
            return Ok(());
        }
        let was_purged = self.log.is_purged();
        ensure!(write(self, Write::Purge)? != was_purged, "a log that is idle cannot be purged, or twice");
        let most = self.stored.len();
        for _ in 0..=most {
            ensure!(self.log.has_leftovers() || self.records().count() == 1, "something is left, and it is not said");
            self.read_for_trim(true)?;
            write(self, Write::Trim)?;
        }
        ensure!(!self.log.has_leftovers(), "it is said that something is left");
        ensure!(self.records().count() == 1, "{} records are left after a purge", self.records().count());
        ensure!(write(self, Write::Removal)?, "what is left cannot be removed");
        ensure!(self.stored.len() == 2, "records are left");
        Ok(())
    }
}
