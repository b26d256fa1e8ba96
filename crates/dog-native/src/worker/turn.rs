//! The loop of a worker: what has come is handled, then everything that was queued goes out, once.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use mio::{Events, Poll};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::MissedTickBehavior;

use super::{Mail, Worker};

/// Events taken from the kernel at once.
const EVENTS: usize = 1024;

/// Pieces of local mail opened before the sockets are looked at again.
const LOCAL_MAIL: usize = 4096;

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

/// Runs a worker until it is told to stop and its connections have ended.
pub(crate) async fn run(worker: Rc<Worker>, poll: Poll, mut mailbox: UnboundedReceiver<Vec<Mail>>) -> io::Result<()> {
    worker.watched().beats(worker.shared.life());
    let mut polled = register(poll)?;
    let mut events = Events::with_capacity(EVENTS);
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    second.reset();
    while !worker.has_stopped() {
        tokio::select! {
            batch = mailbox.recv() => {
                let mut next = batch;
                worker.begin_turn();
                while let Some(batch) = next {
                    batch.into_iter().for_each(|mail| worker.open_mail(mail));
                    next = mailbox.try_recv().ok();
                }
            }
            guard = polled.readable_mut() => {
                let mut guard = guard?;
                worker.begin_turn();
                guard.get_inner_mut().0.poll(&mut events, Some(Duration::ZERO))?;
                // Fewer than asked for: there were no more.
                if events.iter().count() < EVENTS {
                    guard.clear_ready();
                }
                worker.handle(&events);
            }
            // One that comes due while the worker ends rings when the server is back.
            () = worker.alarm_is_due(), if !worker.is_stopping() => {
                worker.begin_turn();
                worker.ring();
            }
            () = worker.drain_is_due() => {
                worker.begin_turn();
                worker.go_on_draining();
            }
            () = worker.wake.notified() => worker.begin_turn(),
            _ = second.tick() => {
                worker.begin_turn();
                worker.watched().beats(worker.shared.life());
                worker.connections.borrow_mut().tick(&worker.shared.config);
                worker.forget_questions();
                worker.forget_unused();
            }
        }
        worker.end_turn();
    }
    worker.let_go();
    worker.watched().has_ended();
    Ok(())
}

impl Worker {
    fn begin_turn(&self) {
        self.in_turn.set(true);
        self.mind_lease();
    }

    async fn alarm_is_due(&self) {
        let next = self.alarms.borrow().next();
        match next {
            Some(at) => tokio::time::sleep(at.since(self.shared.now())).await,
            None => std::future::pending().await,
        }
    }

    fn handle(self: &Rc<Self>, events: &Events) {
        for event in events {
            let place = event.token().0;
            let socket = {
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
                socket
            };
            self.pump(socket);
        }
    }

    /// Does what is queued, then writes: each socket once, each other worker once.
    fn end_turn(self: &Rc<Self>) {
        let again = std::mem::take(&mut *self.again.borrow_mut());
        for socket in again {
            self.pump(socket);
        }
        for _ in 0..ROUNDS {
            while self.work_off() {}
            self.mind_lease();
            // Before anything is written: what a client does because of what it reads must not overtake what its Replica
            // has told its Group.
            self.post_outgoing();
            let mut connections = self.connections.borrow_mut();
            connections.flush();
            // Writing finds out which clients have gone, and that is news to their Replicas.
            if connections.ended.is_empty() {
                break;
            }
        }
        self.in_turn.set(false);
        if self.has_work() {
            self.wake.notify_one();
        }
    }

    fn post_outgoing(&self) {
        let mut outgoing = self.outgoing.borrow_mut();
        for (worker, mail) in outgoing.iter_mut().enumerate().filter(|(_, mail)| !mail.is_empty()) {
            self.shared.post.send(worker, std::mem::take(mail));
        }
        if let Some(abroad) = &self.abroad {
            abroad.post_letters();
        }
    }

    /// Whether something was left for the next turn, so that what else the runtime does has its turn too.
    pub(super) fn has_work(&self) -> bool {
        !self.local.borrow().is_empty()
            || !self.resumed.borrow().is_empty()
            || !self.again.borrow().is_empty()
            || !self.connections.borrow().ended.is_empty()
    }

    /// Does what is queued within the worker. Whether that was little enough to look for what has followed from it.
    fn work_off(self: &Rc<Self>) -> bool {
        let ended = std::mem::take(&mut self.connections.borrow_mut().ended);
        let resumed = std::mem::take(&mut *self.resumed.borrow_mut());
        let mut worked = !ended.is_empty() || !resumed.is_empty();
        for (socket, replica, end) in ended {
            replica.closed(socket, end);
        }
        for socket in resumed {
            if let Some(connection) = self.connections.borrow_mut().get(socket) {
                connection.busy = false;
            }
            self.pump(socket);
        }
        for _ in 0..LOCAL_MAIL {
            let next = self.local.borrow_mut().pop_front();
            let Some(mail) = next else { return worked };
            self.open_mail(mail);
            worked = true;
        }
        false
    }
}
