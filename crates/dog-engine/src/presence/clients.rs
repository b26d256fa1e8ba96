//! Which clients are there, and for how long without a connection: [`PresentClients`].

use std::collections::{BTreeSet, HashMap};

use dog::{ClientId, Timestamp};

use super::PresenceSettings;
use super::messages::ConnectionEnd;

/// The clients that have a connection, and those in their grace time.
#[derive(Debug, Default)]
pub(super) struct PresentClients {
    all: HashMap<ClientId, Present>,
    /// When those without a connection leave.
    leaving: BTreeSet<(Timestamp, ClientId)>,
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
    /// Whether the client has a connection.
    pub(super) fn has_connections(&self, client: &ClientId) -> bool {
        self.all.get(client).is_some_and(|present| present.open > 0)
    }

    /// Whether it is there: it has a connection, or is in its grace time.
    pub(super) fn is_here(&self, client: &ClientId) -> bool {
        self.all.contains_key(client)
    }

    /// A connection has opened.
    pub(super) fn opened(&mut self, client: &ClientId) {
        let present = self.all.entry(client.clone()).or_default();
        present.open += 1;
        present.is_disconnected = false;
        if let Some(at) = present.leaves_at.take() {
            self.leaving.remove(&(at, client.clone()));
        }
    }

    /// A connection has ended.
    pub(super) fn closed(
        &mut self,
        client: &ClientId,
        departure: ConnectionEnd,
        settings: &PresenceSettings,
        now: Timestamp,
    ) {
        let Some(present) = self.all.get_mut(client) else { return };
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
        if present.is_disconnected || client.is_anonymous() {
            self.all.remove(client);
            return;
        }
        let at = present.stays_until.max(now + settings.grace);
        present.leaves_at = Some(at);
        self.leaving.insert((at, client.clone()));
    }

    /// The client is disconnected: it has no grace time. Returns whether it leaves now, because it has no connection.
    pub(super) fn disconnect(&mut self, client: &ClientId) -> bool {
        let Some(present) = self.all.get_mut(client) else { return false };
        if present.open > 0 {
            present.disconnect();
            return false;
        }
        self.remove(client);
        true
    }

    /// Forgets a client that has no connection.
    pub(super) fn remove(&mut self, client: &ClientId) {
        if let Some(at) = self.all.remove(client).and_then(|present| present.leaves_at) {
            self.leaving.remove(&(at, client.clone()));
        }
    }

    /// A client that an earlier life has announced is in its grace time from now on, if nothing else is known of it.
    pub(super) fn restore(&mut self, client: &ClientId, settings: &PresenceSettings, now: Timestamp) {
        if !self.is_here(client) {
            self.opened(client);
            self.closed(client, ConnectionEnd::Gone, settings, now);
        }
    }

    /// The next client whose grace time is over. It is not there any more.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<ClientId> {
        let (at, _) = self.leaving.first()?;
        if *at > now {
            return None;
        }
        let (_, client) = self.leaving.pop_first()?;
        self.all.remove(&client);
        Some(client)
    }

    /// When the next grace time is over.
    pub(super) fn next_to_leave(&self) -> Option<Timestamp> {
        self.leaving.first().map(|(at, _)| *at)
    }

    /// The clients that are there without a connection.
    pub(super) fn in_grace(&self) -> impl Iterator<Item = &ClientId> {
        self.leaving.iter().map(|(_, client)| client)
    }

    /// Those without a connection are forgotten: nobody was told of them.
    pub(super) fn forget_leaving(&mut self) {
        while let Some((_, client)) = self.leaving.pop_first() {
            self.all.remove(&client);
        }
    }
}

impl Present {
    fn disconnect(&mut self) {
        (self.is_disconnected, self.stays_until) = (true, Timestamp::default());
    }
}
