//! What a worker says of itself when it is asked. Looks at every object and socket, so it is asked seldom.

use super::Worker;
use crate::metrics::{ClassFigures, Figures};
use crate::watch::Watched;

impl Worker {
    /// What it tells whoever watches.
    pub(super) fn watched(&self) -> &Watched {
        &self.shared.watched[self.index]
    }

    pub(super) fn figures(&self) -> Figures {
        let (sockets_open, sockets_closing, outbox_bytes) = self.connections.borrow().totals();
        Figures {
            counters: self.counters.values(),
            sockets_open,
            sockets_closing,
            outbox_bytes,
            busy: self.busy.get(),
            handler_waits: self.handler_waits.borrow().clone(),
            classes: self.class_figures(),
        }
    }

    fn class_figures(&self) -> Vec<ClassFigures> {
        let new = |name: &&'static str| ClassFigures { name, ..ClassFigures::default() };
        let mut classes: Vec<ClassFigures> = self.shared.class_names.iter().map(new).collect();
        for (address, group) in &*self.groups.borrow() {
            let (class, status) = (&mut classes[usize::from(address.class.0)], group.status());
            class.groups += 1;
            class.tickets += status.tickets;
            class.members += status.members;
            class.parked += status.parked;
        }
        for (address, replica) in &*self.replicas.borrow() {
            let (class, status) = (&mut classes[usize::from(address.group.class.0)], replica.status());
            if status.awake {
                class.replicas_awake += 1;
            } else {
                class.replicas_hibernating += 1;
            }
            class.seats += u64::from(status.seats);
        }
        classes
    }
}
