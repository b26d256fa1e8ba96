//! The executor: tasks of one thread. The caller chooses which ready task runs next.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};

use dog::internal::LocalFuture;

/// Identifies who spawned a task: a life of an object, or the App on a node.
pub(super) type OwnerId = u64;

type TaskKey = u64;

/// The ready tasks, in the order of their creation. The order of wake-ups may depend on a hash map, so it must not
/// matter.
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
    /// `None` while it runs.
    future: Option<LocalFuture<()>>,
    owner: OwnerId,
    node: usize,
    waker: Waker,
}

/// All tasks.
#[derive(Default)]
pub(super) struct Tasks {
    next: Cell<TaskKey>,
    tasks: RefCell<BTreeMap<TaskKey, Task>>,
    ready: Arc<Ready>,
    last_owner: Cell<OwnerId>,
}

impl Tasks {
    /// Spawns a task on a node. It ends with its owner.
    pub(super) fn spawn(&self, owner: OwnerId, node: usize, future: LocalFuture<()>) {
        let key = self.next.replace(self.next.get() + 1);
        let waker = Waker::from(Arc::new(TaskWaker { key, ready: Arc::clone(&self.ready) }));
        self.tasks.borrow_mut().insert(key, Task { future: Some(future), owner, node, waker });
        self.ready.lock().insert(key);
    }

    /// Runs one of the `n` ready tasks: the one with the index `choose(n)`. Tasks on `paused` nodes are not ready.
    /// Returns `false` if no task is ready.
    pub(super) fn run_one(&self, paused: &[usize], choose: impl FnOnce(usize) -> usize) -> bool {
        let Some(key) = self.take_ready(paused, choose) else { return false };
        let taken = self.tasks.borrow_mut().get_mut(&key).and_then(|task| {
            let future = task.future.take()?;
            self.last_owner.set(task.owner);
            Some((future, task.waker.clone()))
        });
        // A task that has ended meanwhile may still be marked as ready.
        let Some((mut future, waker)) = taken else { return true };
        let ended = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let mut tasks = self.tasks.borrow_mut();
        let over = match tasks.get_mut(&key) {
            Some(task) if !ended => {
                task.future = Some(future);
                None
            }
            Some(_) => tasks.remove(&key).map(|_| future),
            // The task has ended its own owner.
            None => Some(future),
        };
        drop(tasks);
        // Dropping a future can run code that spawns tasks, so it is dropped after the borrow.
        drop(over);
        true
    }

    fn take_ready(&self, paused: &[usize], choose: impl FnOnce(usize) -> usize) -> Option<TaskKey> {
        let mut ready = self.ready.lock();
        let chosen = |count| if count > 1 { choose(count) } else { 0 };
        let key = if paused.is_empty() {
            ready.iter().nth(chosen(ready.len())).copied()?
        } else {
            let tasks = self.tasks.borrow();
            let runs = |key: &TaskKey| tasks.get(key).is_none_or(|task| !paused.contains(&task.node));
            let running: Vec<TaskKey> = ready.iter().copied().filter(runs).collect();
            running.get(chosen(running.len())).copied()?
        };
        ready.remove(&key);
        Some(key)
    }

    /// Returns the owner of the task that ran last.
    pub(super) fn last_owner(&self) -> OwnerId {
        self.last_owner.get()
    }

    /// Drops all tasks of an owner.
    pub(super) fn end(&self, owner: OwnerId) {
        let ended: Vec<Task> = {
            let mut tasks = self.tasks.borrow_mut();
            let keys: Vec<TaskKey> =
                tasks.iter().filter(|(_, task)| task.owner == owner).map(|(key, _)| *key).collect();
            keys.iter().filter_map(|key| tasks.remove(key)).collect()
        };
        drop(ended);
    }

    /// Drops all tasks.
    pub(super) fn clear(&self) {
        let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
        drop(tasks);
    }
}
