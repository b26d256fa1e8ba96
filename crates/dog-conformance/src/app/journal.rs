//! What happened to the sockets of a Replica: [`Journal`].

use std::cell::Cell;

use dog::{ClientId, Error, List, Storage};

use super::gate::Signal;
use super::hand_over::hand_over;
use super::protocol::{Entry, OWN, SocketEvent};

/// How many characters of a message are recorded.
const KEPT: usize = 48;

/// The events of a Replica's sockets, the largest number of seats taken, and how often the Replica was activated.
///
/// It is in the Replica's storage, so it survives hibernation. The handlers do not wait for its writes, because the suite has to
/// test handlers that never wait.
pub(super) struct Journal {
    storage: Storage,
    next: Cell<u64>,
    changes: Cell<u64>,
    changed: Signal,
    in_flight: Cell<u32>,
    most: Cell<u32>,
    activations: u32,
}

fn entries() -> String {
    format!("{OWN}entry/")
}

fn most() -> String {
    format!("{OWN}most")
}

fn activations() -> String {
    format!("{OWN}activations")
}

impl Journal {
    /// Reads the journal from the storage and counts one more activation.
    pub(super) async fn open(storage: Storage) -> Result<Self, Error> {
        let last = storage.list::<Entry>(&List::prefix(entries()).reverse().limit(1)).await?;
        let number = last.first().and_then(|(key, _)| key.strip_prefix(&entries())?.parse::<u64>().ok());
        let most = storage.get(&most()).await?.unwrap_or_default();
        let activations = 1 + storage.get::<u32>(&self::activations()).await?.unwrap_or_default();
        hand_over(storage.put(&self::activations(), &activations));
        Ok(Self {
            storage,
            next: Cell::new(number.map_or(0, |number| number + 1)),
            changes: Cell::default(),
            changed: Signal::default(),
            in_flight: Cell::default(),
            most: Cell::new(most),
            activations,
        })
    }

    pub(super) fn note(&self, client: &ClientId, event: SocketEvent) {
        let number = self.next.replace(self.next.get() + 1);
        let entry = Entry { client: client.clone(), event };
        hand_over(self.storage.put(&format!("{}{number:08}", entries()), &entry));
        self.changes.set(self.changes.get() + 1);
        self.changed.notify();
    }

    pub(super) fn note_message(&self, client: &ClientId, message: &dog::Message) {
        let text = String::from_utf8_lossy(&message.as_bytes()[..message.len().min(4 * KEPT)]);
        self.note(client, SocketEvent::Message(text.chars().take(KEPT).collect()));
    }

    pub(super) async fn entries(&self) -> Result<Vec<Entry>, Error> {
        let kept = self.storage.list(&List::prefix(entries())).await?;
        Ok(kept.into_iter().map(|(_, entry)| entry).collect())
    }

    /// Completes when every socket of `client` that opened here has ended.
    pub(super) async fn ended(&self, client: &ClientId) -> Result<(), Error> {
        loop {
            let seen = self.changes.get();
            if open_sockets(&self.entries().await?, client) == 0 {
                return Ok(());
            }
            self.changed.until(|| self.changes.get() != seen).await;
        }
    }

    /// Counts a request as in progress until the returned value is dropped.
    pub(super) fn request(&self) -> InFlight<'_> {
        self.in_flight.set(self.in_flight.get() + 1);
        InFlight { journal: self }
    }

    /// The number of seats taken with this many open sockets. Records the largest number so far.
    pub(super) fn seats(&self, sockets: usize) -> u32 {
        let seats = self.in_flight.get() + u32::try_from(sockets).unwrap_or(u32::MAX);
        if seats > self.most.get() {
            self.most.set(seats);
            hand_over(self.storage.put(&most(), &seats));
        }
        seats
    }

    pub(super) fn most(&self) -> u32 {
        self.most.get()
    }

    pub(super) fn activations(&self) -> u32 {
        self.activations
    }
}

fn open_sockets(entries: &[Entry], client: &ClientId) -> i64 {
    let of_client = entries.iter().filter(|entry| &entry.client == client);
    of_client.map(|entry| i64::from(entry.event == SocketEvent::Opening) - i64::from(is_end(&entry.event))).sum()
}

fn is_end(event: &SocketEvent) -> bool {
    matches!(event, SocketEvent::End(_))
}

/// A request in progress, from [`Journal::request`].
pub(super) struct InFlight<'a> {
    journal: &'a Journal,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.journal.in_flight.set(self.journal.in_flight.get() - 1);
    }
}
