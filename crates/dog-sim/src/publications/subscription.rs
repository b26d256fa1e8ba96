//! The subscription of a socket to a topic with a log: [`Subscription`].

use std::collections::VecDeque;

use dog::{GroupId, Timestamp};

use super::subscriber::Subscriber;

/// The subscription of a socket to a topic.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) group: GroupId,
    /// What its client has received so far. `None`: it was not subscribed, and may hear or miss what comes.
    pub(crate) current: Option<Subscriber>,
    /// The socket has resumed: this counts from the message on that says so.
    pub(crate) resumed: VecDeque<Subscriber>,
}

impl Subscription {
    pub(crate) fn new(group: GroupId, current: Option<Subscriber>) -> Self {
        Self { group, current, resumed: VecDeque::new() }
    }

    /// What counts for what comes now.
    pub(crate) fn newest(&self) -> Option<&Subscriber> {
        self.resumed.back().or(self.current.as_ref())
    }

    /// The loss that it should have been told of before `before`.
    pub(crate) fn untold(&self, before: Timestamp) -> Option<&str> {
        let current = self.current.as_ref().filter(|_| self.resumed.is_empty());
        current.and_then(|current| current.untold(before))
    }
}
