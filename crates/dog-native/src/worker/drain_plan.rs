//! When the sockets of a worker are closed at a shutdown: in small random batches over the configured time, so that
//! their clients do not all connect again at the same moment.

use std::time::Duration;

use dog::SocketId;
use tokio::time::Instant;

/// Up to this many sockets of a worker are closed at the same time: too few to overload the server when their clients
/// connect again.
const FEW: usize = 100;

/// The shortest and the longest time between two batches, in milliseconds.
const PAUSES: (u64, u64) = (50, 150);

/// The batches of one worker.
#[derive(Debug)]
pub(super) struct DrainPlan {
    began: Instant,
    /// When the last batch is due.
    within: Duration,
    /// The sockets that were open at the start and were in no batch yet, in random order.
    left: Vec<SocketId>,
    at_first: usize,
    /// When the next batch is due. `None` after the last one.
    next: Option<Instant>,
}

impl DrainPlan {
    pub(super) fn new(mut sockets: Vec<SocketId>, drain_within: Duration) -> Self {
        let began = Instant::now();
        fastrand::shuffle(&mut sockets);
        let within = if sockets.len() <= FEW { Duration::ZERO } else { drain_within };
        Self { began, within, at_first: sockets.len(), left: sockets, next: Some(began) }
    }

    /// Returns when the next batch is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Returns the batch that is due, or all remaining sockets once the time is over.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<SocketId> {
        let passed = now - self.began;
        if passed >= self.within {
            self.next = None;
            return std::mem::take(&mut self.left);
        }
        let pause = Duration::from_millis(fastrand::u64(PAUSES.0..=PAUSES.1));
        self.next = Some((now + pause).min(self.began + self.within));
        let keep = self.at_first as u128 * (self.within - passed).as_micros() / self.within.as_micros().max(1);
        let keep = usize::try_from(keep).unwrap_or(usize::MAX).min(self.left.len());
        self.left.split_off(keep)
    }

    /// Returns whether all batches were taken. A socket that opens later is closed at once.
    pub(super) fn is_over(&self) -> bool {
        self.next.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(sockets: u64, drain_within: Duration) -> DrainPlan {
        DrainPlan::new((0..sockets).map(SocketId::from_raw).collect(), drain_within)
    }

    #[test]
    fn few_are_closed_at_once_and_many_spread_over_the_time() {
        let time = Duration::from_secs(10);
        let mut few = plan(100, time);
        assert_eq!((few.take_due(few.began).len(), few.is_over()), (100, true));

        let mut many = plan(10_000, time);
        let (mut closed, mut batches) = (Vec::new(), 0);
        while let Some(next) = many.next {
            let batch = many.take_due(next);
            assert!(batch.len() <= 200, "{} at once", batch.len());
            closed.extend(batch);
            batches += 1;
            let pause = many.next.map_or(Duration::ZERO, |then| then - next);
            assert!(pause <= Duration::from_millis(150), "{pause:?}");
        }
        assert!((67..=210).contains(&batches), "{batches} batches in 10 s");
        assert!(!closed.is_sorted_by_key(|socket| socket.raw()), "at random");
        closed.sort_by_key(|socket| socket.raw());
        closed.dedup();
        assert_eq!(closed.len(), 10_000);
    }

    #[test]
    fn without_a_time_all_are_closed_at_once() {
        let mut at_once = plan(10_000, Duration::ZERO);
        assert_eq!((at_once.take_due(at_once.began).len(), at_once.is_over()), (10_000, true));
    }
}
