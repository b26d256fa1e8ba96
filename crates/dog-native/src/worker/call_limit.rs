//! [`CallLimit`]: the limit of calls that users' handlers have in flight. When a crowd leaves, each of a thousand
//! Replicas may call all others at the same moment. Without a limit, a million calls would fill the memory and occupy
//! the thread.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use dog::Error;
use dog::internal::{Kind, LocalFuture};
use dog_engine::host::CallPermits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most calls in flight on one worker. A single handler that calls more Replicas takes all permits.
const IN_FLIGHT: u32 = 4096;

/// The most handlers of one worker that wait for permits.
const WAITING: usize = 65_536;

/// The permits of one worker.
pub(super) struct CallLimit {
    free: Arc<Semaphore>,
    waiting: Rc<Cell<usize>>,
}

impl Default for CallLimit {
    fn default() -> Self {
        Self { free: Arc::new(Semaphore::new(IN_FLIGHT as usize)), waiting: Rc::default() }
    }
}

/// Counts as one waiting handler until it is dropped.
struct Waits(Rc<Cell<usize>>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl CallLimit {
    /// Acquires permits for `count` calls. Handlers get permits in the order of their requests.
    pub(super) fn acquire(&self, count: usize) -> LocalFuture<Result<Box<dyn CallPermits>, Error>> {
        if self.waiting.get() >= WAITING {
            let text = "too many handlers wait for permission to call other Replicas: try again later";
            return Box::pin(async move { Err(Error::new(Kind::Unreachable, text)) });
        }
        self.waiting.set(self.waiting.get() + 1);
        let (free, waits) = (Arc::clone(&self.free), Waits(Rc::clone(&self.waiting)));
        let count = u32::try_from(count).unwrap_or(IN_FLIGHT).min(IN_FLIGHT);
        Box::pin(async move {
            let permit = free.acquire_many_owned(count).await;
            drop(waits);
            let permit = permit.map_err(|_| Error::new(Kind::Unreachable, "the worker has ended"))?;
            Ok(Box::new(Permit(permit)) as Box<dyn CallPermits>)
        })
    }
}

struct Permit(OwnedSemaphorePermit);

impl CallPermits for Permit {
    fn release_one(&mut self) {
        drop(self.0.split(1));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn handlers_get_permits_in_turn_as_answers_come_and_the_number_that_wait_is_bounded() {
        let limit = CallLimit::default();
        let mut first = limit.acquire(4000).now_or_never().expect("all permits are free").unwrap();
        let mut second = limit.acquire(100);
        assert!((&mut second).now_or_never().is_none(), "only 96 are free");
        let mut third = limit.acquire(1);
        assert!((&mut third).now_or_never().is_none(), "it came later");
        (0..4).for_each(|_| first.release_one());
        let second = second.now_or_never().expect("100 are free").unwrap();
        assert!((&mut third).now_or_never().is_none());
        drop(second);
        drop(third.now_or_never().expect("100 are free").unwrap());
        drop(first);
        let all = limit.acquire(1_000_000).now_or_never().expect("a larger number needs all permits").unwrap();
        let mut waiting: Vec<_> = (0..WAITING).map(|_| limit.acquire(1)).collect();
        assert!((&mut waiting[0]).now_or_never().is_none());
        assert!(limit.acquire(1).now_or_never().expect("an answer at once").is_err());
        waiting.pop();
        assert!(limit.acquire(1).now_or_never().is_none(), "it waits in place of the one that was removed");
        drop(all);
        assert!(waiting.remove(0).now_or_never().expect("all are free").is_ok());
    }
}
