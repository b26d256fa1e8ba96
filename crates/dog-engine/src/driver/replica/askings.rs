//! Sockets that have come back, and wait until their Replica has asked the Group for the newest publications: [`Askings`]. Pure.

use std::collections::BTreeMap;

use dog::internal::{LogTopic, Position, Recovered, Unrecovered};
use dog::{Error, SocketId};
use futures_channel::oneshot;

use crate::message::TailAnswer;

/// How often an answer that cannot be used is tried again.
const MOST_UNUSED: u32 = 16;

/// What `resume` returns.
pub(super) type Outcome = Result<Result<Recovered, Unrecovered>, Error>;

/// By topic: one question at a time, however many wait.
#[derive(Debug, Default)]
pub(super) struct Askings(BTreeMap<LogTopic, Asking>);

#[derive(Debug, Default)]
struct Asking {
    waiting: Vec<Waiting>,
    /// The answer, if the Replica has to do something else first.
    tail: Option<TailAnswer>,
    /// How often it could not be used.
    unused: u32,
}

/// A call of `resume`.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) socket: SocketId,
    pub(super) since: Position,
    /// Whether it has come after the question: the answer may be older than what its client has seen elsewhere.
    pub(super) is_late: bool,
    pub(super) reply: oneshot::Sender<Outcome>,
}

impl Askings {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// A socket waits. Returns whether the Group has to be asked.
    #[must_use]
    pub(super) fn wait(
        &mut self,
        topic: &LogTopic,
        socket: SocketId,
        since: Position,
        reply: oneshot::Sender<Outcome>,
    ) -> bool {
        let is_late = self.0.contains_key(topic);
        self.0.entry(topic.clone()).or_default().waiting.push(Waiting { socket, since, is_late, reply });
        !is_late
    }

    /// The Group has answered.
    pub(super) fn answered(&mut self, topic: &LogTopic, tail: TailAnswer) {
        if let Some(asking) = self.0.get_mut(topic) {
            asking.tail = Some(tail);
        }
    }

    /// The answer, if there is one that nobody has used.
    pub(super) fn tail(&self, topic: &LogTopic) -> Option<&TailAnswer> {
        self.0.get(topic)?.tail.as_ref()
    }

    /// The answer cannot be used now. Returns whether it may wait until something has come.
    pub(super) fn may_wait(&mut self, topic: &LogTopic) -> bool {
        self.0.get_mut(topic).is_some_and(|asking| {
            asking.unused += 1;
            asking.unused <= MOST_UNUSED
        })
    }

    /// The question is settled. Those that have waited, in their order.
    pub(super) fn take(&mut self, topic: &LogTopic) -> Vec<Waiting> {
        self.0.remove(topic).map(|asking| asking.waiting).unwrap_or_default()
    }
}
