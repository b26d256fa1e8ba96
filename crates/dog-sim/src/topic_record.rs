//! Which sockets are subscribed to which topics, as the App has been told: [`TopicRecord`]. Promise 20.

use std::collections::{BTreeMap, BTreeSet};

use dog::SocketId;

use crate::moment::{MessageName, Moment};

/// The subscriptions of all sockets. Part of the [`RunRecord`](crate::record::RunRecord).
#[derive(Debug, Default)]
pub(crate) struct TopicRecord(BTreeMap<(SocketId, String), Subscription>);

/// The subscription of one socket to one topic.
#[derive(Debug)]
enum Subscription {
    /// `subscribe` has not ended. The socket may hear messages, and may have been subscribed before.
    Begins,
    /// `subscribe` has ended with `Ok`.
    Holds,
    /// It has ended. The socket may hear messages that were sent before.
    Ended(Moment),
}

impl TopicRecord {
    fn of(&self, socket: SocketId, topic: &str) -> Option<&Subscription> {
        self.0.get(&(socket, topic.to_owned()))
    }

    fn set(&mut self, socket: SocketId, topic: &str, subscription: Subscription) {
        self.0.insert((socket, topic.to_owned()), subscription);
    }

    /// A socket subscribes. Returns whether it was subscribed before.
    pub(crate) fn subscribe_begins(&mut self, socket: SocketId, topic: &str) -> bool {
        let was_subscribed = self.is_subscribed(socket, topic);
        if !was_subscribed {
            self.set(socket, topic, Subscription::Begins);
        }
        was_subscribed
    }

    /// `subscribe` has ended.
    pub(crate) fn subscribe_ends(&mut self, socket: SocketId, topic: &str, is_subscribed: bool, now: Moment) {
        let subscription = if is_subscribed { Subscription::Holds } else { Subscription::Ended(now) };
        self.set(socket, topic, subscription);
    }

    /// `unsubscribe` has returned.
    pub(crate) fn unsubscribed(&mut self, socket: SocketId, topic: &str, now: Moment) {
        if self.of(socket, topic).is_some_and(|subscription| !matches!(subscription, Subscription::Ended(_))) {
            self.set(socket, topic, Subscription::Ended(now));
        }
    }

    /// Returns the sockets that must hear a message for the topic that is sent now.
    pub(crate) fn subscribers(&self, topic: &str) -> BTreeSet<SocketId> {
        let holds =
            self.0.iter().filter(|((_, of), subscription)| of == topic && matches!(subscription, Subscription::Holds));
        holds.map(|((socket, _), _)| *socket).collect()
    }

    /// Returns the sockets that may hear a message for the topic that is sent now: also those that are subscribing.
    pub(crate) fn hearers(&self, topic: &str) -> BTreeSet<SocketId> {
        let over = |subscription: &Subscription| matches!(subscription, Subscription::Ended(_));
        let may_hear = self.0.iter().filter(|((_, of), subscription)| of == topic && !over(subscription));
        may_hear.map(|((socket, _), _)| *socket).collect()
    }

    fn is_subscribed(&self, socket: SocketId, topic: &str) -> bool {
        matches!(self.of(socket, topic), Some(Subscription::Holds))
    }

    /// The socket has received a message for the topic. Returns an error if it was not subscribed at any time since the
    /// message was sent.
    pub(crate) fn hears(&self, socket: SocketId, topic: &str, name: MessageName) -> Result<(), String> {
        let wrong = match self.of(socket, topic) {
            None => "was never subscribed to it",
            Some(Subscription::Ended(at)) if at.is_before(name) => "had unsubscribed before it was sent",
            Some(_) => return Ok(()),
        };
        Err(format!("socket {} received {name:?} for the topic {topic}, but {wrong}", socket.raw()))
    }

    /// Checks the topics that the Replica names for a socket, in any order: those that it is subscribed to. One that it is
    /// subscribing to may be among them.
    pub(crate) fn finds(&self, socket: SocketId, found: &[&str]) -> Result<(), String> {
        let first = (socket, String::new());
        let own = self.0.range(first..).take_while(|((of, _), _)| *of == socket);
        let mut missing = own.filter(|((_, topic), subscription)| match subscription {
            Subscription::Holds => !found.contains(&topic.as_str()),
            Subscription::Begins | Subscription::Ended(_) => false,
        });
        if let Some(((_, topic), _)) = missing.next() {
            return Err(format!("socket {} is not subscribed to {topic} any more", socket.raw()));
        }
        let is_over = |topic: &&&str| matches!(self.of(socket, topic), None | Some(Subscription::Ended(_)));
        match found.iter().find(is_over) {
            Some(topic) => Err(format!("socket {} is subscribed to {topic}, but it should not be", socket.raw())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKET: SocketId = SocketId::from_raw(1);

    fn at(number: u64) -> Moment {
        Moment::new(&BTreeMap::from([(9, number)]))
    }

    #[test]
    fn a_socket_hears_what_was_sent_while_it_was_subscribed() {
        let mut topics = TopicRecord::default();
        topics.hears(SOCKET, "a", (9, 1)).unwrap_err();
        assert!(!topics.subscribe_begins(SOCKET, "a"));
        topics.hears(SOCKET, "a", (9, 1)).unwrap();
        assert!(!topics.is_subscribed(SOCKET, "a"));
        topics.subscribe_ends(SOCKET, "a", true, at(1));
        assert!(topics.is_subscribed(SOCKET, "a") && topics.subscribe_begins(SOCKET, "a"));
        topics.unsubscribed(SOCKET, "a", at(2));
        topics.hears(SOCKET, "a", (9, 2)).unwrap();
        topics.hears(SOCKET, "a", (9, 3)).unwrap_err();
        topics.unsubscribed(SOCKET, "a", at(3));
        topics.hears(SOCKET, "a", (9, 3)).unwrap_err();
    }

    #[test]
    fn a_replica_names_all_topics_of_a_socket_and_no_others() {
        let mut topics = TopicRecord::default();
        topics.subscribe_begins(SOCKET, "a");
        topics.finds(SOCKET, &["a"]).unwrap();
        topics.finds(SOCKET, &[]).unwrap();
        topics.subscribe_ends(SOCKET, "a", true, at(1));
        topics.finds(SOCKET, &[]).unwrap_err();
        topics.finds(SOCKET, &["a", "b"]).unwrap_err();
        topics.unsubscribed(SOCKET, "a", at(1));
        topics.finds(SOCKET, &["a"]).unwrap_err();
        topics.finds(SOCKET, &[]).unwrap();
    }
}
