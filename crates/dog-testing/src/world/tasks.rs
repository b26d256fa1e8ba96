//! The executor: tasks of one thread, of which chance picks the next.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

use dog::internal::LocalFuture;

use super::place::PlaceKey;

type TaskKey = u64;

/// Tasks that can go on. In the order of their making, so that the order in which they were woken, which may follow
/// from a hash, decides nothing.
#[derive(Default)]
struct Ready(Mutex<BTreeSet<TaskKey>>);

impl Ready {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<TaskKey>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct TaskWaker {
    key: TaskKey,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.ready.lock().insert(self.key);
    }
}

struct Task {
    /// Taken out while it runs.
    future: Option<LocalFuture<()>>,
    place: PlaceKey,
    waker: Waker,
}

#[derive(Default)]
pub(super) struct Tasks {
    next: Cell<TaskKey>,
    tasks: RefCell<BTreeMap<TaskKey, Task>>,
    ready: Arc<Ready>,
    /// Whose task ran last.
    last: Cell<PlaceKey>,
}

impl Tasks {
    /// A task of that place, which ends with it.
    pub(super) fn spawn(&self, place: PlaceKey, future: LocalFuture<()>) {
        let key = self.next.replace(self.next.get() + 1);
        let waker = Waker::from(Arc::new(TaskWaker { key, ready: Arc::clone(&self.ready) }));
        self.tasks.borrow_mut().insert(key, Task { future: Some(future), place, waker });
        self.ready.lock().insert(key);
    }

    /// Lets one task go on, of those that can the one that `choose` says. `false` when there is none.
    pub(super) fn run_one(&self, choose: impl FnOnce(usize) -> usize) -> bool {
        let key = {
            let mut ready = self.ready.lock();
            let Some(key) = ready.iter().nth(if ready.len() > 1 { choose(ready.len()) } else { 0 }).copied() else {
                return false;
            };
            ready.remove(&key);
            key
        };
        let taken = self.tasks.borrow_mut().get_mut(&key).and_then(|task| {
            let future = task.future.take()?;
            self.last.set(task.place);
            Some((future, task.waker.clone()))
        });
        // One that ended meanwhile was woken once more.
        let Some((mut future, waker)) = taken else { return true };
        let ended = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let mut tasks = self.tasks.borrow_mut();
        // It may have ended its own place, and is not to go on then.
        let over = match tasks.get_mut(&key) {
            Some(task) if !ended => {
                task.future = Some(future);
                None
            }
            Some(_) => tasks.remove(&key).map(|_| future),
            None => Some(future),
        };
        drop(tasks);
        // What is dropped may act: not while the tasks are borrowed.
        drop(over);
        true
    }

    /// The place whose task ran last.
    pub(super) fn last(&self) -> PlaceKey {
        self.last.get()
    }

    /// The place is no more.
    pub(super) fn end(&self, place: PlaceKey) {
        let ended: Vec<Task> = {
            let mut tasks = self.tasks.borrow_mut();
            let keys: Vec<TaskKey> =
                tasks.iter().filter(|(_, task)| task.place == place).map(|(key, _)| *key).collect();
            keys.iter().filter_map(|key| tasks.remove(key)).collect()
        };
        drop(ended);
    }

    pub(super) fn clear(&self) {
        let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
        drop(tasks);
    }
}
