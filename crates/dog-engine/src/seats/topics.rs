//! The topics of a Replica's sockets, and what the Group has to know of them: [`Topics`]. Pure. What is called without a topic asks
//! whether there are any, so that nothing of it is in the program of an App that has left them out.

use std::collections::HashMap;

use dog::internal::{Kind, MAX_TOPIC_BYTES, MAX_TOPICS, Topic, Topics as Feature};
use dog::{Error, SocketId, Timestamp};

use crate::message::InterestAnswer;
use crate::socket_map::SocketMap;

/// Most different topics of one Replica.
const MAX_OF_REPLICA: usize = 10_000;

/// Which socket is subscribed to which topic. A socket without topics costs nothing here.
#[derive(Debug, Default)]
pub struct Topics {
    /// The subscribers of each topic that has some.
    subscribers: HashMap<Topic, Subscribers>,
    of_sockets: SocketMap<SocketTopics>,
    unreported: UnreportedTopics,
}

/// The subscribers of one topic.
#[derive(Debug)]
struct Subscribers {
    /// Dense for fan-out.
    sockets: Vec<SocketId>,
    /// Since when the topic has some. `None`: some are of the life before.
    since: Option<Timestamp>,
}

/// The topics of one socket.
#[derive(Debug, Default)]
struct SocketTopics {
    /// Each topic, with the index of the socket among its subscribers.
    topics: Vec<(Topic, usize)>,
    /// The length of all names.
    bytes: usize,
}

/// What the Group has not acknowledged.
#[derive(Debug, Default)]
struct UnreportedTopics {
    sequence: u64,
    /// Topics that have got their first subscriber or lost their last, with the number of the last such change.
    changed: HashMap<Topic, u64>,
    /// The Group has asked for everything.
    asked: bool,
    /// The Group has acknowledged a census in this life.
    known: bool,
}

/// What a report says, to be given back with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterestRound {
    /// The number of the last change that it contains.
    pub sequence: u64,
    /// Whether it contains all topics.
    pub census: bool,
}

/// The outcome of [`Topics::subscribe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribed {
    /// Whether the socket was not subscribed before.
    pub is_new: bool,
    /// Whether the Group has to acknowledge the topic first.
    pub is_unknown: bool,
}

impl SocketTopics {
    fn position(&self, topic: &str) -> Option<usize> {
        self.topics.iter().position(|(own, _)| **own == *topic)
    }
}

impl Topics {
    /// The sockets that are subscribed to a topic.
    pub fn subscribers(&self, topic: &str) -> &[SocketId] {
        self.subscribers.get(topic).map_or(&[], |subscribers| &subscribers.sockets)
    }

    /// Since when a topic has subscribers. `None`: it has none, or some are of the life before.
    pub fn subscribed_since(&self, topic: &str) -> Option<Timestamp> {
        self.subscribers.get(topic)?.since
    }

    /// The topics of a socket, in no particular order.
    pub fn of_socket(&self, socket: SocketId) -> impl Iterator<Item = &Topic> {
        self.of_sockets.get(&socket).into_iter().flat_map(|own| own.topics.iter().map(|(topic, _)| topic))
    }

    /// Subscribes an open socket to a topic at the time `now`.
    ///
    /// # Errors
    /// When the socket or the Replica would have too many topics ([`Error::is_too_many`]). Nothing has changed then.
    pub fn subscribe(&mut self, socket: SocketId, topic: &Topic, now: Timestamp) -> Result<Subscribed, Error> {
        let is_new = match self.of_sockets.get(&socket) {
            Some(own) if own.position(topic).is_some() => false,
            Some(own) => {
                check_socket(own, topic)?;
                true
            }
            None => true,
        };
        if is_new {
            let is_first = !self.subscribers.contains_key(topic);
            if is_first && self.subscribers.len() >= MAX_OF_REPLICA {
                let text = format!("this Replica has {MAX_OF_REPLICA} topics: no other can be subscribed to here");
                return Err(Error::new(Kind::TooMany, text));
            }
            self.insert(socket, topic, Some(now));
            if is_first {
                self.unreported.change(topic);
            }
        }
        Ok(Subscribed { is_new, is_unknown: self.unreported.changed.contains_key(topic) })
    }

    /// A socket of the life before has kept this topic. The Group takes the topics of a new life for unknown until it reports
    /// them, and sends everything, so this is no change.
    pub fn restore(&mut self, socket: SocketId, topic: &Topic) {
        if Feature::ON && self.of_sockets.get(&socket).is_none_or(|own| own.position(topic).is_none()) {
            self.insert(socket, topic, None);
        }
    }

    fn insert(&mut self, socket: SocketId, topic: &Topic, now: Option<Timestamp>) {
        // One name is shared by all its subscribers.
        let name = self.subscribers.get_key_value(topic).map_or(topic, |(name, _)| name).clone();
        let first = || Subscribers { sockets: Vec::new(), since: now };
        let subscribers = &mut self.subscribers.entry(name.clone()).or_insert_with(first).sockets;
        let own = self.of_sockets.entry(socket).or_default();
        own.bytes += name.len();
        own.topics.push((name, subscribers.len()));
        subscribers.push(socket);
    }

    /// Ends a subscription. Returns `false` if there was none.
    pub fn unsubscribe(&mut self, socket: SocketId, topic: &str) -> bool {
        let Some(own) = self.of_sockets.get_mut(&socket) else { return false };
        let Some(position) = own.position(topic) else { return false };
        let (topic, at) = own.topics.swap_remove(position);
        own.bytes -= topic.len();
        if own.topics.is_empty() {
            self.of_sockets.remove(&socket);
        }
        self.leave(&topic, at);
        true
    }

    /// The socket has ended.
    pub fn close(&mut self, socket: SocketId) {
        if !Feature::ON || self.of_sockets.is_empty() {
            return;
        }
        let Some(own) = self.of_sockets.remove(&socket) else { return };
        own.topics.iter().for_each(|(topic, at)| self.leave(topic, *at));
    }

    /// Removes the subscriber at this index of a topic.
    fn leave(&mut self, topic: &Topic, at: usize) {
        let Some(subscribers) = self.subscribers.get_mut(topic).map(|subscribers| &mut subscribers.sockets) else {
            return;
        };
        subscribers.swap_remove(at);
        if subscribers.is_empty() {
            self.subscribers.remove(topic);
            self.unreported.change(topic);
        } else if let Some(moved) = subscribers.get(at)
            && let Some(own) = self.of_sockets.get_mut(moved)
            && let Some(position) = own.position(topic)
        {
            own.topics[position].1 = at;
        }
    }

    /// Ends all subscriptions to a topic that the Group has refused. Returns the sockets that had one.
    pub fn refuse(&mut self, topic: &str) -> Vec<SocketId> {
        let subscribers = self.subscribers(topic).to_vec();
        for socket in &subscribers {
            self.unsubscribe(*socket, topic);
        }
        subscribers
    }

    /// Whether the Group still has to acknowledge that this topic has subscribers.
    pub fn is_unknown(&self, topic: &str) -> bool {
        self.unreported.changed.contains_key(topic)
    }

    /// Whether the Group has acknowledged everything, and has asked for nothing.
    pub fn is_reported(&self) -> bool {
        !Feature::ON || (self.unreported.changed.is_empty() && !self.unreported.asked)
    }

    /// The Group does not know the topics of this Replica, and asks for them.
    pub fn ask(&mut self) {
        self.unreported.asked = true;
    }

    /// What has to be reported. `None` if the Group has acknowledged everything.
    pub fn report(&self) -> Option<(InterestRound, Vec<(Topic, bool)>)> {
        if self.is_reported() {
            return None;
        }
        let UnreportedTopics { sequence, changed, asked, known } = &self.unreported;
        let round = InterestRound { sequence: *sequence, census: *asked || !known };
        let topics = if round.census {
            self.subscribers.keys().map(|topic| (topic.clone(), true)).collect()
        } else {
            changed.keys().map(|topic| (topic.clone(), self.subscribers.contains_key(topic))).collect()
        };
        Some((round, topics))
    }

    /// The Group has answered a report.
    pub fn answered(&mut self, round: InterestRound, answer: &InterestAnswer) {
        let unreported = &mut self.unreported;
        match answer {
            InterestAnswer::Taken { .. } => {
                unreported.changed.retain(|_, changed| *changed > round.sequence);
                if round.census {
                    (unreported.asked, unreported.known) = (false, true);
                }
            }
            InterestAnswer::Census => unreported.asked = true,
        }
    }
}

impl UnreportedTopics {
    fn change(&mut self, topic: &Topic) {
        self.sequence += 1;
        self.changed.insert(topic.clone(), self.sequence);
    }
}

fn check_socket(own: &SocketTopics, topic: &Topic) -> Result<(), Error> {
    let text = if own.topics.len() >= MAX_TOPICS {
        format!("the socket has {MAX_TOPICS} topics: unsubscribe from one first")
    } else if own.bytes + topic.len() > MAX_TOPIC_BYTES {
        let bytes = own.bytes + topic.len();
        format!("the names of the socket's topics would have {bytes} bytes, {MAX_TOPIC_BYTES} at most")
    } else {
        return Ok(());
    };
    Err(Error::new(Kind::TooMany, text))
}

#[cfg(test)]
mod tests;
