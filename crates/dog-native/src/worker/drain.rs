//! The end of a worker in good order: nobody new comes in, sockets are closed in batches, what is under way ends, and
//! the worker stays for the others until all have come so far.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dog::http::{HeaderValue, StatusCode, header};
use dog::{Close, CloseCode, Response, SocketId};
use dog_engine::host::{End, GroupObject};
use tokio::time::Instant;

use super::Worker;
use super::mail::Mail;
use crate::config::Config;
use crate::connection::Phase;
use crate::passing::{Leaving, PassTimes};

/// So many sockets of a worker are closed at once: too few to come back as a storm.
const FEW: usize = 100;

/// The time from one batch to the next, shortest and longest.
const PAUSES: (u64, u64) = (50, 150);

/// What is left to the loop for the last steps, within the second that is promised besides the configured times.
const LAST_STEPS: Duration = Duration::from_millis(250);

/// How long the end of a server takes at most.
pub(crate) fn longest(config: &Config) -> Duration {
    config.drain_within + config.close_timeout + Duration::from_secs(1)
}

/// What a request from outside is answered with that comes too late.
pub(super) fn restarting() -> Response {
    let mut response = dog::text_response(StatusCode::SERVICE_UNAVAILABLE, "the server restarts");
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// How far the end has come.
#[derive(Debug)]
pub(super) struct Drain {
    began: Instant,
    /// When the last batch is due.
    within: Duration,
    /// When the worker ends, whatever is under way.
    by: Instant,
    /// Sockets that were open at the beginning and have not been closed by a batch yet, in no order.
    left: Vec<SocketId>,
    at_first: usize,
    /// When the next batch is due: never again once all are closed.
    next: Option<Instant>,
    /// Whether this worker has told the others that it has done.
    told: bool,
    /// Whether its Groups were told, when all workers had done or the time was over, that this is the end.
    parted: bool,
    random: u64,
}

impl Drain {
    fn new(mut sockets: Vec<SocketId>, config: &Config) -> Self {
        let mut seed = [0; 8];
        // Without randomness the batches are in the order of the alphabet, so to speak, and do their work all the same.
        let _ = getrandom::fill(&mut seed);
        let began = Instant::now();
        let mut random = u64::from_ne_bytes(seed);
        for at in (1..sockets.len()).rev() {
            let other = next_random(&mut random) % (at as u64 + 1);
            sockets.swap(at, usize::try_from(other).unwrap_or(at));
        }
        let within = if sockets.len() <= FEW { Duration::ZERO } else { config.drain_within };
        let by = began + longest(config) - LAST_STEPS;
        Self {
            began,
            within,
            by,
            at_first: sockets.len(),
            left: sockets,
            next: Some(began),
            told: false,
            parted: false,
            random,
        }
    }

    /// Those whose turn has come. All of them, and no more batches, once the time is over.
    fn take_due(&mut self, now: Instant) -> Vec<SocketId> {
        let passed = now - self.began;
        if passed >= self.within {
            self.next = None;
            return std::mem::take(&mut self.left);
        }
        let pause = PAUSES.0 + next_random(&mut self.random) % (PAUSES.1 - PAUSES.0 + 1);
        self.next = Some((now + Duration::from_millis(pause)).min(self.began + self.within));
        let keep = self.at_first as u128 * (self.within - passed).as_micros() / self.within.as_micros().max(1);
        let keep = usize::try_from(keep).unwrap_or(usize::MAX).min(self.left.len());
        self.left.split_off(keep)
    }

    /// Whether every socket that was open has been closed, and each that opens late is to be.
    fn is_swept(&self) -> bool {
        self.next.is_none()
    }
}

/// SplitMix64: no secret depends on it.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

/// Something that must end before the worker may, for as long as it is held.
pub(crate) struct Busy(Rc<Worker>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.is_less_busy();
    }
}

impl Worker {
    /// Whether nobody new may come in.
    pub(crate) fn is_stopping(&self) -> bool {
        self.drain.borrow().is_some()
    }

    /// Ends when the worker begins to stop.
    pub(crate) fn stop_begins(&self) -> impl Future<Output = ()> + use<> {
        let mut stopping = self.stopping.subscribe();
        async move {
            // The sender is the worker's own: it lives as long as whatever asks.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        }
    }

    /// What a connection that is passed on to another node is to know of this worker's end.
    pub(crate) fn leaving(&self) -> Leaving {
        let config = &self.shared.config;
        Leaving {
            sends_away: self.sends_away.subscribe(),
            passages: Arc::clone(&self.passages),
            within: config.drain_within,
            times: PassTimes::of(config),
            post: self.shared.post.clone(),
            worker: self.index,
        }
    }

    pub(crate) fn busy(self: &Rc<Self>) -> Busy {
        self.is_busier();
        Busy(Rc::clone(self))
    }

    pub(super) fn is_busier(&self) {
        self.busy.set(self.busy.get() + 1);
    }

    pub(super) fn is_less_busy(&self) {
        self.busy.set(self.busy.get() - 1);
        if self.is_stopping() {
            self.queued();
        }
    }

    /// No new connections and no new requests; those that are open are told to come back elsewhere, by and by.
    pub(super) fn begin_stop(&self, at_once: bool) {
        if !self.is_stopping() {
            let sockets = self.connections.borrow().ids();
            tracing::debug!(worker = self.index, sockets = sockets.len(), "draining");
            self.drain.replace(Some(Drain::new(sockets, &self.shared.config)));
            self.stopping.send_replace(true);
            // Those that stream to somebody, or do something beside their handlers, come to an end.
            self.groups.borrow().values().for_each(|group| Rc::clone(group).stopping());
            self.replicas.borrow().values().for_each(|replica| Rc::clone(replica).stopping());
        }
        if let Some(drain) = self.drain.borrow_mut().as_mut().filter(|_| at_once) {
            drain.by = Instant::now();
        }
    }

    /// When the loop has something to do about its end.
    pub(super) fn next_drain(&self) -> Option<Instant> {
        let due = self.drain.borrow().as_ref().map(|drain| drain.next.unwrap_or(drain.by));
        due.filter(|_| self.listens.get() == 0)
    }

    /// The same, awaited.
    pub(super) async fn drain_is_due(&self) {
        match self.next_drain() {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// Closes those whose turn has come.
    pub(super) fn go_on_draining(&self) {
        let mut drain = self.drain.borrow_mut();
        let Some(drain) = drain.as_mut().filter(|drain| !drain.is_swept()) else { return };
        self.sends_away.send_replace(true);
        for socket in drain.take_due(Instant::now()) {
            self.send_away(socket);
        }
        if drain.is_swept() {
            // Those that have opened since the beginning: their requests were under way.
            let late = self.connections.borrow().ids();
            late.into_iter().for_each(|socket| self.send_away(socket));
        }
    }

    /// A socket whose connection comes when all others have been closed.
    pub(super) fn close_if_late(&self, socket: SocketId) {
        if self.drain.borrow().as_ref().is_some_and(Drain::is_swept) {
            self.send_away(socket);
        }
    }

    /// Tells a client to come back, and the Replica that its socket has ended.
    fn send_away(&self, socket: SocketId) {
        let mut connections = self.connections.borrow_mut();
        let Some(connection) = connections.get(socket).filter(|connection| connection.phase == Phase::Open) else {
            return;
        };
        if let Some(replica) = connection.replica.take() {
            let close = Close::new(CloseCode::RESTARTING, "");
            connections.ended.push_back((socket, replica, End::Close(close)));
        }
        connections.close(socket, CloseCode::RESTARTING, "the server restarts");
    }

    /// Whether nothing is under way here: no connection, no request, no handler or write that is waited for.
    fn is_done(&self) -> bool {
        self.drain.borrow().as_ref().is_some_and(Drain::is_swept)
            && self.connections.borrow().len() == 0
            && self.busy.get() == 0
            && self.passages.load(Ordering::Acquire) == 0
            && self.questions.borrow().values().all(tokio::sync::oneshot::Sender::is_closed)
            && !self.has_work()
    }

    /// Whether the worker may end: all workers have done what they had to, or the time is over.
    pub(super) fn has_stopped(&self) -> bool {
        if !self.is_stopping() {
            return false;
        }
        if self.drain.borrow().as_ref().is_some_and(|drain| Instant::now() >= drain.by) {
            // Something never ended. What Groups hand over now is done before the storage ends.
            self.say_goodbye();
            return true;
        }
        if !self.is_done() {
            return false;
        }
        let told = self.drain.borrow_mut().as_mut().is_none_or(|drain| std::mem::replace(&mut drain.told, true));
        if !told && self.shared.undrained.fetch_sub(1, Ordering::AcqRel) == 1 {
            let post = &self.shared.post;
            (0..post.workers()).for_each(|worker| post.send(worker, vec![Mail::Drained]));
        }
        // Until then the others' handlers may ask for objects that live here.
        if self.shared.undrained.load(Ordering::Acquire) > 0 {
            return false;
        }
        self.say_goodbye();
        // What they write then is waited for, with everything else.
        self.busy.get() == 0
    }

    /// Once. Every seat of a socket has been given back, so that Groups know who left when.
    fn say_goodbye(&self) {
        if self.drain.borrow_mut().as_mut().is_none_or(|drain| std::mem::replace(&mut drain.parted, true)) {
            return;
        }
        let groups: Vec<Rc<dyn GroupObject>> = self.groups.borrow().values().cloned().collect();
        groups.into_iter().for_each(GroupObject::goodbye);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(sockets: u64, config: &Config) -> Drain {
        Drain::new((0..sockets).map(SocketId::from_raw).collect(), config)
    }

    #[test]
    fn few_are_closed_at_once_and_many_spread_over_the_time() {
        let config = Config::default();
        let mut few = drain(100, &config);
        assert_eq!((few.take_due(few.began).len(), few.is_swept()), (100, true));

        let mut many = drain(10_000, &config);
        let (mut closed, mut batches) = (Vec::new(), 0);
        while let Some(next) = many.next {
            let batch = many.take_due(next);
            assert!(batch.len() <= 200, "{} at once", batch.len());
            closed.extend(batch);
            batches += 1;
            let pause = many.next.map_or(Duration::ZERO, |then| then - next);
            assert!(pause <= Duration::from_millis(150), "{pause:?}");
        }
        assert!((67..=210).contains(&batches), "{batches} batches in 10 s");
        assert!(!closed.is_sorted_by_key(|socket| socket.raw()), "at random");
        closed.sort_by_key(|socket| socket.raw());
        closed.dedup();
        assert_eq!(closed.len(), 10_000);
    }

    #[test]
    fn without_a_time_all_are_closed_at_once() {
        let mut at_once = drain(10_000, &Config { drain_within: Duration::ZERO, ..Config::default() });
        assert_eq!((at_once.take_due(at_once.began).len(), at_once.is_swept()), (10_000, true));
    }
}
