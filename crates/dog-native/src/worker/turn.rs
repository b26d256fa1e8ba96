//! The loop of a worker: what has come is handled, then everything that was queued goes out, once.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::{Events, Poll};
use tokio::io::unix::{AsyncFd, AsyncFdReadyMutGuard};
use tokio::time::MissedTickBehavior;

use super::{Mailbox, Worker};
use crate::connection::moment;

/// Events taken from the kernel at once.
const EVENTS: usize = 1024;

/// How long a turn goes on with one kind of work while there is more of it: what comes from other workers, what sockets
/// say, what follows from both. So a turn takes three times as long at most, one handler's time, and the writes that it ends
/// with.
const SLICE: Duration = Duration::from_millis(1);

/// After how long the loop returns to the runtime although it always had something to do: timers and everything else that
/// is not a socket of this loop depend on the runtime. A loop that waits has returned by that, however long its turns take.
const OTHERS_AFTER: Duration = Duration::from_millis(1);

/// How often the connections' [`moment`] is looked up: it need not be exact.
const MOMENT: Duration = Duration::from_millis(50);

/// How often what follows from writing is done within one turn.
const ROUNDS: usize = 4;

/// The connections' own poll, seen by the runtime as one file that becomes readable.
struct Polled(Poll);

impl AsRawFd for Polled {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[allow(unsafe_code, reason = "the runtime asks for a promise about the descriptor")]
fn register(poll: Poll) -> io::Result<AsyncFd<Polled>> {
    // SAFETY: `Polled` owns its poll, whose descriptor is open and the same until it is dropped, and only `AsyncFd`
    // owns the `Polled`.
    Ok(unsafe { AsyncFd::register_with_interest(Polled(poll), tokio::io::Interest::READABLE) }?)
}

/// Takes from the kernel what has come for the sockets.
fn take_events(mut guard: AsyncFdReadyMutGuard<'_, Polled>, events: &mut Events) -> io::Result<()> {
    guard.get_inner_mut().0.poll(events, Some(Duration::ZERO))?;
    // Fewer than asked for: there were no more.
    if events.iter().count() < EVENTS {
        guard.clear_ready();
    }
    Ok(())
}

/// Runs a worker until it is told to stop and its connections have ended.
pub(crate) async fn run(worker: Rc<Worker>, poll: Poll, mailbox: Mailbox) -> io::Result<()> {
    // How often the runtime has come to the loop. Between two polls it has served everything else.
    let polls = Cell::new(0);
    let mut turns = pin!(turns(worker, poll, mailbox, &polls));
    poll_fn(|context| {
        polls.set(polls.get() + 1);
        turns.as_mut().poll(context)
    })
    .await
}

async fn turns(worker: Rc<Worker>, poll: Poll, mut mailbox: Mailbox, polls: &Cell<u64>) -> io::Result<()> {
    worker.watched().beats(worker.shared.life());
    let mut polled = register(poll)?;
    let mut events = Events::with_capacity(EVENTS);
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    second.reset();
    let (mut has_more, mut last_poll, mut others_came) = (false, polls.get(), Instant::now());
    while !worker.has_stopped() {
        let (mut has_ticked, mut is_time, mut has_events) = (false, false, false);
        // In this order: what is due comes seldom and must not be passed over; sockets are looked at in every turn, and mail
        // and everything that is queued is taken in every turn, whatever woke the loop.
        tokio::select! {
            biased;
            _ = second.tick() => has_ticked = true,
            // One that comes due while the worker ends rings when the server is back.
            () = worker.alarm_is_due(), if !worker.is_stopping() => is_time = true,
            () = worker.drain_is_due() => is_time = true,
            () = worker.look_is_due() => is_time = true,
            guard = polled.readable_mut() => {
                take_events(guard?, &mut events)?;
                has_events = true;
            }
            () = mailbox.has_mail() => {}
            () = worker.wake.notified() => {}
        }
        worker.begin_turn();
        if has_ticked {
            worker.tick();
        }
        if has_events {
            worker.handle(&events);
        }
        if has_more || is_time {
            worker.do_what_is_due();
        }
        worker.open_mailbox(&mut mailbox);
        worker.end_turn();
        has_more = mailbox.is_open() || worker.has_work();
        if has_more {
            worker.wake.notify_one();
        }
        // Without this a loop that always has something to do would never return to the runtime, whose drivers bring the
        // kernel's news and the time to everything else on this thread.
        let began = worker.turn_began.get();
        if polls.get() != last_poll {
            (last_poll, others_came) = (polls.get(), began);
        }
        if has_more || (others_came != began && began.duration_since(others_came) > OTHERS_AFTER) {
            tokio::task::yield_now().await;
        }
    }
    worker.let_go();
    worker.watched().has_ended();
    Ok(())
}

impl Worker {
    fn begin_turn(&self) {
        self.in_turn.set(true);
        let now = Instant::now();
        self.turn_began.set(now);
        if now >= self.next_moment.get() {
            self.connections.borrow_mut().moment = moment(self.shared.life_at(now));
            self.next_moment.set(now + MOMENT);
        }
        self.mind_lease();
    }

    /// Whether the turn has gone on for so many slices.
    pub(super) fn has_lasted(&self, slices: u32) -> bool {
        self.turn_began.get().elapsed() >= SLICE * slices
    }

    fn tick(&self) {
        self.watched().beats(self.shared.life());
        self.connections.borrow_mut().tick(&self.shared.config);
        self.forget_questions();
        self.forget_unused();
    }

    fn open_mailbox(self: &Rc<Self>, mailbox: &mut Mailbox) {
        while let Some(mail) = mailbox.next() {
            self.open_mail(mail);
            self.write_if_full();
            if self.has_lasted(1) {
                return;
            }
        }
    }

    fn do_what_is_due(self: &Rc<Self>) {
        self.look_at_lagging();
        if self.alarms.borrow().next().is_some_and(|at| at <= self.shared.now()) && !self.is_stopping() {
            self.ring();
        }
        if self.next_drain().is_some_and(|at| at <= Instant::now().into()) {
            self.go_on_draining();
        }
    }

    async fn alarm_is_due(&self) {
        let next = self.alarms.borrow().next();
        match next {
            Some(at) => tokio::time::sleep(at.since(self.shared.now())).await,
            None => std::future::pending().await,
        }
    }

    fn handle(&self, events: &Events) {
        for event in events {
            let place = event.token().0;
            let mut connections = self.connections.borrow_mut();
            let Some(socket) = connections.at(place) else { continue };
            if event.is_writable() {
                connections.writable(socket);
            }
            let Some(connection) = connections.get(socket) else { continue };
            let hung_up = event.is_read_closed() || event.is_error();
            connection.hung_up |= hung_up;
            if !(event.is_readable() || hung_up) {
                continue;
            }
            connection.readable = true;
            // What it has said last is not heard before the handler has ended; that it has gone is.
            if connection.hung_up && connection.has_read_ahead() {
                connections.lose(socket);
            } else if !connection.awaits_turn && !connection.held_back {
                connection.awaits_turn = true;
                self.fresh.borrow_mut().push_back(socket);
            }
        }
    }

    /// Reads what has come, does what is queued, then writes: each socket once, each other worker once.
    fn end_turn(self: &Rc<Self>) {
        for sockets in [&self.fresh, &self.again] {
            if !sockets.borrow().is_empty() {
                self.read_some(sockets, 2);
            }
        }
        for _ in 0..ROUNDS {
            while self.work_off() {}
            self.write_out();
            // Writing finds out which clients have gone, and that is news to their Replicas.
            if self.connections.borrow().ended.is_empty() || self.has_lasted(3) {
                break;
            }
        }
        self.in_turn.set(false);
    }

    /// Sends and writes what is queued.
    pub(super) fn write_out(&self) {
        self.mind_lease();
        // Before anything is written: what a client does because of what it reads must not overtake what its Replica has
        // told its Group.
        self.post_outgoing();
        let all = self.connections.borrow_mut().flush();
        if !all {
            self.mind_lease();
        }
        self.note_lag();
    }

    /// So much may be queued that it should go out before the turn ends.
    fn write_if_full(&self) {
        if self.is_full() {
            self.write_out();
        }
    }

    /// Whether something was left for the next turn, so that what else the runtime does has its turn too.
    pub(super) fn has_work(&self) -> bool {
        !self.local.borrow().is_empty()
            || !self.resumed.borrow().is_empty()
            || !self.fresh.borrow().is_empty()
            || !self.again.borrow().is_empty()
            || !self.connections.borrow().ended.is_empty()
    }

    /// Does one thing of each kind that is queued within the worker. Whether there was any, and there is time for more.
    fn work_off(self: &Rc<Self>) -> bool {
        let ended = self.connections.borrow_mut().ended.pop_front();
        let resumed = self.resumed.borrow_mut().pop_front();
        let mail = self.local.borrow_mut().pop_front();
        let any = ended.is_some() || resumed.is_some() || mail.is_some();
        if let Some((socket, replica, end)) = ended {
            replica.closed(socket, end);
        }
        if let Some(socket) = resumed {
            self.resumes(socket);
        }
        if let Some(mail) = mail {
            self.pressure.local.set(self.pressure.local.get() - mail.weight());
            self.open_mail(mail);
        }
        self.write_if_full();
        any && !self.has_lasted(3)
    }
}
