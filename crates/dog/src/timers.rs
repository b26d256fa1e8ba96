//! Timers of an object: [`Sleep`], [`Interval`], and the deadline of a future.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::{Either, select};

use crate::error::{Error, Kind};
use crate::port::{LocalFuture, ObjectPort};
use crate::time::Timestamp;

/// The shortest period of an interval. The timers of hosts are no finer.
const SHORTEST_PERIOD: Duration = Duration::from_millis(1);

/// A pause, from [`Context::sleep`](crate::Context::sleep) or [`GroupContext::sleep`](crate::GroupContext::sleep).
#[must_use = "a pause does nothing unless it is awaited"]
pub struct Sleep(LocalFuture<()>);

impl Sleep {
    pub(crate) fn new(timer: LocalFuture<()>) -> Self {
        Self(timer)
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Sleep")
    }
}

/// The output of `future`, or an error after `duration`.
pub(crate) async fn timeout<T>(
    port: &dyn ObjectPort,
    duration: Duration,
    future: impl Future<Output = T>,
) -> Result<T, Error> {
    let mut future = pin!(future);
    // Many futures are ready at once. They cost no timer.
    if let Poll::Ready(output) = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await {
        return Ok(output);
    }
    match select(future, port.sleep(duration)).await {
        Either::Left((output, _)) => Ok(output),
        Either::Right(_) => Err(Error::new(Kind::Deadline, format!("it did not end within {duration:?}"))),
    }
}

/// Ticks with a fixed period, from [`Context::interval`](crate::Context::interval) or
/// [`GroupContext::interval`](crate::GroupContext::interval).
///
/// Tick *k* is due *k* periods after the interval was made, so the rate does not drift: 50 ms are 20.0 ticks per second. There
/// is at most one tick in each period. A tick that is late comes as soon as it is awaited. If it is late by a whole period or
/// more, it is skipped and counted, and never made up for.
///
/// Dropping the interval releases its timer.
pub struct Interval {
    port: Rc<dyn ObjectPort>,
    grid: Grid,
    /// The timer of the next tick, while one runs. It stays if a call of `tick` is dropped.
    timer: Option<LocalFuture<()>>,
}

impl Interval {
    pub(crate) fn new(port: Rc<dyn ObjectPort>, period: Duration) -> Self {
        let grid = Grid::new(port.now(), period);
        Self { port, grid, timer: None }
    }

    /// Completes when the next tick is due. Returns how many ticks were skipped before it: 0 if none was.
    ///
    /// It always lets other code run, even if the tick is late.
    ///
    /// Cancel safe: a tick for which nobody waits any more is not lost. It comes with the next call, if that is not late by a
    /// whole period.
    pub async fn tick(&mut self) -> u64 {
        let mut has_yielded = false;
        poll_fn(|context| {
            if self.timer.is_none() {
                let Some(wait) = self.grid.wait(self.port.now()) else {
                    // A loop whose ticks are all late must not keep its thread for ever.
                    if has_yielded {
                        return Poll::Ready(());
                    }
                    has_yielded = true;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                };
                self.timer = Some(self.port.sleep(wait));
            }
            if let Some(timer) = &mut self.timer {
                ready!(timer.as_mut().poll(context));
                self.timer = None;
            }
            Poll::Ready(())
        })
        .await;
        self.grid.take(self.port.now())
    }

    /// The time from one tick to the next.
    pub fn period(&self) -> Duration {
        self.grid.period
    }
}

impl fmt::Debug for Interval {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Interval({:?})", self.grid.period)
    }
}

/// When ticks are due, as plain numbers.
#[derive(Debug)]
struct Grid {
    start: Timestamp,
    period: Duration,
    /// The number of the next tick, from 1. Tick *k* is due *k* periods after the start.
    next: u64,
}

impl Grid {
    fn new(start: Timestamp, period: Duration) -> Self {
        Self { start, period: period.max(SHORTEST_PERIOD), next: 1 }
    }

    /// How long until the next tick is due: at most one period, whatever the clock of the host does. `None` if it is due.
    fn wait(&self, now: Timestamp) -> Option<Duration> {
        let due = self.period.as_nanos() * u128::from(self.next);
        let left = due.checked_sub(self.passed(now)).filter(|left| *left > 0)?;
        Some(u64::try_from(left).map_or(self.period, Duration::from_nanos).min(self.period))
    }

    /// Takes the tick of the period that `now` is in. Returns how many were skipped before it.
    fn take(&mut self, now: Timestamp) -> u64 {
        let current = u64::try_from(self.passed(now) / self.period.as_nanos()).unwrap_or(u64::MAX - 1);
        // The clock has whole milliseconds, so it may show a little less than the timer has waited.
        let skipped = current.saturating_sub(self.next);
        self.next += skipped + 1;
        skipped
    }

    fn passed(&self, now: Timestamp) -> u128 {
        now.since(self.start).as_nanos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + millis)
    }

    fn grid(period: Duration) -> Grid {
        Grid::new(at(0), period)
    }

    #[test]
    fn ticks_keep_to_the_grid_however_late_each_of_them_is() {
        let mut grid = grid(Duration::from_millis(50));
        for tick in 1..=1000 {
            let late = tick % 50;
            assert_eq!(grid.wait(at(tick * 50 - 20)), Some(Duration::from_millis(20)));
            assert_eq!((grid.wait(at(tick * 50 + late)), grid.take(at(tick * 50 + late))), (None, 0), "tick {tick}");
        }
    }

    #[test]
    fn a_tick_that_is_late_by_a_period_is_skipped_and_counted() {
        let mut grid = grid(Duration::from_millis(50));
        assert_eq!((grid.wait(at(99)), grid.take(at(99))), (None, 0), "the first is late by less");
        assert_eq!(grid.wait(at(99)), Some(Duration::from_millis(1)), "the second is not brought forward");
        assert_eq!(grid.take(at(260)), 3, "the ticks at 100, 150 and 200");
        assert_eq!((grid.wait(at(260)), grid.take(at(300))), (Some(Duration::from_millis(40)), 0));
    }

    #[test]
    fn a_period_that_is_no_whole_number_of_milliseconds_does_not_drift() {
        let mut grid = grid(Duration::from_nanos(16_666_667));
        let mut now = Duration::ZERO;
        for _ in 0..600 {
            let seen = at(u64::try_from(now.as_millis()).unwrap());
            now += grid.wait(seen).expect("it is not late");
            assert_eq!(grid.take(at(u64::try_from(now.as_millis()).unwrap())), 0);
        }
        assert!((9_999..=10_001).contains(&now.as_millis()), "{now:?} for 600 ticks of 60 Hz");
    }

    #[test]
    fn a_clock_that_is_set_changes_no_period() {
        let mut grid = grid(Duration::from_secs(1));
        assert_eq!(grid.take(at(1_000)), 0);
        assert_eq!(grid.wait(Timestamp::from_millis(0)), Some(Duration::from_secs(1)), "set back");
        assert_eq!(grid.take(Timestamp::from_millis(0)), 0);
        assert_eq!(grid.take(at(3_600_000)), 3_597, "set forward by an hour");
        assert_eq!(grid.take(Timestamp::from_millis(u64::MAX)), (u64::MAX - 1_000_000) / 1000 - 3_601);
    }

    #[test]
    fn a_period_of_nothing_is_a_millisecond() {
        assert_eq!(grid(Duration::ZERO).wait(at(0)), Some(Duration::from_millis(1)));
        let long = grid(Duration::MAX);
        assert_eq!(long.wait(at(1)), Some(Duration::MAX), "more nanoseconds than a number of 64 bits has");
    }
}
