//! The loop of a worker. In each turn it handles everything that has arrived, then sends and writes everything that was
//! queued.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use dog_engine::address::Object;
use dog_engine::host::GroupObject;
use mio::{Events, Poll};
use tokio::io::unix::{AsyncFd, AsyncFdReadyMutGuard};
use tokio::time::MissedTickBehavior;

use super::core::Worker;
use super::dispatch::dispatch;
use super::fence::fence_if_needed;
use super::sockets::WriteOut;
use crate::post::Mailbox;

/// The most events that are taken from the kernel at a time.
const EVENTS: usize = 1024;

/// How long the loop may be busy before it returns to the runtime. Timers and everything that is not a socket of this
/// loop depend on the runtime. A loop that waits for events returns to it anyway.
const OTHERS_AFTER: Duration = Duration::from_millis(1);

/// How often, within one turn, the loop handles the consequences of writing.
const ROUNDS: usize = 4;

/// How long an alarm of an object on another node waits before it is checked again, because that node may have ended.
const ALARM_ELSEWHERE: Duration = Duration::from_secs(30);

/// The poll of all connections. The runtime sees it as one file that becomes readable.
struct Polled(Poll);

impl AsRawFd for Polled {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[allow(unsafe_code, reason = "the runtime asks for a promise about the descriptor")]
fn register(poll: Poll) -> io::Result<AsyncFd<Polled>> {
    // SAFETY: `Polled` owns its `Poll`, so the descriptor stays open and unchanged until `Polled` is dropped. Only
    // `AsyncFd` owns the `Polled`.
    Ok(unsafe { AsyncFd::register_with_interest(Polled(poll), tokio::io::Interest::READABLE) }?)
}

/// Takes the events of the sockets from the kernel.
fn take_events(mut guard: AsyncFdReadyMutGuard<'_, Polled>, events: &mut Events) -> io::Result<()> {
    guard.get_inner_mut().0.poll(events, Some(Duration::ZERO))?;
    // If there was room for more events, the kernel has no more.
    if events.iter().count() < EVENTS {
        guard.clear_ready();
    }
    Ok(())
}

/// Runs a worker until it is told to stop and everything that it waits for has ended.
pub(crate) async fn run(worker: Rc<Worker>, poll: Poll, mailbox: Mailbox) -> io::Result<()> {
    // How often the runtime has polled the loop. Between two polls the runtime serves everything else on this thread.
    let polls = Cell::new(0);
    let mut turns = pin!(turns(worker, poll, mailbox, &polls));
    poll_fn(|context| {
        polls.set(polls.get() + 1);
        turns.as_mut().poll(context)
    })
    .await
}

/// What woke the loop.
#[derive(Default)]
struct Woken {
    has_ticked: bool,
    is_time: bool,
    has_events: bool,
}

/// When the runtime last ran. Its drivers deliver I/O events and timers to everything else on this thread.
struct RuntimeTurn<'a> {
    polls: &'a Cell<u64>,
    last_poll: u64,
    at: Instant,
}

impl RuntimeTurn<'_> {
    /// Returns whether the loop must return to the runtime now, after a turn that began at `began`.
    fn is_due(&mut self, began: Instant) -> bool {
        if self.polls.get() != self.last_poll {
            (self.last_poll, self.at) = (self.polls.get(), began);
            return false;
        }
        began.duration_since(self.at) > OTHERS_AFTER
    }
}

async fn turns(worker: Rc<Worker>, poll: Poll, mut mailbox: Mailbox, polls: &Cell<u64>) -> io::Result<()> {
    worker.heartbeat().beats(worker.shared().uptime());
    let mut polled = register(poll)?;
    let mut events = Events::with_capacity(EVENTS);
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    second.reset();
    let mut runtime_turn = RuntimeTurn { polls, last_poll: polls.get(), at: Instant::now() };
    let mut has_more = false;
    while !worker.has_stopped() {
        let mut woken = Woken::default();
        // The order matters: timers are rare and must not be passed over. Sockets, mail and everything that is queued
        // are handled in every turn, whatever woke the loop.
        tokio::select! {
            biased;
            _ = second.tick() => woken.has_ticked = true,
            // An alarm that comes due during the shutdown rings after the restart.
            () = worker.alarm_is_due(), if !worker.shutdown.is_stopping() => woken.is_time = true,
            () = worker.shutdown.is_due() => woken.is_time = true,
            () = worker.sockets.check_is_due() => woken.is_time = true,
            guard = polled.readable_mut() => {
                take_events(guard?, &mut events)?;
                woken.has_events = true;
            }
            () = mailbox.has_mail() => {}
            () = worker.turn.is_woken() => {}
        }
        has_more = worker.take_turn(&woken, has_more, &events, &mut mailbox);
        if has_more {
            worker.turn.continues();
        }
        if runtime_turn.is_due(worker.turn.began()) || has_more {
            tokio::task::yield_now().await;
        }
    }
    worker.release();
    worker.heartbeat().has_ended();
    Ok(())
}

impl WriteOut for Worker {
    fn write_out(&self) {
        fence_if_needed(self);
        // This comes before anything is written: a client's reaction to what it reads must not overtake what its
        // Replica has sent to its Group.
        self.router.post();
        let was_all_offered = self.sockets.flush();
        if !was_all_offered {
            fence_if_needed(self);
        }
        self.sockets.note_lag();
    }
}

impl Worker {
    /// Takes one turn. Returns whether work is left for the next one.
    #[inline]
    fn take_turn(self: &Rc<Self>, woken: &Woken, had_more: bool, events: &Events, mailbox: &mut Mailbox) -> bool {
        self.begin_turn();
        if woken.has_ticked {
            self.tick();
        }
        if woken.has_events {
            self.sockets.handle(events);
        }
        if had_more || woken.is_time {
            self.do_what_is_due();
        }
        self.open_mailbox(mailbox);
        self.end_turn();
        mailbox.is_open() || self.has_work()
    }

    fn begin_turn(&self) {
        self.turn.begin();
        self.sockets.begin_turn();
        fence_if_needed(self);
    }

    /// Does the work of each second.
    fn tick(&self) {
        self.heartbeat().beats(self.shared().uptime());
        self.sockets.tick();
        self.calls.remove_abandoned();
        if let Some(cluster) = self.router.cluster() {
            cluster.retain_calls(|call| self.calls.is_pending(call));
            cluster.evict_unused(|object| self.objects.epoch(object).is_some() || self.writes.has_any(object));
        }
    }

    fn open_mailbox(self: &Rc<Self>, mailbox: &mut Mailbox) {
        while let Some(mail) = mailbox.next() {
            dispatch(self, mail);
            self.write_if_full();
            if self.turn.has_lasted(1) {
                return;
            }
        }
    }

    fn do_what_is_due(self: &Rc<Self>) {
        self.sockets.check_lagging();
        if self.alarms.borrow().next().is_some_and(|at| at <= self.shared().now()) && !self.shutdown.is_stopping() {
            self.ring_alarms();
        }
        if self.shutdown.next_due().is_some_and(|at| at <= Instant::now().into()) {
            self.close_batch();
        }
    }

    async fn alarm_is_due(&self) {
        let next = self.alarms.borrow().next();
        match next {
            Some(at) => tokio::time::sleep(at.since(self.shared().now())).await,
            None => std::future::pending().await,
        }
    }

    /// Wakes the objects whose alarm is due.
    fn ring_alarms(self: &Rc<Self>) {
        while !self.turn.has_lasted(1) {
            let due = self.alarms.borrow_mut().take_due(self.shared().now());
            let Some(object) = due else { return };
            if let Some(cluster) = self.router.cluster().filter(|cluster| !cluster.has_claim(object)) {
                cluster.wake_elsewhere(object);
                self.alarms.borrow_mut().set(object, Some(self.shared().now() + ALARM_ELSEWHERE));
                continue;
            }
            self.counters().alarms.one();
            match object {
                Object::Group(address) => self.group(address).alarms_due(),
                Object::Replica(address) => self.replica(address).alarms_due(),
            }
        }
    }

    /// Closes the batch of sockets that is due in the shutdown.
    fn close_batch(&self) {
        let Some(batch) = self.shutdown.take_batch() else { return };
        batch.into_iter().for_each(|socket| self.sockets.send_away(socket));
        if self.shutdown.closes_everything() {
            // Also close sockets that have opened since the start, because their requests were in progress then.
            self.sockets.ids().into_iter().for_each(|socket| self.sockets.send_away(socket));
        }
    }

    /// Reads sockets and handles everything that is queued. Then sends to each other worker once, and writes to each
    /// socket once.
    fn end_turn(self: &Rc<Self>) {
        self.sockets.read(&**self);
        for _ in 0..ROUNDS {
            while self.work_off() {}
            self.write_out();
            // Writing shows which clients are gone. Their Replicas must be told.
            if !self.sockets.any_ended() || self.turn.has_lasted(3) {
                break;
            }
        }
        self.turn.end();
    }

    /// Writes before the end of the turn if much is queued.
    fn write_if_full(&self) {
        if self.sockets.is_full() {
            self.write_out();
        }
    }

    /// Returns whether work was left for the next turn, so that the runtime can run first.
    fn has_work(&self) -> bool {
        self.outbound.has_local() || self.sockets.has_work()
    }

    /// Handles one entry of each queue within the worker. Returns whether there was any, and there is time for more.
    fn work_off(self: &Rc<Self>) -> bool {
        let ended = self.sockets.take_ended();
        let resumed = self.sockets.take_resumed();
        let mail = self.outbound.take_local();
        let any = ended.is_some() || resumed.is_some() || mail.is_some();
        if let Some((socket, replica, end)) = ended {
            replica.closed(socket, end);
            self.sockets.forget_ended(socket);
        }
        if let Some(socket) = resumed {
            self.sockets.resumes(socket, &**self);
        }
        if let Some(mail) = mail {
            dispatch(self, mail);
        }
        self.write_if_full();
        any && !self.turn.has_lasted(3)
    }

    /// Returns whether this worker has no connection, no request, no running handler and no write that anything waits
    /// for.
    fn is_done(&self) -> bool {
        self.shutdown.closes_everything()
            && self.sockets.is_empty()
            && self.shutdown.is_idle()
            && self.calls.is_idle()
            && !self.has_work()
    }

    /// Returns whether the worker may end: all workers have nothing left to do, or the time is over.
    fn has_stopped(&self) -> bool {
        if !self.shutdown.is_stopping() {
            return false;
        }
        if self.shutdown.is_overdue() {
            // Something has not ended in time. What Groups write now is completed before the storage is closed.
            self.say_goodbye();
            return true;
        }
        if !self.is_done() || !self.shutdown.all_are_done() {
            return false;
        }
        self.say_goodbye();
        // This includes the last writes of the Groups.
        self.shutdown.busy() == 0
    }

    /// Tells the Groups, once, that the server ends. All seats were released before, so they know who left when.
    fn say_goodbye(&self) {
        if self.shutdown.says_goodbye() {
            self.objects.groups().into_iter().for_each(GroupObject::goodbye);
        }
    }
}
