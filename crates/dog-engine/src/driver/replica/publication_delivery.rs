//! What a Replica does with publications that are in their order: to whom they go.

use std::panic::{AssertUnwindSafe, catch_unwind};

use dog::internal::{Except, LogEpoch, LogTopic};
use dog::{Format, Message, Replica};

use super::ReplicaDriver;
use super::followers::{Delivered, Follows};
use super::rendering::renders;
use super::topics::emit_to;
use crate::driver::failures::{panic_text, report_panic};
use crate::driver::object::Living;
use crate::host::Host;
use crate::log::Recorded;

/// Up to this many sockets that are behind are left out of a message for all. If there are more, the message goes to a list of the
/// others.
const LEFT_OUT: usize = 8;

/// Delivers a publication to the subscribers that are not behind.
pub(super) fn deliver_publication<R: Replica, H: Host>(
    driver: &ReplicaDriver<R, H>,
    topic: &LogTopic,
    epoch: &LogEpoch,
    publication: &Recorded,
) -> Delivered {
    if !renders::<R>() {
        return deliver_to_all(driver, topic, &publication.message);
    }
    if driver.rendering.has_one_format() {
        return match rendered(driver, topic, epoch, publication, Format::DEFAULT) {
            Some(message) => deliver_to_all(driver, topic, &message),
            None => Delivered::default(),
        };
    }
    let mut others = driver.subscribers(topic);
    driver.followers.catch_ups().borrow().retain_others(topic, &mut others);
    let mut all = Delivered::default();
    for (format, sockets) in driver.rendering.by_format(&others) {
        let Some(message) = rendered(driver, topic, epoch, publication, format) else { break };
        all.taken += driver.outlets.deliver(&message, &sockets, &[]);
        all.behind.append(&mut driver.outlets.take_dropped());
    }
    all
}

/// A publication as the sockets of a format get it. `None` if the user's code has panicked: the life has ended.
pub(super) fn rendered<R: Replica, H: Host>(
    driver: &ReplicaDriver<R, H>,
    topic: &LogTopic,
    epoch: &LogEpoch,
    publication: &Recorded,
    format: Format,
) -> Option<Message> {
    if let Some(message) = driver.rendering.find(topic, epoch, publication.offset, format) {
        return Some(message);
    }
    // The caller may be no task of the object, which would see to it.
    match catch_unwind(AssertUnwindSafe(|| R::render(topic.name(), epoch, publication, format))) {
        Ok(message) => {
            driver.rendering.keep(topic, epoch, publication.offset, (format, &message));
            Some(message)
        }
        Err(panic) => {
            report_panic(&**driver.host(), Some(driver.core.object()), &panic_text(&*panic));
            driver.end();
            None
        }
    }
}

fn deliver_to_all<R: Replica, H: Host>(driver: &ReplicaDriver<R, H>, topic: &LogTopic, message: &Message) -> Delivered {
    let behind = driver.followers.catch_ups().borrow().sockets(topic);
    let taken = if !behind.is_empty() && (topic.topic().is_some() || behind.len() > LEFT_OUT) {
        let mut others = driver.subscribers(topic);
        driver.followers.catch_ups().borrow().retain_others(topic, &mut others);
        driver.outlets.deliver(message, &others, &[])
    } else if let Some(topic) = topic.topic() {
        emit_to(driver, topic, message, Except::Nobody)
    } else {
        driver.outlets.deliver_to_all(message, &driver.seats.borrow().audience(), &behind)
    };
    Delivered { taken, behind: driver.outlets.take_dropped() }
}
