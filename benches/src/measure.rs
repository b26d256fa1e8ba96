//! What a process has used, as the kernel accounts for it.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

/// Processor time that a process has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// User and system time of all live threads, to the nanosecond.
    pub total: Duration,
    /// Clock ticks in user mode, and all clock ticks. They are coarse: only their ratio is used.
    user_ticks: u64,
    ticks: u64,
}

impl CpuTime {
    /// What the process with this id has used.
    ///
    /// # Errors
    /// When there is no such process, or the kernel keeps no account.
    pub fn of(process: u32) -> Result<Self> {
        let mut total = Duration::ZERO;
        for thread in fs::read_dir(format!("/proc/{process}/task")).context("the process has ended")? {
            // A thread may end meanwhile, and its account with it. Servers keep their threads.
            let Ok(account) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
            total += run_time(&account).with_context(|| format!("no schedstat: {account:?}"))?;
        }
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        let (user_ticks, system_ticks) = user_and_system(&stat).with_context(|| format!("no stat: {stat:?}"))?;
        Ok(Self { total, user_ticks, ticks: user_ticks + system_ticks })
    }

    /// What several processes have used together.
    pub fn sum(times: impl IntoIterator<Item = Self>) -> Self {
        times.into_iter().fold(Self::default(), |sum, time| Self {
            total: sum.total + time.total,
            user_ticks: sum.user_ticks + time.user_ticks,
            ticks: sum.ticks + time.ticks,
        })
    }

    /// What was used after `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            total: self.total.saturating_sub(earlier.total),
            user_ticks: self.user_ticks.saturating_sub(earlier.user_ticks),
            ticks: self.ticks.saturating_sub(earlier.ticks),
        }
    }

    /// The share of it in user mode: 0 to 1.
    pub fn user_share(self) -> f64 {
        as_float(self.user_ticks) / as_float(self.ticks).max(1.0)
    }
}

/// The first field of a `schedstat`: nanoseconds on a processor.
fn run_time(schedstat: &str) -> Option<Duration> {
    schedstat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// Fields 14 and 15 of a `stat`. Its second field is the program's name, which may contain spaces and brackets.
fn user_and_system(stat: &str) -> Option<(u64, u64)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Processor time that this process has used so far, in all its threads.
pub fn own_cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// The resident set of a process, in bytes. From `smaps_rollup`: the figure in `status` is kept per processor and may be
/// wrong by megabytes.
///
/// # Errors
/// When there is no such process.
pub fn resident_bytes(process: u32) -> Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).context("the process has ended")?;
    resident(&rollup).with_context(|| format!("no smaps_rollup: {rollup:?}"))
}

fn resident(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// A duration in microseconds.
pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// A count as a figure. Above 2^53 it is rounded.
#[allow(clippy::cast_precision_loss, reason = "figures are rounded when they are shown")]
pub fn as_float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_accounts_are_read() {
        assert_eq!(run_time("423874 3548511 5\n"), Some(Duration::from_nanos(423_874)));
        assert_eq!(run_time(""), None);
        let stat = "42 (a) b) S 7 42 42 0 -1 4194304 1 2 3 4 150 250 0 0 20 0 1 0 5";
        assert_eq!(user_and_system(stat), Some((150, 250)));
        assert_eq!(user_and_system("nonsense"), None);
        assert_eq!(resident("00400000 [rollup]\nRss:      12 kB\nPss: 1 kB\n"), Some(12 * 1024));
        assert_eq!(resident("Pss: 1 kB\n"), None);
    }

    /// A child that ends with the test, also when that panics.
    struct Spinning(std::process::Child);

    impl Drop for Spinning {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// Measures another process with one thread: in this one, threads of other tests end meanwhile, and their accounts with them.
    #[test]
    fn a_process_uses_time_and_memory() {
        let child = std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let (process, _spinning) = (child.id(), Spinning(child));
        let before = CpuTime::of(process).unwrap();
        let begun = std::time::Instant::now();
        let mut used = CpuTime::default();
        while used.total < Duration::from_millis(20) && begun.elapsed() < Duration::from_secs(20) {
            std::thread::yield_now();
            used = CpuTime::of(process).unwrap().since(before);
        }
        assert!(used.total >= Duration::from_millis(20), "{used:?}");
        assert!((0.0..=1.0).contains(&used.user_share()));
        assert!(resident_bytes(process).unwrap() > 100_000);
    }
}
