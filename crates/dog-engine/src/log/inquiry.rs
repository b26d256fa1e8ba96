//! A question that a durable log may have to read for: [`Inquiry`].

use bytes::Bytes;
use dog::internal::{LogEpoch, Position, Unrecovered};
use dog::{Error, Timestamp};

use super::segment::{LogRead, Segment, damaged};
use super::window::{collect, newest};
use super::{AnswerBounds, Page, PageOrder, Recorded, StoredLog, Tail};

/// How many further segments are read at once.
const READ_ON: usize = 4;

/// How often the same is read again. It may have been deleted meanwhile, or the clock has gone back.
const MAX_REPEATS: u32 = 3;

/// What somebody wants to know of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// A part of what it keeps: [`Window::page`](super::Window::page).
    Page(Option<Position>, PageOrder),
    /// The newest publications that it keeps: [`Window::tail`](super::Window::tail).
    Tail,
}

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogAnswer {
    /// The page, or why there is none.
    Page(Result<Page, Unrecovered>),
    /// The newest publications.
    Tail(Tail),
}

/// What an inquiry needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InquiryStep {
    /// It is answered.
    LogAnswer(LogAnswer),
    /// These records, for [`Inquiry::read`].
    Read(LogRead),
}

/// Answers one question about a durable log. What is not in memory is read. The log may go on between two steps: the answer is
/// that of the last step.
#[derive(Clone, Debug)]
pub struct Inquiry {
    question: Question,
    most: AnswerBounds,
    /// What was read of this epoch.
    epoch: Option<LogEpoch>,
    found: Vec<Segment>,
    /// The offset that was missing at the last step, and the oldest that was kept.
    missed: Option<(u64, Option<u64>)>,
    repeats: u32,
}

impl Inquiry {
    /// Asks, with at most this much in the answer.
    pub fn new(question: Question, most: AnswerBounds) -> Self {
        Self { question, most, epoch: None, found: Vec::new(), missed: None, repeats: 0 }
    }

    /// Answers, or says what has to be read.
    ///
    /// # Errors
    /// [`Error::is_storage`]: what the log keeps is not stored.
    pub fn step(&mut self, log: &mut StoredLog, now: Timestamp) -> Result<InquiryStep, Error> {
        let epoch = log.window().epoch();
        if self.epoch.as_ref() != Some(epoch) {
            (self.epoch, self.missed) = (Some(epoch.clone()), None);
            self.found.clear();
        }
        let from = match log.kept_from(now) {
            Ok(from) => from,
            Err(offset) => {
                self.found.clear();
                return self.miss(log, (offset, None), 1);
            }
        };
        match self.answer(log, from) {
            Ok(told) => Ok(InquiryStep::LogAnswer(told)),
            Err(offset) => self.miss(log, (offset, Some(from)), READ_ON),
        }
    }

    fn miss(&mut self, log: &StoredLog, missed: (u64, Option<u64>), limit: usize) -> Result<InquiryStep, Error> {
        self.repeats = if self.missed.replace(missed) == Some(missed) { self.repeats + 1 } else { 0 };
        if self.repeats > MAX_REPEATS {
            return Err(damaged());
        }
        let place = log.place(missed.0);
        let is_forward = matches!(self.question, Question::Page(_, PageOrder::OldestFirst));
        Ok(InquiryStep::Read(if !is_forward {
            place.read_back(log.topic(), limit)
        } else if self.found.iter().any(|segment| segment.end() == missed.0) {
            place.read_on(log.topic(), limit)
        } else {
            place.read_back(log.topic(), 1)
        }))
    }

    /// The records were read.
    ///
    /// # Errors
    /// [`Error::is_storage`] if one is damaged.
    pub fn read(&mut self, log: &mut StoredLog, records: &[(Bytes, Bytes)], now: Timestamp) -> Result<(), Error> {
        for (key, record) in records {
            let segment = Segment::decode(key, record)?;
            if Some(&segment.epoch) == self.epoch.as_ref() && segment.epoch == *log.window().epoch() {
                log.found(&segment, now);
                self.found.push(segment);
            }
        }
        Ok(())
    }

    fn get<'a>(&'a self, log: &'a StoredLog, offset: u64) -> Option<&'a Recorded> {
        log.window().get(offset).or_else(|| {
            let segment = self.found.iter().find(|segment| (segment.place.first..segment.end()).contains(&offset))?;
            let index = usize::try_from(offset - segment.place.first).ok()?;
            segment.publications.get(index).map(|stored| &stored.publication)
        })
    }

    /// # Errors
    /// This offset has to be read.
    fn answer(&self, log: &StoredLog, from: u64) -> Result<LogAnswer, u64> {
        let (window, get) = (log.window(), |offset| self.get(log, offset));
        match &self.question {
            Question::Page(since, order) => match window.offsets(since.as_ref(), *order, from) {
                Err(reason) => Ok(LogAnswer::Page(Err(reason))),
                Ok(offsets) => Ok(LogAnswer::Page(Ok(collect(offsets, *order, self.most, get)?))),
            },
            Question::Tail => {
                let publications = newest(from..window.next(), self.most, get)?;
                Ok(LogAnswer::Tail(Tail { head: window.head(), first: from, publications }))
            }
        }
    }
}
