//! What a Replica publishes: how many of its publications have no position yet, and how long they wait for it: [`Publishing`].

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use dog::internal::{Kind, LogVerb, LogVerbAnswer};
use dog::{Error, Policy};
use futures_channel::oneshot;
use futures_util::FutureExt;

use super::histories::Histories;
use crate::address::GroupAddress;
use crate::driver::call_time::call_for_log;
use crate::driver::calls::{by_deadline, unexpected_answer};
use crate::driver::quota::{InProgress, Quota};
use crate::host::Host;

/// How many publications of one Replica may have no position yet, and how many bytes of them.
const MOST: usize = 1000;
const MOST_BYTES: usize = 1024 * 1024;

/// The publications of a Replica that have no position yet.
#[derive(Debug)]
pub(super) struct Publishing {
    quota: Rc<Quota>,
    /// How long they wait, as the Group has told.
    within: Cell<Duration>,
    histories: Histories,
}

impl Default for Publishing {
    fn default() -> Self {
        let within = Cell::new(Policy::default().publish_deadline);
        Self { quota: Quota::new(MOST, MOST_BYTES), within, histories: Histories::default() }
    }
}

impl Publishing {
    /// The Group has told how long publications may wait.
    pub(super) fn set_deadline(&self, within: Duration) {
        self.within.set(within);
    }

    fn admit(&self, bytes: usize) -> Result<InProgress, Error> {
        let text = "too many publications of this Replica have no position yet: await some of them first";
        self.quota.admit(bytes).ok_or_else(|| Error::new(Kind::TooMany, text))
    }

    /// Has the Group use the log of a topic.
    pub(super) async fn call(
        self: &Rc<Self>,
        host: &Rc<impl Host>,
        group: GroupAddress,
        verb: LogVerb,
    ) -> Result<LogVerbAnswer, Error> {
        if matches!(verb, LogVerb::History { .. }) {
            return self.read(host, group, verb).await;
        }
        let _admission = self.admit(verb.carried())?;
        call_for_log(host, group, verb, Some(self.within.get())).await
    }

    /// Reads a page, with one question for all that want the same.
    async fn read(
        self: &Rc<Self>,
        host: &Rc<impl Host>,
        group: GroupAddress,
        page: LogVerb,
    ) -> Result<LogVerbAnswer, Error> {
        let (reply, receiver) = oneshot::channel();
        if self.histories.wait(&page, reply) {
            let (this, asker) = (Rc::clone(self), Rc::clone(host));
            host.spawn(Box::pin(async move { this.ask(&asker, group, &page).await }));
        }
        let answer = receiver.map(|answer| answer.unwrap_or_else(|_| Err(unexpected_answer())));
        // A question may be under way that has come too early.
        by_deadline(host, 2 * self.within.get(), answer).await
    }

    async fn ask(&self, host: &Rc<impl Host>, group: GroupAddress, page: &LogVerb) {
        while self.histories.begin(page) {
            let answer = match self.admit(0) {
                Ok(_admission) => call_for_log(host, group, page.clone(), Some(self.within.get())).await,
                Err(error) => Err(error),
            };
            self.histories.answered(page, &answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_publications_without_a_position_are_bounded_by_number_and_by_bytes() {
        let publishing = Rc::new(Publishing::default());
        let mut all: Vec<InProgress> = (0..MOST).map(|_| publishing.admit(1).unwrap()).collect();
        assert!(publishing.admit(1).unwrap_err().is_too_many());
        all.pop();
        all.push(publishing.admit(1).unwrap());
        all.clear();
        let large = publishing.admit(MOST_BYTES).unwrap();
        assert!(publishing.admit(1).unwrap_err().is_too_many());
        drop(large);
        assert!(publishing.admit(MOST_BYTES).is_ok());
    }
}
