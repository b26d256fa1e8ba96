//! Transactions of one object that conflict again and again run one at a time: [`TransactionQueue`].

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use dog::Timestamp;
use dog::internal::{LocalFuture, TransactionTurn};

use crate::host::Host;

/// How many attempts of a transaction run concurrently with others before it waits for a turn.
const CONCURRENT_ATTEMPTS: usize = 2;

/// How long one turn may keep the others waiting. Without a limit, a body that waits for another transaction of its own
/// object would wait for ever.
const LONGEST_TURN: Duration = Duration::from_secs(3);

/// Which transaction has the turn, and which wait for one, in the order in which they came.
pub(super) struct TransactionQueue<H: Host> {
    host: Rc<H>,
    turn: Cell<Option<(u64, Timestamp)>>,
    /// By their numbers.
    waiting: RefCell<VecDeque<(u64, Waker)>>,
    next: Cell<u64>,
    /// Whether the body of the transaction that has the turn is being polled.
    polled: Cell<bool>,
}

impl<H: Host> TransactionQueue<H> {
    pub(super) fn new(host: Rc<H>) -> Rc<Self> {
        let (turn, waiting) = (Cell::default(), RefCell::default());
        Rc::new(Self { host, turn, waiting, next: Cell::new(0), polled: Cell::new(false) })
    }

    /// Waits for a turn of a transaction that has had `conflicts` conflicts. `None` if it needs none: it runs concurrently
    /// with others while nobody waits for a turn, and so does a transaction within the body of one that has the turn.
    pub(super) fn turn(self: &Rc<Self>, conflicts: usize) -> Option<LocalFuture<Box<dyn TransactionTurn>>> {
        let contended = self.turn.get().is_some() || !self.waiting.borrow().is_empty();
        if self.polled.get() || (conflicts < CONCURRENT_ATTEMPTS && !contended) {
            return None;
        }
        let number = self.next.replace(self.next.get() + 1);
        self.waiting.borrow_mut().push_back((number, Waker::noop().clone()));
        Some(Box::pin(WaitForTurn { queue: Rc::clone(self), number, limit: None }))
    }

    fn take(self: &Rc<Self>, number: u64) -> Box<dyn TransactionTurn> {
        self.leave(number);
        self.turn.set(Some((number, self.host.now())));
        // The next one limits how long this turn lasts.
        self.wake_first();
        Box::new(Turn { queue: Rc::clone(self), number })
    }

    /// Has `waker` woken when this transaction is the first.
    fn wait(&self, number: u64, waker: &Waker) {
        let mut waiting = self.waiting.borrow_mut();
        if let Ok(at) = waiting.binary_search_by_key(&number, |(number, _)| *number) {
            waiting[at].1.clone_from(waker);
        }
    }

    /// Returns whether it has waited.
    fn leave(&self, number: u64) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        let at = waiting.binary_search_by_key(&number, |(number, _)| *number);
        at.is_ok_and(|at| waiting.remove(at).is_some())
    }

    fn is_first(&self, number: u64) -> bool {
        self.waiting.borrow().front().is_none_or(|(first, _)| *first == number)
    }

    fn wake_first(&self) {
        let first = self.waiting.borrow().front().map(|(_, waker)| waker.clone());
        if let Some(first) = first {
            first.wake();
        }
    }
}

struct WaitForTurn<H: Host> {
    queue: Rc<TransactionQueue<H>>,
    number: u64,
    /// Completes when the current turn has lasted too long. Only the first in the queue has it.
    limit: Option<LocalFuture<()>>,
}

impl<H: Host> Future for WaitForTurn<H> {
    type Output = Box<dyn TransactionTurn>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (queue, number) = (Rc::clone(&self.queue), self.number);
        queue.wait(number, context.waker());
        loop {
            if !queue.is_first(number) {
                return Poll::Pending;
            }
            let Some((_, since)) = queue.turn.get() else { return Poll::Ready(queue.take(number)) };
            let left = LONGEST_TURN.saturating_sub(queue.host.now().since(since));
            if left.is_zero() {
                return Poll::Ready(queue.take(number));
            }
            let limit = self.limit.get_or_insert_with(|| queue.host.sleep(left));
            ready!(limit.as_mut().poll(context));
            self.limit = None;
        }
    }
}

impl<H: Host> Drop for WaitForTurn<H> {
    fn drop(&mut self) {
        // Without its turn, it may have been the first: then another is the first now.
        if self.queue.leave(self.number) {
            self.queue.wake_first();
        }
    }
}

struct Turn<H: Host> {
    queue: Rc<TransactionQueue<H>>,
    number: u64,
}

impl<H: Host> TransactionTurn for Turn<H> {
    fn lasts(&self) -> bool {
        self.queue.turn.get().is_some_and(|(number, _)| number == self.number)
    }

    fn polled(&self, polled: bool) -> bool {
        self.queue.polled.replace(polled)
    }
}

impl<H: Host> Drop for Turn<H> {
    fn drop(&mut self) {
        if self.lasts() {
            self.queue.turn.set(None);
            self.queue.wake_first();
        }
    }
}
