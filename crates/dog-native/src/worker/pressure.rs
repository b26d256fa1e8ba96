//! Whose bytes have to wait. What cannot be taken where it goes, by a client that reads or by another worker, is not made
//! more of: the sockets of those who send it are not read, until it can. What comes from elsewhere, from handlers that send
//! much at once or from other nodes, is bounded by being turned down.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use dog::internal::Kind;
use dog::{Error, SocketId};
use dog_engine::address::{GroupAddress, NodeId};

use super::abroad::Abroad;
use super::post::{FULL, OVERFULL};
use super::{Mail, Worker};

/// How often those are looked at that do not keep up.
const LOOK: Duration = Duration::from_millis(50);

/// Looks at a worker that does nothing, before nobody waits for it any more: a handler may keep its thread.
const STILL: u8 = 20;

/// Looks at sockets elsewhere, before nobody waits for them any more: their own worker does so sooner, unless it stands.
const LOOKS_ELSEWHERE: u8 = 120;

/// What has to wait, and for what.
pub(super) struct Pressure {
    /// Sockets that are not read.
    held_back: RefCell<Vec<SocketId>>,
    /// Groups that have sockets which do not keep up, the other workers where these are, and how often that was looked at.
    elsewhere: RefCell<HashMap<(GroupAddress, usize), u8>>,
    /// Workers that have more to do than they should.
    full: RefCell<Vec<Option<Full>>>,
    any_is_full: Cell<bool>,
    /// Whether something was sent to one of these since that was asked.
    met_full: Cell<bool>,
    /// What is queued for this worker by itself, and for others since it was sent the last time.
    pub(super) local: Cell<usize>,
    outgoing: Rc<Cell<usize>>,
    next_look: Cell<Option<Instant>>,
}

/// A worker that has more to do than it should.
struct Full {
    /// See [`Post::taken`](super::Post::taken).
    taken: usize,
    /// Looks in a row that have found it doing nothing.
    still: u8,
}

impl Pressure {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            held_back: RefCell::default(),
            elsewhere: RefCell::default(),
            full: RefCell::new((0..workers).map(|_| None).collect()),
            any_is_full: Cell::new(false),
            met_full: Cell::new(false),
            local: Cell::new(0),
            outgoing: Rc::default(),
            next_look: Cell::new(None),
        }
    }

    fn set_full(&self, worker: usize, full: Option<Full>) {
        let mut all = self.full.borrow_mut();
        all[worker] = full;
        self.any_is_full.set(all.iter().any(Option::is_some));
    }

    #[inline]
    fn is_strained(&self) -> bool {
        self.any_is_full.get() || !self.elsewhere.borrow().is_empty()
    }
}

impl Worker {
    /// Counts what is sent, and gives back what may be.
    pub(super) fn admit(&self, worker: usize, mail: Mail) -> Option<Mail> {
        let pressure = &self.pressure;
        let weight = mail.weight();
        if worker == self.index {
            let queued = pressure.local.get() + weight;
            if queued > OVERFULL && mail.may_be_turned_down() {
                return self.refuse_mail(mail);
            }
            pressure.local.set(queued);
            return Some(mail);
        }
        pressure.outgoing.set(pressure.outgoing.get() + weight);
        if pressure.any_is_full.get()
            && let Some(full) = &pressure.full.borrow()[worker]
        {
            pressure.met_full.set(pressure.met_full.get() || full.still < STILL);
            if self.shared.post.backlog(worker) > OVERFULL && mail.may_be_turned_down() {
                return self.refuse_mail(mail);
            }
        }
        Some(mail)
    }

    /// Drops what cannot be kept; whoever waits for an answer hears of it.
    pub(super) fn refuse_mail(&self, mail: Mail) -> Option<Mail> {
        self.counters.mail_refused.one();
        // A request of another node is answered by its silence: its asker has a deadline.
        if mail.asker().is_none_or(|node| node == NodeId::default()) {
            self.turn_down(mail, &Error::new(Kind::Unreachable, "too much waits for the object: try again later"));
        }
        None
    }

    /// Whether what is queued should go out before more is made of it.
    pub(super) fn is_full(&self) -> bool {
        self.pressure.outgoing.get() > FULL / 4 || self.connections.borrow().is_full()
    }

    /// Whether something was sent to a worker that has too much to do, since that was forgotten.
    pub(super) fn has_met_full(&self) -> bool {
        self.pressure.met_full.get()
    }

    /// What was sent by others than the socket that is read next is no fault of its client.
    pub(super) fn forget_full(&self) {
        self.pressure.met_full.set(false);
    }

    /// Whether too much is queued within the worker to read anything that makes more of it.
    pub(super) fn is_behind(&self) -> bool {
        self.pressure.local.get() > FULL
    }

    /// What is asked before something is written in the middle of a turn: see [`may_write`](Self::may_write). It is asked
    /// for every few writes, so it costs almost nothing where there is no lease to look at and nothing is queued for others.
    pub(super) fn write_gate(worker: &Weak<Self>, pressure: &Pressure, in_cluster: bool) -> Box<dyn Fn() -> bool> {
        let (worker, outgoing) = (Weak::clone(worker), Rc::clone(&pressure.outgoing));
        Box::new(move || {
            (!in_cluster && outgoing.get() == 0) || worker.upgrade().is_some_and(|worker| worker.may_write())
        })
    }

    /// Sends what is queued for others, in the middle of a turn, before anything is written. Whether that may be.
    fn may_write(&self) -> bool {
        if self.abroad.as_ref().is_some_and(Abroad::lease_is_over) {
            return false;
        }
        self.post_outgoing();
        true
    }

    /// Sends what is queued for other workers and other nodes. Asked for every few writes, so it costs almost nothing where
    /// nothing is queued.
    #[inline]
    pub(super) fn post_outgoing(&self) {
        if self.pressure.outgoing.get() > 0 {
            self.post_to_workers();
        }
        if let Some(abroad) = &self.abroad {
            abroad.post_letters();
        }
    }

    #[inline(never)]
    fn post_to_workers(&self) {
        self.pressure.outgoing.set(0);
        let mut outgoing = self.outgoing.borrow_mut();
        for (worker, mail) in outgoing.iter_mut().enumerate().filter(|(_, mail)| !mail.is_empty()) {
            let post = &self.shared.post;
            let waits = post.send_counted(worker, std::mem::take(mail));
            if waits > FULL && self.pressure.full.borrow()[worker].is_none() && post.will_tell(worker) {
                self.pressure.set_full(worker, Some(Full { taken: post.taken(worker), still: 0 }));
            }
        }
    }

    /// Another worker keeps up again.
    pub(super) fn has_room(&self, worker: usize) {
        self.pressure.set_full(worker, None);
        self.let_go_on();
    }

    /// Another worker has sockets of that Group which do not keep up, or has none any more.
    pub(super) fn lags_elsewhere(&self, group: GroupAddress, worker: usize, lags: bool) {
        if lags {
            self.pressure.elsewhere.borrow_mut().insert((group, worker), 0);
        } else {
            self.pressure.elsewhere.borrow_mut().remove(&(group, worker));
            self.let_go_on();
        }
    }

    /// After something was written: tells the others, and lets those go on who have waited for it.
    #[inline]
    pub(super) fn note_lag(&self) {
        let (has_news, any_lags) = {
            let connections = self.connections.borrow();
            (connections.has_lag_news(), connections.any_lags())
        };
        if has_news {
            self.tell_lag_news();
        }
        if self.pressure.next_look.get().is_none() && (any_lags || self.pressure.is_strained()) {
            self.pressure.next_look.set(Some(self.turn_began.get() + LOOK));
        }
    }

    fn tell_lag_news(&self) {
        let news = self.connections.borrow_mut().take_lag_news();
        for (group, lags) in &news {
            let (group, lags) = (*group, *lags);
            for worker in (0..self.shared.post.workers()).filter(|worker| *worker != self.index) {
                self.shared.post.send(worker, vec![Mail::Lags { group, worker: self.index, lags }]);
            }
        }
        if news.iter().any(|(_, lags)| !lags) {
            self.let_go_on();
        }
    }

    /// When those that do not keep up are to be looked at.
    pub(super) async fn look_is_due(&self) {
        match self.pressure.next_look.get() {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    }

    /// Looks at them, if it is time.
    pub(super) fn look_at_lagging(&self) {
        let now = self.turn_began.get();
        if self.pressure.next_look.get().is_none_or(|at| now < at) {
            return;
        }
        self.connections.borrow_mut().look_at_lagging(&self.shared.config);
        self.pressure.elsewhere.borrow_mut().retain(|_, looks| {
            *looks += 1;
            *looks < LOOKS_ELSEWHERE
        });
        for (worker, full) in self.pressure.full.borrow_mut().iter_mut().enumerate() {
            let Some(full) = full else { continue };
            let taken = self.shared.post.taken(worker);
            full.still = if taken == full.taken { full.still.saturating_add(1) } else { 0 };
            full.taken = taken;
        }
        // Whoever still has to wait finds so again.
        self.let_go_on();
        let anyone_waits = self.pressure.is_strained() || self.connections.borrow().any_lags();
        self.pressure.next_look.set(anyone_waits.then(|| now + LOOK));
    }

    /// Whether a socket is not to be read now. Then it is read again when that has changed.
    #[inline]
    pub(super) fn holds_back(&self, socket: SocketId) -> bool {
        let met_full = self.pressure.met_full.take();
        if !met_full && !self.connections.borrow().any_lags() && self.pressure.elsewhere.borrow().is_empty() {
            return false;
        }
        self.has_to_wait(socket, met_full)
    }

    fn has_to_wait(&self, socket: SocketId, met_full: bool) -> bool {
        let mut connections = self.connections.borrow_mut();
        let Some(replica) = connections.get(socket).and_then(|connection| connection.replica.clone()) else {
            return false;
        };
        let group = replica.address().group;
        let others = 0..self.shared.post.workers();
        let elsewhere = self.pressure.elsewhere.borrow();
        let lags = connections.lags(group) || others.into_iter().any(|worker| elsewhere.contains_key(&(group, worker)));
        let moment = connections.moment;
        if let Some(connection) = connections.get(socket) {
            let waits = met_full || (lags && connection.sends_much(moment));
            if !waits {
                return false;
            }
            connection.held_back = true;
            self.pressure.held_back.borrow_mut().push(socket);
        }
        true
    }

    fn let_go_on(&self) {
        let held_back = std::mem::take(&mut *self.pressure.held_back.borrow_mut());
        for socket in held_back {
            let mut connections = self.connections.borrow_mut();
            if let Some(connection) = connections.get(socket) {
                connection.held_back = false;
                drop(connections);
                self.read_again(socket);
            }
        }
    }
}
