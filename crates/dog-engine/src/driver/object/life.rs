//! One life of an object: the user's value while it is in memory, and the tasks that run in it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Poll, Waker};

use dog::internal::Kind;
use dog::{Epoch, Error};

use super::activation::Activation;

/// The state of one life, from its first event to its end.
pub(crate) struct Life<T> {
    epoch: Epoch,
    state: RefCell<State<T>>,
    /// The current activation, or the next one while the object hibernates.
    activation: RefCell<Activation>,
    /// Tasks to wake when the value is in memory, and when the life ends.
    wakers: RefCell<HashMap<u64, Waker>>,
    next_task: Cell<u64>,
    /// How many activations were given up.
    given_up: Cell<u64>,
    /// Tasks that have not ended.
    tasks: Cell<usize>,
}

enum State<T> {
    /// The value is not in memory: the next event activates it.
    Hibernating,
    /// The user's `activate` runs.
    Waking,
    Awake(Rc<T>),
    Ended,
}

/// Names a task of a life.
#[derive(Clone, Copy, Debug)]
pub(super) struct TaskId(u64);

impl<T> Life<T> {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            state: RefCell::new(State::Hibernating),
            activation: RefCell::default(),
            wakers: RefCell::default(),
            next_task: Cell::default(),
            given_up: Cell::default(),
            tasks: Cell::default(),
        }
    }
}

impl<T> Drop for Life<T> {
    /// A host may drop an object without ending it.
    fn drop(&mut self) {
        self.activation.get_mut().end();
    }
}

impl<T: 'static> Life<T> {
    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The value, if it is in memory.
    pub(crate) fn get(&self) -> Option<Rc<T>> {
        match &*self.state.borrow() {
            State::Awake(value) => Some(Rc::clone(value)),
            State::Hibernating | State::Waking | State::Ended => None,
        }
    }

    /// Returns whether the caller must activate the value: true for the first caller only.
    pub(crate) fn begin_waking(&self) -> bool {
        let mut state = self.state.borrow_mut();
        let hibernates = matches!(*state, State::Hibernating);
        if hibernates {
            *state = State::Waking;
        }
        hibernates
    }

    /// The activation for handles that are given to the user's code now.
    pub(crate) fn activation(&self) -> Activation {
        self.activation.borrow().clone()
    }

    /// The host has begun to shut down.
    pub(crate) fn stop(&self) {
        self.activation().stop();
    }

    /// Whether no task runs or waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.tasks.get() == 0
    }

    /// Drops the value, unless a task runs. Returns whether no value is in memory now.
    pub(crate) fn hibernate(&self) -> bool {
        if !self.is_idle() || self.has_ended() {
            return false;
        }
        // Before the value is dropped: its `drop` is the user's code.
        let next = self.activation.borrow().next();
        self.activation.replace(next).end();
        drop_of_user(self.state.replace(State::Hibernating));
        true
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(*self.state.borrow(), State::Ended)
    }

    /// The user's `activate` has returned the value.
    pub(crate) fn begin(&self, value: T) {
        if !self.has_ended() {
            self.state.replace(State::Awake(Rc::new(value)));
            self.wake_all();
        }
    }

    /// Ends the life: its tasks end at their next poll, and the value is dropped. Returns `false` if it had ended before.
    pub(crate) fn end(&self) -> bool {
        self.activation.borrow().end();
        let state = self.state.replace(State::Ended);
        let first = !matches!(state, State::Ended);
        drop_of_user(state);
        self.wake_all();
        first
    }

    fn wake_all(&self) {
        let wakers = std::mem::take(&mut *self.wakers.borrow_mut());
        wakers.into_values().for_each(Waker::wake);
    }

    /// Whether the value is out of memory, and nobody activates it.
    pub(crate) fn is_hibernating(&self) -> bool {
        matches!(*self.state.borrow(), State::Hibernating)
    }

    /// The value could not be activated, and the life goes on without it: those who wait for it get an error, and the next
    /// event activates it again. Handles that this attempt was given stop working.
    pub(crate) fn give_up_waking(&self) {
        if matches!(*self.state.borrow(), State::Waking) {
            let next = self.activation.borrow().next();
            self.activation.replace(next).end();
            self.state.replace(State::Hibernating);
            self.given_up.set(self.given_up.get() + 1);
            self.wake_all();
        }
    }

    /// Numbers the activation that runs or comes next, for [`awake_in`](Self::awake_in).
    pub(crate) fn attempt(&self) -> u64 {
        self.given_up.get()
    }

    /// Waits until the value is in memory.
    pub(crate) async fn awake(&self) -> Result<Rc<T>, Error> {
        self.awake_in(self.attempt()).await
    }

    /// Waits until the value is in memory, or until the activation of this number was given up.
    pub(crate) async fn awake_in(&self, attempt: u64) -> Result<Rc<T>, Error> {
        let task = self.new_task();
        poll_fn(|context| match &*self.state.borrow() {
            State::Awake(value) => Poll::Ready(Ok(Rc::clone(value))),
            State::Hibernating | State::Waking if self.attempt() != attempt => {
                Poll::Ready(Err(Error::new(Kind::Unreachable, "the object could not be woken")))
            }
            State::Ended => Poll::Ready(Err(Error::new(Kind::Unreachable, "the object could not be woken"))),
            State::Hibernating | State::Waking => {
                self.register(task, context.waker());
                Poll::Pending
            }
        })
        .await
    }

    fn new_task(&self) -> TaskId {
        TaskId(self.next_task.replace(self.next_task.get() + 1))
    }

    /// A task begins.
    pub(super) fn begin_task(&self) -> TaskId {
        self.tasks.set(self.tasks.get() + 1);
        self.new_task()
    }

    /// A task has ended.
    pub(super) fn end_task(&self, task: TaskId) {
        self.tasks.set(self.tasks.get() - 1);
        self.wakers.borrow_mut().remove(&task.0);
    }

    /// Wakes the task at the next change of the state.
    pub(super) fn register(&self, task: TaskId, waker: &Waker) {
        let mut wakers = self.wakers.borrow_mut();
        wakers.entry(task.0).and_modify(|known| known.clone_from(waker)).or_insert_with(|| waker.clone());
    }
}

/// Drops a value of the user. Its `drop` may panic, and what follows must be done all the same.
pub(super) fn drop_of_user<T>(value: T) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(value)));
}
