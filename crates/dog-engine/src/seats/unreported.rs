//! What the Group has not acknowledged: [`Unreported`].

use std::collections::HashMap;

use dog::ClientId;

use crate::address::TicketId;

/// Changes since the last acknowledged report. Each change has a number, and a report repeats all changes up to its own
/// number that were not acknowledged.
#[derive(Debug, Default)]
pub(super) struct Unreported {
    sequence: u64,
    acknowledged: u64,
    /// Clients whose seats have changed, with the number of the last change.
    clients: HashMap<ClientId, u64>,
    /// Used tickets, with the number of the change.
    tickets: Vec<(TicketId, u64)>,
}

impl Unreported {
    /// The number of the last change.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether the Group has acknowledged the change with this number.
    pub(super) fn is_acknowledged(&self, change: u64) -> bool {
        self.acknowledged >= change
    }

    pub(super) fn any(&self) -> bool {
        self.sequence > self.acknowledged
    }

    pub(super) fn clients(&self) -> impl Iterator<Item = &ClientId> {
        self.clients.keys()
    }

    pub(super) fn tickets(&self) -> impl Iterator<Item = TicketId> {
        self.tickets.iter().map(|(ticket, _)| *ticket)
    }

    /// Something has changed that each report repeats.
    pub(super) fn changed(&mut self) {
        self.sequence += 1;
    }

    /// The seats of a client have changed.
    pub(super) fn client_changed(&mut self, client: &ClientId) {
        self.sequence += 1;
        self.clients.insert(client.clone(), self.sequence);
    }

    /// A ticket was used, in the last change.
    pub(super) fn ticket_used(&mut self, ticket: TicketId) {
        self.tickets.push((ticket, self.sequence));
    }

    /// The Group has acknowledged all changes up to `sequence`.
    pub(super) fn acknowledge(&mut self, sequence: u64) {
        if sequence <= self.acknowledged || sequence > self.sequence {
            return;
        }
        self.acknowledged = sequence;
        if sequence == self.sequence {
            // The common case.
            self.clients.clear();
            self.tickets.clear();
        } else {
            self.clients.retain(|_, changed| *changed > sequence);
            self.tickets.retain(|(_, changed)| *changed > sequence);
        }
    }
}

#[cfg(test)]
mod tests {
    use dog::Epoch;

    use super::*;

    fn client(name: &str) -> ClientId {
        ClientId::new(name).unwrap()
    }

    #[test]
    fn what_changes_after_a_report_stays_after_its_acknowledgement() {
        let ticket = |number| TicketId { epoch: Epoch::from_raw(1), number };
        let mut unreported = Unreported::default();
        unreported.client_changed(&client("ann"));
        unreported.ticket_used(ticket(1));
        let reported = unreported.sequence();
        unreported.client_changed(&client("bob"));
        unreported.client_changed(&client("ann"));
        unreported.ticket_used(ticket(2));
        unreported.acknowledge(reported);
        let mut left: Vec<_> = unreported.clients().cloned().collect();
        left.sort_unstable();
        assert_eq!(left, [client("ann"), client("bob")], "ann has changed again");
        assert_eq!(unreported.tickets().collect::<Vec<_>>(), [ticket(2)]);
        unreported.acknowledge(unreported.sequence());
        assert!(!unreported.any() && unreported.clients().next().is_none());
    }

    #[test]
    fn acknowledgements_that_are_late_or_wrong_change_nothing() {
        let mut unreported = Unreported::default();
        unreported.client_changed(&client("ann"));
        unreported.acknowledge(9);
        assert!(unreported.any(), "there was no such change");
        unreported.acknowledge(1);
        unreported.client_changed(&client("bob"));
        unreported.acknowledge(1);
        assert_eq!(unreported.clients().count(), 1);
    }
}
