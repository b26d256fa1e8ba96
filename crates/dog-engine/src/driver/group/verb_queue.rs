//! The verbs of a Group that wait for its members to be counted, and those that run: [`Verbs`].

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use dog::internal::{GroupVerb, Kind, Topic};
use dog::{Error, Message, Timestamp};

use crate::message::GroupAnswer;
use crate::reply::Reply;

/// How many verbs wait for the members to be counted, and how many bytes of messages in them.
const MOST_WAITING: usize = 1000;
const MOST_BYTES: usize = 1024 * 1024;

/// One verb, and who waits for its outcome.
pub(super) enum Verb {
    /// To all sockets, or to the subscribers of a topic.
    Cast(Option<Topic>, Message),
    Call(GroupVerb, Reply<GroupAnswer>),
}

/// A verb that waits for the members to be counted.
pub(super) struct Pending {
    pub(super) verb: Verb,
    pub(super) came: Timestamp,
}

impl Pending {
    fn bytes(&self) -> usize {
        match &self.verb {
            Verb::Cast(_, message) => message.len(),
            Verb::Call(verb, _) => verb.carried(),
        }
    }

    fn fail(self, error: &Error) {
        if let Verb::Call(_, reply) = self.verb {
            reply.send(Err(Error::new(error.kind(), error.to_string())));
        }
    }
}

/// The verbs that wait, in the order of their arrival, and those that run.
#[derive(Default)]
pub(super) struct Verbs {
    waiting: RefCell<VecDeque<Pending>>,
    bytes: Cell<usize>,
    running: Rc<Cell<usize>>,
    /// Whether a task opens the books.
    opens: Cell<bool>,
    /// Whether a timer limits the wait.
    is_limited: Cell<bool>,
    /// Whether the members were asked for their seats without the user's value.
    has_counted: Cell<bool>,
}

impl Verbs {
    /// Whether none waits or runs.
    pub(super) fn are_done(&self) -> bool {
        !self.any_wait() && self.running.get() == 0
    }

    pub(super) fn any_wait(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    /// A task is to open the books. Returns `false` if there is one.
    pub(super) fn begin_opening(&self) -> bool {
        !self.opens.replace(true)
    }

    pub(super) fn end_opening(&self) {
        self.opens.set(false);
    }

    /// A timer is to limit the wait. Returns `false` if there is one.
    pub(super) fn begin_limit(&self) -> bool {
        !self.is_limited.replace(true)
    }

    pub(super) fn end_limit(&self) {
        self.is_limited.set(false);
    }

    /// The members are to be asked for their seats without the user's value. Returns `false` if they were.
    pub(super) fn begin_count(&self) -> bool {
        !self.has_counted.replace(true)
    }

    /// A verb runs, until the returned value is dropped.
    pub(super) fn begin(&self) -> Running {
        self.running.set(self.running.get() + 1);
        Running(Rc::clone(&self.running))
    }

    /// Queues a verb. If too many wait, its caller gets the error that is returned.
    pub(super) fn wait(&self, pending: Pending) -> Result<(), Error> {
        let (count, bytes) = (self.waiting.borrow().len(), self.bytes.get());
        if count >= MOST_WAITING || bytes >= MOST_BYTES {
            let text = "too many calls wait until the Group has counted its Replicas: try again later";
            let error = Error::new(Kind::Unreachable, text);
            pending.fail(&error);
            return Err(error);
        }
        self.bytes.set(bytes + pending.bytes());
        self.waiting.borrow_mut().push_back(pending);
        Ok(())
    }

    pub(super) fn pop(&self) -> Option<Pending> {
        let pending = self.waiting.borrow_mut().pop_front()?;
        self.bytes.set(self.bytes.get() - pending.bytes());
        Some(pending)
    }

    pub(super) fn fail_waiting(&self, error: &Error) {
        while let Some(pending) = self.pop() {
            pending.fail(error);
        }
    }

    /// The life is over. Callers get an error.
    pub(super) fn drop_waiting(&self) {
        self.bytes.set(0);
        let waiting = self.waiting.take();
        drop(waiting);
    }
}

/// One verb that runs, until this is dropped.
pub(super) struct Running(Rc<Cell<usize>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
