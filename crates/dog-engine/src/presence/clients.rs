//! Which clients are there, and for how long without a connection: [`PresentClients`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use dog::internal::{Topic, Topics};
use dog::{ClientId, Timestamp};

use super::PresenceSettings;
use super::member::Member;
use super::messages::ConnectionEnd;

/// The clients that have a connection, and those in their grace time: in the room, and in each topic.
#[derive(Debug, Default)]
pub(super) struct PresentClients {
    room: HashMap<ClientId, Present>,
    /// By client, because a client is disconnected from all its topics.
    topics: HashMap<ClientId, BTreeMap<Topic, Present>>,
    /// How many clients are in each topic.
    sizes: HashMap<Topic, usize>,
    /// When those without a connection leave.
    leaving: BTreeSet<(Timestamp, Member)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Present {
    /// Its connections.
    open: u32,
    /// When it leaves, if it has none.
    leaves_at: Option<Timestamp>,
    /// It does not leave before this, because a connection was closed with 1012.
    stays_until: Timestamp,
    /// Whether it was disconnected after its last connection was opened.
    is_disconnected: bool,
}

impl PresentClients {
    fn get(&self, Member { topic, client }: &Member) -> Option<&Present> {
        match topic {
            None => self.room.get(client),
            Some(topic) => self.topics.get(client)?.get(topic),
        }
    }

    fn get_mut(&mut self, Member { topic, client }: &Member) -> Option<&mut Present> {
        match topic {
            None => self.room.get_mut(client),
            Some(topic) => self.topics.get_mut(client)?.get_mut(topic),
        }
    }

    fn get_or_insert(&mut self, Member { topic, client }: &Member) -> &mut Present {
        let Some(topic) = topic else { return self.room.entry(client.clone()).or_default() };
        self.topics.entry(client.clone()).or_default().entry(topic.clone()).or_insert_with(|| {
            *self.sizes.entry(topic.clone()).or_default() += 1;
            Present::default()
        })
    }

    fn take(&mut self, Member { topic, client }: &Member) -> Option<Present> {
        let Some(topic) = topic else { return self.room.remove(client) };
        let topics = self.topics.get_mut(client)?;
        let present = topics.remove(topic)?;
        if topics.is_empty() {
            self.topics.remove(client);
        }
        if let Some(size) = self.sizes.get_mut(topic) {
            *size -= 1;
            if *size == 0 {
                self.sizes.remove(topic);
            }
        }
        Some(present)
    }

    /// How many topics have a client.
    pub(super) fn topics(&self) -> usize {
        self.sizes.len()
    }

    /// Whether a topic has a client.
    pub(super) fn has_topic(&self, topic: &Topic) -> bool {
        self.sizes.contains_key(topic)
    }

    /// Whether the client has a connection there.
    pub(super) fn has_connections(&self, member: &Member) -> bool {
        self.get(member).is_some_and(|present| present.open > 0)
    }

    /// Whether it is there: it has a connection, or is in its grace time.
    pub(super) fn is_here(&self, member: &Member) -> bool {
        self.get(member).is_some()
    }

    /// A connection has opened.
    pub(super) fn opened(&mut self, member: &Member) {
        let present = self.get_or_insert(member);
        present.open += 1;
        present.is_disconnected = false;
        if let Some(at) = present.leaves_at.take() {
            self.leaving.remove(&(at, member.clone()));
        }
    }

    /// A connection has ended.
    pub(super) fn closed(
        &mut self,
        member: &Member,
        departure: ConnectionEnd,
        settings: &PresenceSettings,
        now: Timestamp,
    ) {
        let Some(present) = self.get_mut(member) else { return };
        present.open = present.open.saturating_sub(1);
        match departure {
            ConnectionEnd::Gone => {}
            ConnectionEnd::Restarting => present.stays_until = present.stays_until.max(now + settings.restart_grace),
            ConnectionEnd::Disconnected => present.disconnect(),
        }
        if present.open > 0 {
            return;
        }
        // Nobody can come back under a generated id.
        if present.is_disconnected || member.client.is_anonymous() {
            self.take(member);
            return;
        }
        let at = present.stays_until.max(now + settings.grace);
        present.leaves_at = Some(at);
        self.leaving.insert((at, member.clone()));
    }

    /// The client is disconnected: it has no grace time. Returns where it leaves now, because it has no connection there.
    pub(super) fn disconnect(&mut self, client: &ClientId) -> Vec<Member> {
        let mut members = vec![Member::of_room(client)];
        if Topics::ON {
            let topics = self.topics.get(client).into_iter().flat_map(BTreeMap::keys);
            members.extend(topics.map(|topic| Member::of_topic(topic, client)));
        }
        members.retain(|member| {
            let Some(present) = self.get_mut(member) else { return false };
            if present.open > 0 {
                present.disconnect();
                return false;
            }
            self.remove(member);
            true
        });
        members
    }

    /// Forgets a client that has no connection.
    fn remove(&mut self, member: &Member) {
        if let Some(at) = self.take(member).and_then(|present| present.leaves_at) {
            self.leaving.remove(&(at, member.clone()));
        }
    }

    /// A client that an earlier life has announced is in its grace time from now on, if nothing else is known of it.
    pub(super) fn restore(&mut self, member: &Member, settings: &PresenceSettings, now: Timestamp) {
        if !self.is_here(member) {
            self.opened(member);
            self.closed(member, ConnectionEnd::Gone, settings, now);
        }
    }

    /// The next client whose grace time is over. It is not there any more.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<Member> {
        let (at, _) = self.leaving.first()?;
        if *at > now {
            return None;
        }
        let (_, member) = self.leaving.pop_first()?;
        self.take(&member);
        Some(member)
    }

    /// When the next grace time is over.
    pub(super) fn next_to_leave(&self) -> Option<Timestamp> {
        self.leaving.first().map(|(at, _)| *at)
    }

    /// The clients that are in the room without a connection.
    pub(super) fn in_grace(&self) -> impl Iterator<Item = &ClientId> {
        self.leaving.iter().filter(|(_, member)| member.topic.is_none()).map(|(_, member)| &member.client)
    }

    /// Those without a connection are forgotten: nobody was told of them.
    pub(super) fn forget_leaving(&mut self) {
        while let Some((_, member)) = self.leaving.pop_first() {
            self.take(&member);
        }
    }
}

impl Present {
    fn disconnect(&mut self) {
        (self.is_disconnected, self.stays_until) = (true, Timestamp::default());
    }
}
