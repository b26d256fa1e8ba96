//! What a Replica does with publications that are in their order: to whom they go.

use dog::Replica;
use dog::internal::{Except, LogTopic};

use super::ReplicaDriver;
use super::followers::{Delivered, Follows};
use super::topics::emit_to;
use crate::host::Host;
use crate::log::Recorded;

/// Up to this many sockets that are behind are left out of a message for all. If there are more, the message goes to a list of the
/// others.
const LEFT_OUT: usize = 8;

/// Delivers a publication to the subscribers that are not behind.
pub(super) fn deliver_publication<R: Replica, H: Host>(
    driver: &ReplicaDriver<R, H>,
    topic: &LogTopic,
    publication: &Recorded,
) -> Delivered {
    let message = &publication.message;
    let behind = driver.followers.catch_ups().borrow().sockets(topic);
    let taken = if !behind.is_empty() && (topic.topic().is_some() || behind.len() > LEFT_OUT) {
        let mut others = driver.subscribers(topic);
        let catch_ups = driver.followers.catch_ups().borrow();
        others.retain(|socket| !catch_ups.has(topic, *socket));
        driver.outlets.deliver(message, &others, &[])
    } else if let Some(topic) = topic.topic() {
        emit_to(driver, topic, message, Except::Nobody)
    } else {
        driver.outlets.deliver_to_all(message, &driver.seats.borrow().audience(), &behind)
    };
    Delivered { taken, behind: driver.outlets.take_dropped() }
}
