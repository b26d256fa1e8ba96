//! One life of an object: its user's value while it is awake, and the tasks that run in it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use dog::internal::{Kind, LocalFuture};
use dog::{Epoch, Error, Timestamp};
use futures_util::FutureExt;
use tracing::Instrument;

use crate::host::{Host, HostObserver, Occurrence, Scheduler};
use crate::reply::Reply;

/// That an object's value is in memory, for whatever was given to the value's code: over from the moment the value is let
/// go, for a rest or for good.
#[derive(Clone, Debug, Default)]
pub(crate) struct Activation(Rc<Stay>);

#[derive(Debug, Default)]
struct Stay {
    over: Cell<bool>,
    /// The host has begun to end.
    stopping: Cell<bool>,
    /// Who waits for either.
    waiting: RefCell<HashMap<u64, Waker>>,
    next: Cell<u64>,
}

impl Activation {
    /// The one after this.
    fn next(&self) -> Self {
        Self(Rc::new(Stay { stopping: self.0.stopping.clone(), ..Stay::default() }))
    }

    fn end(&self) {
        self.0.over.set(true);
        self.wake();
    }

    fn stop(&self) {
        self.0.stopping.set(true);
        self.wake();
    }

    fn wake(&self) {
        self.0.waiting.take().into_values().for_each(Waker::wake);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.over.get()
    }

    /// Ends when what was begun beside the handlers should end: the host has begun to end, or this is over.
    pub(crate) fn stopping(&self) -> LocalFuture<()> {
        let number = self.0.next.replace(self.0.next.get() + 1);
        Box::pin(Stopping { activation: self.clone(), number })
    }

    /// What everything fails with that an ended activation tries.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.is_over() { Err(over()) } else { Ok(()) }
    }
}

struct Stopping {
    activation: Activation,
    number: u64,
}

impl Future for Stopping {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let stay = &self.activation.0;
        if stay.over.get() || stay.stopping.get() {
            return Poll::Ready(());
        }
        stay.waiting.borrow_mut().insert(self.number, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Stopping {
    fn drop(&mut self) {
        self.activation.0.waiting.borrow_mut().remove(&self.number);
    }
}

/// Why an activation that has ended can do nothing.
pub(crate) fn over() -> Error {
    Error::new(Kind::Closed, "this life of the object is over")
}

/// The user's value, from its waking to its end.
pub(crate) struct Life<T> {
    epoch: Epoch,
    state: RefCell<State<T>>,
    /// The present one, or the next while the object rests.
    activation: RefCell<Activation>,
    /// Who waits for the waking, and the tasks that are to hear of the end.
    wakers: RefCell<HashMap<u64, Waker>>,
    next_waker: Cell<u64>,
    /// Tasks that have not ended.
    tasks: Cell<usize>,
}

enum State<T> {
    /// Nothing was begun yet, or it went to rest: the next event wakes it.
    Hibernating,
    Waking,
    Awake(Rc<T>),
    Ended,
}

impl<T> Life<T> {
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            state: RefCell::new(State::Hibernating),
            activation: RefCell::default(),
            wakers: RefCell::default(),
            next_waker: Cell::default(),
            tasks: Cell::default(),
        }
    }
}

impl<T> Drop for Life<T> {
    /// The host may let an object go without a word.
    fn drop(&mut self) {
        self.activation.get_mut().end();
    }
}

impl<T: 'static> Life<T> {
    /// The value, if it is awake.
    pub(crate) fn get(&self) -> Option<Rc<T>> {
        match &*self.state.borrow() {
            State::Awake(value) => Some(Rc::clone(value)),
            State::Hibernating | State::Waking | State::Ended => None,
        }
    }

    /// Whether somebody has to wake it: only the first who asks has.
    pub(crate) fn begin_waking(&self) -> bool {
        let mut state = self.state.borrow_mut();
        let hibernates = matches!(*state, State::Hibernating);
        if hibernates {
            *state = State::Waking;
        }
        hibernates
    }

    /// For what is given to the user's code now.
    pub(crate) fn activation(&self) -> Activation {
        self.activation.borrow().clone()
    }

    /// The host has begun to end.
    pub(crate) fn stop(&self) {
        self.activation().stop();
    }

    /// Whether no task runs or waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.tasks.get() == 0
    }

    /// Lets the value go, unless a task runs. Whether there is none in memory now.
    pub(crate) fn hibernate(&self) -> bool {
        if !self.is_idle() || self.has_ended() {
            return false;
        }
        // Before the value is dropped, which is the user's code.
        let next = self.activation.borrow().next();
        self.activation.replace(next).end();
        let value = self.state.replace(State::Hibernating);
        // The user's `drop` may panic; that is no reason to leave the rest undone.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(value)));
        true
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(*self.state.borrow(), State::Ended)
    }

    /// The user's value is there.
    pub(crate) fn begin(&self, value: T) {
        if !self.has_ended() {
            self.state.replace(State::Awake(Rc::new(value)));
            self.wake_all();
        }
    }

    /// The life is over: `false` if it was before. Its tasks end at their next turn, and the value is dropped.
    pub(crate) fn end(&self) -> bool {
        self.activation.borrow().end();
        let state = self.state.replace(State::Ended);
        let first = !matches!(state, State::Ended);
        // The user's `drop` may panic too; that is no reason to leave the rest undone.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(state)));
        self.wake_all();
        first
    }

    fn wake_all(&self) {
        let wakers = std::mem::take(&mut *self.wakers.borrow_mut());
        wakers.into_values().for_each(Waker::wake);
    }

    fn register(&self, id: u64, waker: &Waker) {
        self.wakers.borrow_mut().entry(id).and_modify(|known| known.clone_from(waker)).or_insert_with(|| waker.clone());
    }

    fn new_waker(&self) -> u64 {
        self.next_waker.replace(self.next_waker.get() + 1)
    }

    /// Waits until it is awake.
    pub(crate) async fn awake(&self) -> Result<Rc<T>, Error> {
        let id = self.new_waker();
        poll_fn(|context| match &*self.state.borrow() {
            State::Awake(value) => Poll::Ready(Ok(Rc::clone(value))),
            State::Ended => Poll::Ready(Err(Error::new(Kind::Unreachable, "the object could not be woken"))),
            State::Hibernating | State::Waking => {
                self.register(id, context.waker());
                Poll::Pending
            }
        })
        .await
    }
}

/// An object whose tasks end with its life, and whose life ends with a panic of a task.
pub(crate) trait Living: 'static {
    type Value: 'static;
    type Host: Host;
    fn life(&self) -> &Life<Self::Value>;
    fn host(&self) -> &Rc<Self::Host>;
    /// A task has panicked.
    fn panicked(&self, what: &str);
    /// A task has ended, and holds nothing any more.
    fn task_ended(&self);
}

/// Runs `task` until it waits for something, and goes on with it beside everything else then. Most handlers never
/// wait, and cost the runtime nothing.
pub(crate) fn start<O: Living>(object: &Rc<O>, task: impl Future<Output = ()> + 'static) {
    let mut supervised = Supervised::new(object, Box::pin(task));
    let mut context = Context::from_waker(Waker::noop());
    // Should it wait, then it is polled once more by the host, and leaves that poll's waker in place of this one.
    if Pin::new(&mut supervised).poll(&mut context).is_pending() {
        hand_over(supervised);
    }
}

/// The same, but nothing of it runs before the next turn of the host's loop: what is begun while the user's code runs must
/// not run the user's code within it.
pub(crate) fn spawn<O: Living>(object: &Rc<O>, task: impl Future<Output = ()> + 'static) {
    let mut supervised = Supervised::new(object, Box::pin(task));
    // It waits already: the host must not take the object for idle before the task has begun.
    supervised.has_to_wait();
    hand_over(supervised);
}

fn hand_over<O: Living>(supervised: Supervised<O>) {
    let host = Rc::clone(supervised.object.host());
    let span = tracing::Span::current();
    if span.is_none() {
        host.spawn(Box::pin(supervised));
    } else {
        host.spawn(Box::pin(supervised.instrument(span)));
    }
}

/// Gives the outcome of `work` to whoever asked, that of a panic too, which then goes its way.
pub(crate) async fn answer<T>(reply: Reply<T>, work: impl Future<Output = Result<T, Error>>) {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(outcome) => reply.send(outcome),
        Err(panic) => {
            reply.send(Err(Error::new(Kind::Handler, "the handler panicked")));
            resume_unwind(panic);
        }
    }
}

struct Supervised<O: Living> {
    object: Rc<O>,
    /// Until it has ended.
    task: Option<LocalFuture<()>>,
    id: u64,
    /// When it first had to wait.
    waits: Option<Timestamp>,
}

impl<O: Living> Supervised<O> {
    fn new(object: &Rc<O>, task: LocalFuture<()>) -> Self {
        let life = object.life();
        life.tasks.set(life.tasks.get() + 1);
        Self { object: Rc::clone(object), task: Some(task), id: life.new_waker(), waits: None }
    }

    fn has_to_wait(&mut self) {
        if self.waits.is_none() {
            let host = self.object.host();
            self.waits = Some(host.now());
            host.occurred(Occurrence::Waits);
        }
    }

    /// What the task held is let go before anyone asks whether the object is idle.
    fn finish(&mut self) {
        if self.task.take().is_some() {
            let life = self.object.life();
            life.tasks.set(life.tasks.get() - 1);
            life.wakers.borrow_mut().remove(&self.id);
            if let Some(since) = self.waits {
                let host = self.object.host();
                host.occurred(Occurrence::Waited(host.now().since(since)));
            }
        }
    }
}

impl<O: Living> Future for Supervised<O> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.object.life().has_ended() {
            return Poll::Ready(());
        }
        let this = &mut *self;
        let (host, life) = (this.object.host(), this.object.life());
        let Some(task) = &mut this.task else { return Poll::Ready(()) };
        let before = host.runs(Some(life.epoch));
        let outcome = catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(context)));
        host.runs(before);
        if let Ok(Poll::Pending) = outcome {
            life.register(this.id, context.waker());
            this.has_to_wait();
            return Poll::Pending;
        }
        self.finish();
        match outcome {
            Err(panic) => {
                let what = panic_text(&*panic);
                self.object.host().occurred(Occurrence::Panicked(&what));
                self.object.panicked(&what);
            }
            Ok(_) => self.object.task_ended(),
        }
        Poll::Ready(())
    }
}

impl<O: Living> Drop for Supervised<O> {
    fn drop(&mut self) {
        self.finish();
    }
}

/// What a panic said, for the log.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without text".into())
}
