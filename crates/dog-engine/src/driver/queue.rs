//! Transactions of one object that overtake each other again and again run one at a time: [`TransactionQueue`].

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use dog::Timestamp;
use dog::internal::{LocalFuture, TransactionTurn};

use crate::host::Host;

/// How many runs of a transaction are made beside others before it waits for its turn.
const BESIDE_OTHERS: usize = 2;

/// How long one keeps the others waiting: then the next has its turn. A body that waits for another transaction of its
/// object would wait for ever without that.
const LONGEST: Duration = Duration::from_secs(3);

/// Whose turn it is, and who waits for theirs, in the order in which they came.
pub(super) struct TransactionQueue<H: Host> {
    host: Rc<H>,
    turn: Cell<Option<(u64, Timestamp)>>,
    waiting: RefCell<BTreeMap<u64, Waker>>,
    next: Cell<u64>,
    /// Whether the body of a transaction that has its turn is polled now.
    polled: Cell<bool>,
}

impl<H: Host> TransactionQueue<H> {
    pub(super) fn new(host: Rc<H>) -> Rc<Self> {
        let (turn, waiting) = (Cell::default(), RefCell::default());
        Rc::new(Self { host, turn, waiting, next: Cell::new(0), polled: Cell::new(false) })
    }

    /// Ends when it is the turn of a transaction that was overtaken so often. `None` if it needs none: it runs beside
    /// others while nobody has asked for a turn, or is part of the body of one that has its turn.
    pub(super) fn turn(self: &Rc<Self>, overtaken: usize) -> Option<LocalFuture<Box<dyn TransactionTurn>>> {
        let contended = self.turn.get().is_some() || !self.waiting.borrow().is_empty();
        if self.polled.get() || (overtaken < BESIDE_OTHERS && !contended) {
            return None;
        }
        let number = self.next.replace(self.next.get() + 1);
        self.waiting.borrow_mut().insert(number, Waker::noop().clone());
        Some(Box::pin(Waits { queue: Rc::clone(self), number, longest: None }))
    }

    fn take(self: &Rc<Self>, number: u64) -> Box<dyn TransactionTurn> {
        self.waiting.borrow_mut().remove(&number);
        self.turn.set(Some((number, self.host.now())));
        // It is the next one's part to see to it that this turn ends.
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

/// One that waits for its turn.
struct Waits<H: Host> {
    queue: Rc<TransactionQueue<H>>,
    number: u64,
    /// Ends when the turn of another has taken too long; there while this one is the next.
    longest: Option<LocalFuture<()>>,
}

impl<H: Host> Future for Waits<H> {
    type Output = Box<dyn TransactionTurn>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (queue, number) = (Rc::clone(&self.queue), self.number);
        queue.waiting.borrow_mut().insert(number, context.waker().clone());
        loop {
            if !queue.is_first(number) {
                return Poll::Pending;
            }
            let Some((_, since)) = queue.turn.get() else { return Poll::Ready(queue.take(number)) };
            let left = LONGEST.saturating_sub(queue.host.now().since(since));
            if left.is_zero() {
                return Poll::Ready(queue.take(number));
            }
            let longest = self.longest.get_or_insert_with(|| queue.host.sleep(left));
            ready!(longest.as_mut().poll(context));
            self.longest = None;
        }
    }
}

impl<H: Host> Drop for Waits<H> {
    fn drop(&mut self) {
        // Unless it had its turn, the next may be the first now.
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
