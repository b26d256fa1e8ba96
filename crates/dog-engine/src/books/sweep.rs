//! Queues of deadlines with stale entries.

use std::collections::VecDeque;

/// Removes stale entries once they are more than half of the queue. So a queue is never much longer than what it is for, and
/// each entry is visited a bounded number of times.
pub(super) fn sweep<T>(queue: &mut VecDeque<T>, live: usize, is_live: impl FnMut(&T) -> bool) {
    if queue.len() > 2 * live + 64 {
        queue.retain(is_live);
    }
}
