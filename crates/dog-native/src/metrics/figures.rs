//! The counts of one worker at one moment.

use super::counters::Times;

/// The counts of one worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// In the order of [`Counters::NAMES`](super::counters::Counters::NAMES).
    pub(crate) counters: Vec<u64>,
    pub(crate) sockets_open: usize,
    pub(crate) sockets_closing: usize,
    pub(crate) event_streams: usize,
    pub(crate) calls_in_progress: usize,
    /// Tasks that the user's code has spawned.
    pub(crate) tasks: usize,
    /// Bytes queued for sockets.
    pub(crate) outbox_bytes: usize,
    /// Requests, handlers and tasks of the engine that have not completed.
    pub(crate) busy: usize,
    pub(crate) handler_waits: Times,
    /// In the order of the App's Groups.
    pub(crate) classes: Vec<ClassFigures>,
}

/// The objects of one class of Groups on one worker.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ClassFigures {
    pub(crate) name: &'static str,
    pub(crate) groups: usize,
    pub(crate) replicas_awake: usize,
    pub(crate) replicas_hibernating: usize,
    pub(crate) seats: u64,
    pub(crate) tickets: usize,
    pub(crate) members: usize,
    pub(crate) parked: usize,
}

impl ClassFigures {
    pub(crate) fn add(&mut self, other: &Self) {
        self.groups += other.groups;
        self.replicas_awake += other.replicas_awake;
        self.replicas_hibernating += other.replicas_hibernating;
        self.seats += other.seats;
        self.tickets += other.tickets;
        self.members += other.members;
        self.parked += other.parked;
    }
}
