//! The topics of a Group that have a presence: how many there are.

use dog::internal::{Presences, Topic, Topics};

use super::OpenBooks;
use super::presence::Attends;
use crate::message::InterestReport;

/// Leaves the topics with a presence that would be too many out of a Replica's report of its topics. Returns them.
pub(super) fn leave_out_refused<G: Attends>(group: &G, books: &OpenBooks, report: &mut InterestReport) -> Vec<Topic> {
    let mut refused = Vec::new();
    if !Presences::ON || !Topics::ON {
        return refused;
    }
    let books = books.borrow();
    let has_subscribers = |topic: &Topic| books.has_subscribers(topic);
    report.topics.retain(|(topic, is_subscribed)| {
        let is_refused = *is_subscribed && G::has_presence(topic) && !group.presence().admits(topic, has_subscribers);
        if is_refused {
            refused.push(topic.clone());
        }
        !is_refused
    });
    refused
}
