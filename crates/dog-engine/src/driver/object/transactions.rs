//! Transactions of one object that conflict again and again run one at a time: [`TransactionQueue`].

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
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
    waiting: RefCell<BTreeMap<u64, Waker>>,
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
        self.waiting.borrow_mut().insert(number, Waker::noop().clone());
        Some(Box::pin(WaitForTurn { queue: Rc::clone(self), number, limit: None }))
    }

    fn take(self: &Rc<Self>, number: u64) -> Box<dyn TransactionTurn> {
        self.waiting.borrow_mut().remove(&number);
        self.turn.set(Some((number, self.host.now())));
        // The next one limits how long this turn lasts.
        self.wake_first();
        Box::new(Turn { queue: Rc::clone(self), number })
    }

    fn is_first(&self, number: u64) -> bool {
        self.waiting.borrow().first_key_value().is_none_or(|(first, _)| *first == number)
    }

    fn wake_first(&self) {
        let first = self.waiting.borrow().first_key_value().map(|(_, waker)| waker.clone());
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
        queue.waiting.borrow_mut().insert(number, context.waker().clone());
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
        let waited = self.queue.waiting.borrow_mut().remove(&self.number).is_some();
        if waited {
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
