//! Tasks that the user's code spawns in its object: [`Task`].

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::error::{Error, Kind};

/// The most tasks that one object has at the same time. See [`Context::spawn`](crate::Context::spawn).
pub const MAX_TASKS: usize = 1_000;

/// A task of an object, from [`Context::spawn`](crate::Context::spawn) or [`GroupContext::spawn`](crate::GroupContext::spawn).
///
/// Await it for the output of its future. Dropping it does not end the task.
///
/// # Errors
/// Awaiting it fails with [`Error::is_closed`] if the task has ended without an output: it was aborted, or the object's life
/// has ended, which is also what a panic does. It fails like this too if the output was taken before.
///
/// Cancel safe: a task can be awaited through `&mut`, and the output stays until it is taken.
pub struct Task<T>(Rc<Shared<T>>);

struct Shared<T> {
    outcome: RefCell<Outcome<T>>,
    is_aborted: Cell<bool>,
    /// The task while it waits, so that it ends when it is aborted.
    task: RefCell<Option<Waker>>,
    /// Who awaits the handle.
    awaits: RefCell<Option<Waker>>,
}

enum Outcome<T> {
    Runs,
    Returned(T),
    /// It ended without an output, or the output was taken.
    Gone,
}

impl<T> Task<T> {
    /// Ends the task: its future is not polled any more, and is dropped soon. Does nothing if the task has ended.
    pub fn abort(&self) {
        self.0.is_aborted.set(true);
        let task = self.0.task.take();
        task.iter().for_each(Waker::wake_by_ref);
    }

    /// Whether the task has ended, for whatever reason.
    pub fn is_finished(&self) -> bool {
        !matches!(*self.0.outcome.borrow(), Outcome::Runs)
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.is_finished() {
            register(&self.0.awaits, context.waker());
            return Poll::Pending;
        }
        Poll::Ready(match self.0.outcome.replace(Outcome::Gone) {
            Outcome::Returned(output) => Ok(output),
            _ => Err(Error::new(
                Kind::Closed,
                "the task has ended without an output: it was aborted, or its object ended",
            )),
        })
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Task(finished: {})", self.is_finished())
    }
}

fn register(place: &RefCell<Option<Waker>>, waker: &Waker) {
    match &mut *place.borrow_mut() {
        Some(known) => known.clone_from(waker),
        empty => *empty = Some(waker.clone()),
    }
}

/// Tells the handle that the task has ended, also if it is dropped before its first poll.
struct Guard<T>(Rc<Shared<T>>);

impl<T> Guard<T> {
    fn returned(&self, output: T) {
        self.0.outcome.replace(Outcome::Returned(output));
    }
}

impl<T> Drop for Guard<T> {
    fn drop(&mut self) {
        if matches!(*self.0.outcome.borrow(), Outcome::Runs) {
            self.0.outcome.replace(Outcome::Gone);
        }
        let waiting = self.0.awaits.take();
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// What the engine runs for `future`, and the handle to it.
pub(crate) fn task<T: 'static>(
    future: impl Future<Output = T> + 'static,
) -> (impl Future<Output = ()> + 'static, Task<T>) {
    let shared = Rc::new(Shared {
        outcome: RefCell::new(Outcome::Runs),
        is_aborted: Cell::new(false),
        task: RefCell::default(),
        awaits: RefCell::default(),
    });
    let guard = Guard(Rc::clone(&shared));
    let runs = async move {
        let shared = Rc::clone(&guard.0);
        // The future is dropped before anybody is told that the task has ended.
        let output = {
            let mut future = pin!(future);
            poll_fn(|context| {
                if shared.is_aborted.get() {
                    return Poll::Ready(None);
                }
                register(&shared.task, context.waker());
                future.as_mut().poll(context).map(Some)
            })
            .await
        };
        shared.task.take();
        output.into_iter().for_each(|output| guard.returned(output));
    };
    (runs, Task(shared))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// Says when it is dropped.
    struct Dropped(Rc<Cell<bool>>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }

    fn poll(future: &mut (impl Future<Output = ()> + Unpin)) -> bool {
        future.now_or_never().is_some()
    }

    #[test]
    fn the_output_waits_until_it_is_taken() {
        let (runs, mut task) = task(async { 7 });
        assert!(!task.is_finished() && (&mut task).now_or_never().is_none());
        assert!(poll(&mut Box::pin(runs)));
        assert!(task.is_finished());
        assert_eq!((&mut task).now_or_never().unwrap().unwrap(), 7);
        assert!(task.now_or_never().unwrap().unwrap_err().is_closed(), "it was taken before");
    }

    #[test]
    fn an_aborted_task_is_dropped_at_its_next_poll_and_not_polled() {
        let (is_dropped, polls) = (Rc::<Cell<bool>>::default(), Rc::<Cell<u32>>::default());
        let (counted, dropped) = (Rc::clone(&polls), Dropped(Rc::clone(&is_dropped)));
        let (runs, task) = task(async move {
            let _dropped = dropped;
            poll_fn(|_| {
                counted.set(counted.get() + 1);
                Poll::<()>::Pending
            })
            .await;
        });
        let mut runs = Box::pin(runs);
        assert!(!poll(&mut runs));
        task.abort();
        assert!(!task.is_finished(), "until it has been dropped");
        assert!(poll(&mut runs) && is_dropped.get() && task.is_finished());
        assert_eq!(polls.get(), 1);
        task.abort();
        assert!(task.now_or_never().unwrap().unwrap_err().is_closed());
    }

    #[test]
    fn a_task_whose_future_is_dropped_ends_for_its_handle() {
        for polled in [false, true] {
            let (runs, mut task) = task(std::future::pending::<()>());
            let mut runs = Box::pin(runs);
            assert!(!(polled && poll(&mut runs)));
            assert!((&mut task).now_or_never().is_none());
            drop(runs);
            assert!(task.now_or_never().unwrap().unwrap_err().is_closed(), "polled: {polled}");
        }
    }

    #[test]
    fn a_task_outlives_its_handle() {
        let is_dropped = Rc::<Cell<bool>>::default();
        let dropped = Dropped(Rc::clone(&is_dropped));
        let (runs, task) = task(async move { drop(dropped) });
        drop(task);
        assert!(!is_dropped.get());
        assert!(poll(&mut Box::pin(runs)) && is_dropped.get());
    }
}
