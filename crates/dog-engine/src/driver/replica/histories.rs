//! Pages of a history that several callers in one Replica want at the same time: [`Histories`]. Pure.

use std::cell::RefCell;

use dog::Error;
use dog::internal::{LogVerb, LogVerbAnswer};
use futures_channel::oneshot;

type Answer = Result<LogVerbAnswer, Error>;

/// One question at a time for each page, however many want it: who comes while it is under way waits for the next one, because the
/// answer may be older than what it has seen elsewhere.
#[derive(Debug, Default)]
pub(super) struct Histories(RefCell<Vec<Reading>>);

#[derive(Debug)]
struct Reading {
    page: LogVerb,
    /// Those that wait for the question that is under way.
    asked: Vec<oneshot::Sender<Answer>>,
    /// Those that wait for the next one.
    next: Vec<oneshot::Sender<Answer>>,
}

impl Histories {
    /// Somebody waits for a page. Returns whether a task has to begin that asks for it.
    #[must_use]
    pub(super) fn wait(&self, page: &LogVerb, reply: oneshot::Sender<Answer>) -> bool {
        let mut all = self.0.borrow_mut();
        if let Some(reading) = all.iter_mut().find(|reading| reading.page == *page) {
            reading.next.push(reply);
            return false;
        }
        all.push(Reading { page: page.clone(), asked: Vec::new(), next: vec![reply] });
        true
    }

    /// The task is about to ask. Returns `false` if nobody waits any more: the task ends.
    #[must_use]
    pub(super) fn begin(&self, page: &LogVerb) -> bool {
        let mut all = self.0.borrow_mut();
        let Some(at) = all.iter().position(|reading| reading.page == *page) else { return false };
        let reading = &mut all[at];
        reading.next.retain(|reply| !reply.is_canceled());
        if reading.next.is_empty() {
            all.swap_remove(at);
            return false;
        }
        reading.asked = std::mem::take(&mut reading.next);
        true
    }

    /// The Group has answered, or could not be asked.
    pub(super) fn answered(&self, page: &LogVerb, answer: &Answer) {
        let mut all = self.0.borrow_mut();
        let reading = all.iter_mut().find(|reading| reading.page == *page);
        let asked = reading.map(|reading| std::mem::take(&mut reading.asked)).unwrap_or_default();
        drop(all);
        for reply in asked {
            let answer = match answer {
                Ok(LogVerbAnswer::History(page)) => Ok(LogVerbAnswer::History(page.clone())),
                Ok(_) => Err(crate::driver::calls::unexpected_answer()),
                Err(error) => Err(Error::new(error.kind(), error.to_string())),
            };
            // The caller may have gone.
            let _ = reply.send(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use dog::HistoryOrder;
    use dog::internal::{HistoryPage, LogEpoch, Position};
    use futures_util::FutureExt;

    use super::*;

    fn page(limit: usize) -> LogVerb {
        LogVerb::history("", None, HistoryOrder::NewestFirst, limit).unwrap()
    }

    fn answer(offset: u64) -> Answer {
        let head = Position::new(LogEpoch::new("e").unwrap(), offset);
        Ok(LogVerbAnswer::History(HistoryPage { head, publications: Vec::new(), more: false }))
    }

    fn wait(histories: &Histories, limit: usize) -> (bool, oneshot::Receiver<Answer>) {
        let (reply, receiver) = oneshot::channel();
        (histories.wait(&page(limit), reply), receiver)
    }

    fn offset(receiver: oneshot::Receiver<Answer>) -> Option<u64> {
        let answer = receiver.now_or_never()?.expect("it is answered").expect("it is a page");
        Some(answer.into_page().expect("it is a page").head.offset())
    }

    #[test]
    fn those_that_come_while_the_group_is_asked_wait_for_the_next_answer() {
        let histories = Histories::default();
        let ((begins, first), (again, second)) = (wait(&histories, 50), wait(&histories, 50));
        assert!(begins && !again && histories.begin(&page(50)));
        let (begins, third) = wait(&histories, 50);
        let (other_begins, other) = wait(&histories, 10);
        assert!(!begins && other_begins);
        histories.answered(&page(50), &answer(7));
        assert_eq!([first, second].map(offset), [Some(7), Some(7)]);
        assert!(histories.begin(&page(50)));
        histories.answered(&page(50), &answer(8));
        assert_eq!((offset(third), offset(other)), (Some(8), None));
        assert!(!histories.begin(&page(50)), "nobody waits");
    }

    #[test]
    fn nobody_is_asked_for_those_that_have_gone() {
        let histories = Histories::default();
        drop(wait(&histories, 50));
        assert!(!histories.begin(&page(50)));
        assert!(wait(&histories, 50).0, "another task begins");
    }
}
