//! The functions of a Group's code that are told who has come and who has left: they run one at a time: [`Hooks`].

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use dog::internal::{Kind, PresenceChange, Topic};
use dog::{ClientId, Error, Group, GroupContext};

use crate::driver::calls::ended_within;
use crate::driver::failures::UserFunction;
use crate::host::Host;
use crate::presence::RosterChange;

/// The most that wait.
const MOST_WAITING: usize = 10_000;

/// A function of the user that has to be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    Arrive(Option<Topic>, ClientId),
    Leave(Option<Topic>, ClientId),
    Reset,
}

impl Hook {
    /// Calls it. Returns what it was, and how it has ended.
    pub(super) async fn run<G: Group>(
        self,
        host: &Rc<impl Host>,
        group: &G,
        context: &GroupContext,
        deadline: Duration,
    ) -> (UserFunction, dog::Result) {
        let (function, done) = match self {
            Self::Arrive(Some(topic), client) => {
                let arrives = group.on_topic_arrive(context, &topic, &client);
                (UserFunction::OnTopicArrive, ended_within(host, deadline, arrives).await)
            }
            Self::Leave(Some(topic), client) => {
                let leaves = group.on_topic_leave(context, &topic, &client);
                (UserFunction::OnTopicLeave, ended_within(host, deadline, leaves).await)
            }
            Self::Arrive(None, client) => {
                let arrives = group.on_arrive(context, &client);
                (UserFunction::OnArrive, ended_within(host, deadline, arrives).await)
            }
            Self::Leave(None, client) => {
                let leaves = group.on_leave(context, &client);
                (UserFunction::OnLeave, ended_within(host, deadline, leaves).await)
            }
            Self::Reset => {
                let reset = group.on_presence_reset(context);
                (UserFunction::OnPresenceReset, ended_within(host, deadline, reset).await)
            }
        };
        let late = || Err(Error::new(Kind::Deadline, format!("it has not ended within {deadline:?}")).into());
        (function, done.unwrap_or_else(late))
    }

    fn of(RosterChange { topic, change }: &RosterChange) -> Option<Self> {
        match change {
            PresenceChange::Arrived { client } => Some(Self::Arrive(topic.clone(), client.clone())),
            PresenceChange::Left { client } => Some(Self::Leave(topic.clone(), client.clone())),
            PresenceChange::Opened { .. } | PresenceChange::Updated { .. } | PresenceChange::Closed { .. } => None,
        }
    }
}

/// Those that wait, and whether one runs.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    waiting: RefCell<VecDeque<Hook>>,
    runs: Cell<bool>,
}

impl Hooks {
    pub(super) fn changed(&self, changes: &[RosterChange]) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.extend(changes.iter().filter_map(Hook::of));
        if waiting.len() > MOST_WAITING {
            waiting.clear();
            waiting.push_back(Hook::Reset);
        }
    }

    /// What was told before does not count any more.
    pub(super) fn reset(&self) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.clear();
        waiting.push_back(Hook::Reset);
    }

    /// Returns whether a task has to be started that runs them.
    pub(super) fn begin(&self) -> bool {
        !self.waiting.borrow().is_empty() && !self.runs.replace(true)
    }

    /// The next one. `None`: the task ends.
    pub(super) fn next(&self) -> Option<Hook> {
        let next = self.waiting.borrow_mut().pop_front();
        self.runs.set(next.is_some());
        next
    }

    pub(super) fn are_done(&self) -> bool {
        !self.runs.get() && self.waiting.borrow().is_empty()
    }

    /// The life is over.
    pub(super) fn clear(&self) {
        self.waiting.borrow_mut().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: usize) -> ClientId {
        ClientId::new(format!("u{number}")).unwrap()
    }

    fn arrived(number: usize) -> RosterChange {
        PresenceChange::Arrived { client: client(number) }.into()
    }

    #[test]
    fn they_run_in_order_and_one_task_runs_them() {
        let hooks = Hooks::default();
        assert!(!hooks.begin() && hooks.are_done());
        let left = PresenceChange::Left { client: client(1) };
        let topic = Topic::new("a").ok();
        hooks.changed(&[arrived(1), RosterChange { topic: topic.clone(), change: left }]);
        assert!(hooks.begin() && !hooks.begin());
        assert_eq!(hooks.next(), Some(Hook::Arrive(None, client(1))));
        assert!(!hooks.are_done());
        assert_eq!(hooks.next(), Some(Hook::Leave(topic, client(1))));
        assert_eq!(hooks.next(), None);
        assert!(hooks.are_done());
    }

    #[test]
    fn if_too_many_wait_a_reset_takes_their_place() {
        let hooks = Hooks::default();
        let all: Vec<_> = (0..=MOST_WAITING).map(arrived).collect();
        hooks.changed(&all[1..]);
        assert_eq!(hooks.next(), Some(Hook::Arrive(None, client(1))));
        hooks.changed(&all[..2]);
        assert_eq!((hooks.next(), hooks.next()), (Some(Hook::Reset), None));
    }
}
