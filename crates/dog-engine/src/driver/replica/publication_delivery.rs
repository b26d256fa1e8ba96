//! What a Replica does with publications that are in their order: to whom they go.

use dog::internal::{Except, LogTopic, Unrecovered};
use dog::{Replica, SocketId};

use super::ReplicaDriver;
use super::followed_logs::Followers;
use super::followers::{Delivered, Follows};
use super::replaying::{all_go_on, go_on_when_drained, limit_on_open};
use super::resuming::settle;
use super::topics::emit_to;
use crate::host::Host;
use crate::log::Recorded;

/// Up to this many sockets that are behind are left out of a message for all. If there are more, the message goes to a list of the
/// others.
const LEFT_OUT: usize = 8;

impl<R: Replica, H: Host> Follows for ReplicaDriver<R, H> {
    fn followers(&self) -> &Followers {
        &self.followers
    }

    fn deliver_publication(&self, topic: &LogTopic, publication: &Recorded) -> Delivered {
        let message = &publication.message;
        let behind = self.followers.catch_ups().borrow().sockets(topic);
        let taken = if !behind.is_empty() && (topic.topic().is_some() || behind.len() > LEFT_OUT) {
            let mut others = self.subscribers(topic);
            let catch_ups = self.followers.catch_ups().borrow();
            others.retain(|socket| !catch_ups.has(topic, *socket));
            self.outlets.deliver(message, &others, &[])
        } else if let Some(topic) = topic.topic() {
            emit_to(self, topic, message, Except::Nobody)
        } else {
            self.outlets.deliver_to_all(message, &self.seats.borrow().audience(), &behind)
        };
        Delivered { taken, behind: self.outlets.take_dropped() }
    }

    fn has_subscribers(&self, topic: &LogTopic) -> bool {
        let seats = self.seats.borrow();
        match topic.topic() {
            None => !seats.sockets().is_empty(),
            Some(topic) => !seats.topics().subscribers(topic).is_empty(),
        }
    }

    fn subscribers(&self, topic: &LogTopic) -> Vec<SocketId> {
        let seats = self.seats.borrow();
        topic.topic().map_or(seats.sockets(), |topic| seats.topics().subscribers(topic)).to_vec()
    }

    fn publications_lost(&self, topic: &LogTopic, reason: Unrecovered, sockets: &[SocketId]) {
        self.lost(topic.clone(), reason, sockets);
    }

    fn fell_behind(&self, topic: &LogTopic, sockets: Vec<SocketId>) {
        sockets.into_iter().for_each(|socket| go_on_when_drained(self, topic, socket));
    }

    fn on_open_holds(&self, sockets: Vec<SocketId>) {
        limit_on_open(self, sockets);
    }

    fn log_moved(&self, topic: &LogTopic) {
        settle(self, topic);
        all_go_on(self, topic);
    }
}
