//! How many topics of a Group have a presence: [`Admitted`].

use std::collections::HashSet;

use dog::internal::{MAX_PRESENCE_TOPICS, Topic};

use super::clients::PresentClients;

/// The topics that were admitted by this life of the Group.
#[derive(Debug, Default)]
pub(super) struct Admitted {
    /// Those whose clients were not heard of when they were admitted.
    coming: HashSet<Topic>,
}

impl Admitted {
    /// Returns `false` if the topic would be one too many. One counts while it has a client, in its grace time too, or a subscriber that was
    /// not reported yet.
    pub(super) fn admit(
        &mut self,
        topic: &Topic,
        clients: &PresentClients,
        has_subscribers: impl Fn(&Topic) -> bool,
    ) -> bool {
        if clients.has_topic(topic) || self.coming.contains(topic) {
            return true;
        }
        if clients.topics() + self.coming.len() >= MAX_PRESENCE_TOPICS {
            self.coming.retain(|coming| !clients.has_topic(coming) && has_subscribers(coming));
        }
        let is_admitted = clients.topics() + self.coming.len() < MAX_PRESENCE_TOPICS;
        if is_admitted {
            self.coming.insert(topic.clone());
        }
        is_admitted
    }
}

#[cfg(test)]
mod tests {
    use dog::{ClientId, Timestamp};

    use super::*;
    use crate::presence::PresenceSettings;
    use crate::presence::member::Member;
    use crate::presence::messages::ConnectionEnd;

    fn topic(number: usize) -> Topic {
        Topic::new(format!("t{number}")).unwrap()
    }

    #[test]
    fn a_group_has_10_000_topics_with_a_presence() {
        let (mut admitted, mut clients) = (Admitted::default(), PresentClients::default());
        let ann = ClientId::new("ann").unwrap();
        for number in 0..MAX_PRESENCE_TOPICS {
            assert!(admitted.admit(&topic(number), &clients, |_| true));
        }
        assert!(admitted.admit(&topic(0), &clients, |_| true), "it is known");
        let more = topic(MAX_PRESENCE_TOPICS);
        assert!(!admitted.admit(&more, &clients, |_| true));
        // Half of them are heard of, and those of the others that have no subscribers any more do not count.
        (0..5000).for_each(|number| clients.opened(&Member::of_topic(&topic(number), &ann)));
        assert!(!admitted.admit(&more, &clients, |_| true));
        assert!(admitted.admit(&more, &clients, |coming| *coming != topic(9000)));
        assert!(!admitted.admit(&topic(20_000), &clients, |_| true));
        // One counts until its last client has left.
        let (left, now) = (Member::of_topic(&topic(1), &ann), Timestamp::default());
        clients.closed(&left, ConnectionEnd::Gone, &PresenceSettings::default(), now);
        assert!(!admitted.admit(&topic(20_000), &clients, |_| true));
        assert_eq!(clients.disconnect(&ann), [left]);
        assert!(admitted.admit(&topic(20_000), &clients, |_| true));
    }
}
