//! [`Shutdown`]: the graceful shutdown of a worker.
//!
//! New connections are refused, sockets are closed in batches, and requests and handlers complete. The worker then
//! keeps running until all other workers have got that far.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dog::SocketId;
use tokio::sync::watch;
use tokio::time::Instant;

use super::drain_plan::DrainPlan;
use super::turn_state::TurnState;
use crate::config::Config;
use crate::mail::{Mail, StopMode};
use crate::shared::Shared;
use crate::shutdown_watch::ShutdownWatch;

/// The part of the last second that is reserved for the loop's last steps.
const LAST_STEPS: Duration = Duration::from_millis(250);

/// Returns how long the shutdown of a server takes at most.
pub(crate) fn longest_drain(config: &Config) -> Duration {
    config.drain_within + config.close_timeout + Duration::from_secs(1)
}

/// The progress of one worker's shutdown, and what it waits for.
pub(crate) struct Shutdown {
    index: usize,
    shared: Arc<Shared>,
    turn: Rc<TurnState>,
    /// Set when the shutdown begins.
    stopping: watch::Sender<bool>,
    /// Set when sockets begin to be closed. All listeners have been closed by then.
    closes: watch::Sender<bool>,
    /// `None` before the shutdown.
    progress: RefCell<Option<Progress>>,
    /// Listeners that still accept connections.
    listeners: Cell<usize>,
    /// Requests from outside and tasks of objects that must end before the worker may.
    busy: Cell<usize>,
    /// Tasks of the user's code. They are told that the shutdown begins, and the worker waits for them for a while.
    tasks: Cell<usize>,
    /// Tunnels and streamed responses that must end before the worker may.
    streams: Arc<AtomicUsize>,
}

struct Progress {
    plan: DrainPlan,
    /// How long the worker waits for tasks of the user's code.
    tasks_until: Instant,
    /// When the worker ends in any case.
    deadline: Instant,
    /// Whether the worker has reported that it has nothing left to do.
    is_reported: bool,
    /// Whether the Groups were told that the server ends.
    said_goodbye: bool,
}

/// Something that must end before the worker may. The worker waits until it is dropped.
pub(crate) struct Busy(Rc<Shutdown>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.is_less_busy();
    }
}

/// A listener that accepts connections. Clients are told to connect again only after all of these were dropped.
pub(crate) struct Listening(Rc<Shutdown>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.listeners.set(self.0.listeners.get() - 1);
        self.0.turn.queued();
    }
}

impl Shutdown {
    pub(super) fn new(index: usize, shared: Arc<Shared>, turn: Rc<TurnState>) -> Rc<Self> {
        Rc::new(Self {
            index,
            shared,
            turn,
            stopping: watch::Sender::new(false),
            closes: watch::Sender::new(false),
            progress: RefCell::default(),
            listeners: Cell::new(0),
            busy: Cell::new(0),
            tasks: Cell::new(0),
            streams: Arc::default(),
        })
    }

    /// Returns whether the shutdown has begun.
    pub(crate) fn is_stopping(&self) -> bool {
        self.progress.borrow().is_some()
    }

    /// Completes when the shutdown begins.
    pub(crate) fn begins(&self) -> impl Future<Output = ()> + use<> {
        let mut stopping = self.stopping.subscribe();
        async move {
            // The sender lives as long as the worker, which outlives the task that awaits this.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        }
    }

    /// Returns a watch of this shutdown for a tunnel or a streamed response.
    pub(crate) fn watch(&self) -> ShutdownWatch {
        let (post, index) = (self.shared.post.clone(), self.index);
        let recheck = move || post.send(index, vec![Mail::CheckDrain]);
        ShutdownWatch::new(self.closes.subscribe(), Arc::clone(&self.streams), &self.shared.config, recheck)
    }

    pub(crate) fn listening(self: &Rc<Self>) -> Listening {
        self.listeners.set(self.listeners.get() + 1);
        Listening(Rc::clone(self))
    }

    /// Makes the worker wait until the guard is dropped.
    pub(crate) fn hold(self: &Rc<Self>) -> Busy {
        self.is_busier();
        Busy(Rc::clone(self))
    }

    pub(super) fn is_busier(&self) {
        self.busy.set(self.busy.get() + 1);
    }

    pub(super) fn is_less_busy(&self) {
        self.busy.set(self.busy.get() - 1);
        if self.is_stopping() {
            self.turn.queued();
        }
    }

    pub(super) fn task_begins(&self) {
        self.tasks.set(self.tasks.get() + 1);
    }

    pub(super) fn task_ended(&self) {
        self.tasks.set(self.tasks.get() - 1);
        if self.is_stopping() {
            self.turn.queued();
        }
    }

    /// Returns the number of tasks of the user's code.
    pub(super) fn tasks(&self) -> usize {
        self.tasks.get()
    }

    /// Returns the number of requests and tasks in progress.
    pub(super) fn busy(&self) -> usize {
        self.busy.get()
    }

    /// Begins the shutdown, with these open sockets. Returns `false` if it had begun before.
    pub(super) fn begin(&self, sockets: impl FnOnce() -> Vec<SocketId>, mode: StopMode) -> bool {
        let is_first = !self.is_stopping();
        if is_first {
            let (sockets, config) = (sockets(), &self.shared.config);
            tracing::debug!(worker = self.index, sockets = sockets.len(), "draining");
            let progress = Progress {
                plan: DrainPlan::new(sockets, config.drain_within),
                tasks_until: Instant::now() + config.drain_within,
                deadline: Instant::now() + longest_drain(config) - LAST_STEPS,
                is_reported: false,
                said_goodbye: false,
            };
            self.progress.replace(Some(progress));
            self.stopping.send_replace(true);
        }
        if mode == StopMode::AtOnce
            && let Some(progress) = self.progress.borrow_mut().as_mut()
        {
            progress.deadline = Instant::now();
        }
        is_first
    }

    /// Returns when the loop must do the next step of the shutdown.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let due = self.progress.borrow().as_ref().map(|progress| {
            let last = if self.waits_for_tasks(progress) { progress.tasks_until } else { progress.deadline };
            progress.plan.next().unwrap_or(last)
        });
        due.filter(|_| self.listeners.get() == 0)
    }

    /// Completes when the next step is due.
    pub(super) async fn is_due(&self) {
        match self.next_due() {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// Returns the sockets that must be closed now, or `None` if no batches are left.
    pub(super) fn take_batch(&self) -> Option<Vec<SocketId>> {
        let mut progress = self.progress.borrow_mut();
        let plan = progress.as_mut().map(|progress| &mut progress.plan).filter(|plan| !plan.is_over())?;
        self.closes.send_replace(true);
        Some(plan.take_due(Instant::now()))
    }

    /// Returns whether all batches were taken, so that a socket that opens now is closed at once.
    pub(super) fn closes_everything(&self) -> bool {
        self.progress.borrow().as_ref().is_some_and(|progress| progress.plan.is_over())
    }

    /// Returns whether the worker must end now in any case.
    pub(super) fn is_overdue(&self) -> bool {
        self.progress.borrow().as_ref().is_some_and(|progress| Instant::now() >= progress.deadline)
    }

    /// Returns whether no request, task, tunnel or streamed response is in progress.
    pub(super) fn is_idle(&self) -> bool {
        let waits_for_tasks = self.progress.borrow().as_ref().is_some_and(|progress| self.waits_for_tasks(progress));
        self.busy.get() == 0 && self.streams.load(Ordering::Acquire) == 0 && !waits_for_tasks
    }

    fn waits_for_tasks(&self, progress: &Progress) -> bool {
        self.tasks.get() > 0 && Instant::now() < progress.tasks_until
    }

    /// Notes that this worker has nothing left to do. Returns whether the same is true for all workers. Until then,
    /// their handlers may need the objects on this worker.
    pub(super) fn all_are_done(&self) -> bool {
        let was_reported = self.first_time(|progress| &mut progress.is_reported);
        if was_reported && self.shared.worker_is_drained() {
            self.shared.post.send_to_all(|| Mail::CheckDrain);
        }
        self.shared.is_drained()
    }

    /// Returns `true` once: the Groups must be told that the server ends.
    pub(super) fn says_goodbye(&self) -> bool {
        self.first_time(|progress| &mut progress.said_goodbye)
    }

    fn first_time(&self, flag: impl FnOnce(&mut Progress) -> &mut bool) -> bool {
        self.progress.borrow_mut().as_mut().is_some_and(|progress| !std::mem::replace(flag(progress), true))
    }
}
