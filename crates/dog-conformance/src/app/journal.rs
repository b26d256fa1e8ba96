//! What a Replica has seen: [`Journal`].

use std::cell::{Cell, RefCell};

use dog::ClientId;

use super::gate::Signal;
use super::protocol::{Entry, Event};

/// The characters of a message that are kept.
const KEPT: usize = 48;

/// What befell a Replica's sockets, and how many seats were taken at most.
///
/// It stands in the Replica's memory, so it begins anew with each life of the object.
#[derive(Default)]
pub(super) struct Journal {
    entries: RefCell<Vec<Entry>>,
    changed: Signal,
    in_flight: Cell<u32>,
    most: Cell<u32>,
}

impl Journal {
    pub(super) fn note(&self, client: &ClientId, event: Event) {
        self.entries.borrow_mut().push(Entry { client: client.clone(), event });
        self.changed.notify();
    }

    pub(super) fn note_message(&self, client: &ClientId, message: &dog::Message) {
        let text = String::from_utf8_lossy(&message.as_bytes()[..message.len().min(4 * KEPT)]);
        self.note(client, Event::Message(text.chars().take(KEPT).collect()));
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.entries.borrow().clone()
    }

    /// Ends when every socket of `client` that has opened here has ended.
    pub(super) async fn ended(&self, client: &ClientId) {
        self.changed.until(|| self.open_sockets(client) == 0).await;
    }

    fn open_sockets(&self, client: &ClientId) -> i64 {
        let entries = self.entries.borrow();
        let of_client = entries.iter().filter(|entry| &entry.client == client);
        of_client.map(|entry| i64::from(entry.event == Event::Opening) - i64::from(is_end(&entry.event))).sum()
    }

    /// Counts a request as in flight until what is returned is dropped.
    pub(super) fn request(&self) -> InFlight<'_> {
        self.in_flight.set(self.in_flight.get() + 1);
        InFlight { journal: self }
    }

    /// The seats that are taken while `sockets` are open, the most there have been so far being kept.
    pub(super) fn seats(&self, sockets: usize) -> u32 {
        let seats = self.in_flight.get() + u32::try_from(sockets).unwrap_or(u32::MAX);
        self.most.set(self.most.get().max(seats));
        seats
    }

    pub(super) fn most(&self) -> u32 {
        self.most.get()
    }
}

fn is_end(event: &Event) -> bool {
    matches!(event, Event::End(_))
}

/// A request in flight, from [`Journal::request`].
pub(super) struct InFlight<'a> {
    journal: &'a Journal,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.journal.in_flight.set(self.journal.in_flight.get() - 1);
    }
}
