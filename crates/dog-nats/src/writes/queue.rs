//! [`Queues`]: the waiting writes, one queue per object.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dog_engine::address::{NodeId, Object};
use dog_engine::host::Batch;
use dog_native::cluster::Done;

/// The most messages of one batch, without the claim. The server accepts 1,000 including the claim.
pub(super) const MAX_BATCH: usize = 999;

/// A batch of writes from one life of an object.
pub(super) struct Write {
    pub(super) class: &'static str,
    pub(super) batch: Batch,
    pub(super) done: Done,
}

impl fmt::Debug for Write {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Write").field("class", &self.class).finish_non_exhaustive()
    }
}

/// The result of pushing a write.
#[derive(Debug)]
pub(super) enum Pushed {
    /// No task writes for the object yet: the caller must start one.
    First,
    /// The task that already writes for the object will take it.
    Behind,
    /// This node does not own the object under that claim.
    Refused(Write),
}

/// The queues of all objects that this node owns.
#[derive(Debug, Default)]
pub(super) struct Queues {
    objects: Mutex<HashMap<Object, Queue>>,
}

#[derive(Debug)]
struct Queue {
    /// The claim under which the queue is written.
    claim: u64,
    /// The node that made the claim.
    node: NodeId,
    /// The number of the owner subject's message that the next batch replaces.
    last: u64,
    waiting: VecDeque<Write>,
    /// Whether a task writes for the object.
    is_running: bool,
}

impl Queues {
    fn objects(&self) -> MutexGuard<'_, HashMap<Object, Queue>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins the queue of a claim. Returns the writes that wait under an earlier claim.
    pub(super) fn begin(&self, object: Object, claim: u64, node: NodeId) -> Vec<Write> {
        let queue = Queue { claim, node, last: claim, waiting: VecDeque::new(), is_running: false };
        let earlier = self.objects().insert(object, queue);
        earlier.into_iter().flat_map(|queue| queue.waiting).collect()
    }

    /// Removes the queue of a claim if it is idle. Returns the number of the message that holds the claim.
    pub(super) fn release(&self, object: Object, claim: u64) -> Option<u64> {
        let mut objects = self.objects();
        let is_idle = |queue: &Queue| queue.claim == claim && !queue.is_running && queue.waiting.is_empty();
        let last = objects.get(&object).filter(|queue| is_idle(queue))?.last;
        objects.remove(&object);
        Some(last)
    }

    /// Removes all queues. Returns the waiting writes.
    pub(super) fn end(&self) -> Vec<Write> {
        let objects = std::mem::take(&mut *self.objects());
        objects.into_values().flat_map(|queue| queue.waiting).collect()
    }

    pub(super) fn push(&self, object: Object, claim: u64, write: Write) -> Pushed {
        let mut objects = self.objects();
        let Some(queue) = objects.get_mut(&object).filter(|queue| queue.claim == claim) else {
            return Pushed::Refused(write);
        };
        queue.waiting.push_back(write);
        if std::mem::replace(&mut queue.is_running, true) { Pushed::Behind } else { Pushed::First }
    }

    /// Takes the writes of the next batch. Also returns the node that made the claim, and the number of the message
    /// that the batch replaces. `None`: no write waits, or the claim is over.
    pub(super) fn next(&self, object: Object, claim: u64) -> Option<(NodeId, u64, Vec<Write>)> {
        let mut objects = self.objects();
        let queue = objects.get_mut(&object).filter(|queue| queue.claim == claim)?;
        let mut together: Vec<Write> = Vec::new();
        let mut messages = 0;
        while let Some(next) = queue.waiting.front() {
            // The messages of its entries, and one for the alarm.
            let more = next.batch.count() + 1;
            // A deletion of all entries gets its own batch, because the following writes must come after it.
            let is_alone = next.batch.deletes_all() || together.last().is_some_and(|last| last.batch.deletes_all());
            if !together.is_empty() && (is_alone || messages + more > MAX_BATCH) {
                break;
            }
            messages += more;
            together.extend(queue.waiting.pop_front());
        }
        queue.is_running = !together.is_empty();
        queue.is_running.then_some((queue.node, queue.last, together))
    }

    /// Records that a batch was stored: the next one replaces message `last`.
    pub(super) fn set_last(&self, object: Object, claim: u64, last: u64) {
        if let Some(queue) = self.objects().get_mut(&object).filter(|queue| queue.claim == claim) {
            queue.last = last;
        }
    }

    /// Whether this node no longer owns the object under that claim.
    pub(super) fn is_over(&self, object: Object, claim: u64) -> bool {
        self.objects().get(&object).is_none_or(|queue| queue.claim != claim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dog::GroupId;
    use dog_engine::address::{ClassIndex, GroupAddress};
    use dog_engine::host::Space;

    const NODE: NodeId = NodeId::from_raw(1);

    fn object() -> Object {
        Object::Group(GroupAddress { class: ClassIndex(0), group: GroupId::from_name("lobby", "a") })
    }

    fn write(entries: usize, delete_all: bool) -> Write {
        let entry = |number: usize| (number.to_string().into_bytes(), Some(bytes::Bytes::new()));
        let mut batch = Batch::of_entries(Space::User, (0..entries).map(entry).collect());
        batch.spaces[0].delete_all = delete_all;
        Write { class: "lobby", batch, done: Box::new(drop) }
    }

    fn sizes(queues: &Queues) -> Option<Vec<usize>> {
        let (_, _, writes) = queues.next(object(), 7)?;
        Some(writes.iter().map(|write| write.batch.count()).collect())
    }

    #[test]
    fn writes_that_wait_go_together_up_to_the_size_of_a_batch() {
        let queues = Queues::default();
        queues.begin(object(), 7, NODE);
        let pushed = |queues: &Queues, entries, delete_all| queues.push(object(), 7, write(entries, delete_all));
        assert!(matches!(pushed(&queues, 1, false), Pushed::First));
        for (entries, delete_all) in [(2, false), (990, false), (9, false), (0, true), (3, false), (2000, false)] {
            assert!(matches!(pushed(&queues, entries, delete_all), Pushed::Behind));
        }
        let batches: Vec<_> = std::iter::from_fn(|| sizes(&queues)).collect();
        assert_eq!(batches, [vec![1, 2, 990], vec![9], vec![0], vec![3], vec![2000]]);
        assert!(matches!(pushed(&queues, 1, false), Pushed::First), "no task writes for the object any more");
    }

    #[test]
    fn a_queue_belongs_to_one_claim() {
        let queues = Queues::default();
        assert!(matches!(queues.push(object(), 7, write(1, false)), Pushed::Refused(_)));
        queues.begin(object(), 7, NODE);
        assert!(matches!(queues.push(object(), 7, write(1, false)), Pushed::First));
        assert_eq!(queues.release(object(), 7), None, "a write waits");
        assert_eq!(queues.begin(object(), 9, NODE).len(), 1, "it is never written");
        assert!(matches!(queues.push(object(), 7, write(1, false)), Pushed::Refused(_)));
        assert!(queues.is_over(object(), 7) && !queues.is_over(object(), 9));
        queues.set_last(object(), 7, 8);
        assert_eq!(queues.release(object(), 7), None, "another claim");
        queues.set_last(object(), 9, 12);
        assert_eq!(queues.release(object(), 9), Some(12));
        assert_eq!(queues.end().len(), 0);
    }
}
