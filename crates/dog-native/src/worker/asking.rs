//! How many questions of users' handlers are under way at once. Where a crowd leaves, each of a thousand Replicas may ask all
//! others in the same moment: without a bound that is a million questions in memory, and a thread that does nothing else.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use dog::Error;
use dog::internal::{Kind, LocalFuture};
use dog_engine::host::CallPermits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Replicas of which an answer is awaited on one worker. More than that are asked at once only by one handler that asks more.
const UNDER_WAY: u32 = 4096;

/// Handlers that wait on one worker until they may ask.
const WAITING: usize = 65_536;

/// What one worker's handlers may ask.
pub(super) struct Asking {
    free: Arc<Semaphore>,
    waiting: Rc<Cell<usize>>,
}

impl Default for Asking {
    fn default() -> Self {
        Self { free: Arc::new(Semaphore::new(UNDER_WAY as usize)), waiting: Rc::default() }
    }
}

/// Counts as one that waits until it is dropped.
struct Waits(Rc<Cell<usize>>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Asking {
    /// Leave to ask so many: in the order in which it was wanted.
    pub(super) fn leave(&self, many: usize) -> LocalFuture<Result<Box<dyn CallPermits>, Error>> {
        if self.waiting.get() >= WAITING {
            let text = "too many handlers wait until they may ask other Replicas: try again later";
            return Box::pin(async move { Err(Error::new(Kind::Unreachable, text)) });
        }
        self.waiting.set(self.waiting.get() + 1);
        let (free, waits) = (Arc::clone(&self.free), Waits(Rc::clone(&self.waiting)));
        let many = u32::try_from(many).unwrap_or(UNDER_WAY).min(UNDER_WAY);
        Box::pin(async move {
            let permit = free.acquire_many_owned(many).await;
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
    fn those_who_wait_have_their_turn_as_answers_come_and_no_more_than_so_many_wait() {
        let asking = Asking::default();
        let mut first = asking.leave(4000).now_or_never().expect("nobody else asks").unwrap();
        let mut second = asking.leave(100);
        assert!((&mut second).now_or_never().is_none(), "96 are free");
        let mut third = asking.leave(1);
        assert!((&mut third).now_or_never().is_none(), "it came later");
        (0..4).for_each(|_| first.release_one());
        let second = second.now_or_never().expect("100 are free").unwrap();
        assert!((&mut third).now_or_never().is_none());
        drop(second);
        drop(third.now_or_never().expect("100 are free").unwrap());
        drop(first);
        let all = asking.leave(1_000_000).now_or_never().expect("however many there are, once all are free").unwrap();
        let mut waiting: Vec<_> = (0..WAITING).map(|_| asking.leave(1)).collect();
        assert!((&mut waiting[0]).now_or_never().is_none());
        assert!(asking.leave(1).now_or_never().expect("an answer at once").is_err());
        waiting.pop();
        assert!(asking.leave(1).now_or_never().is_none(), "it may wait in place of one that does not any more");
        drop(all);
        assert!(waiting.remove(0).now_or_never().expect("all are free").is_ok());
    }
}
