//! What a process has used, by the operating system's own account.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

/// Processor time of a process so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// User and system, all threads that live, to the nanosecond.
    pub total: Duration,
    /// Clock ticks in user mode and in all: coarse, and good for their ratio only.
    user_ticks: u64,
    ticks: u64,
}

impl CpuTime {
    /// Of the process with this id.
    ///
    /// # Errors
    /// When it has gone, or the kernel keeps no such account.
    pub fn of(process: u32) -> Result<Self> {
        let mut total = Duration::ZERO;
        for thread in fs::read_dir(format!("/proc/{process}/task")).context("the process has gone")? {
            // A thread may end while we look; what it used is then lost, but servers keep theirs.
            let Ok(account) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
            total += run_time(&account).with_context(|| format!("no schedstat: {account:?}"))?;
        }
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        let (user_ticks, system_ticks) = user_and_system(&stat).with_context(|| format!("no stat: {stat:?}"))?;
        Ok(Self { total, user_ticks, ticks: user_ticks + system_ticks })
    }

    /// What was used since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            total: self.total.saturating_sub(earlier.total),
            user_ticks: self.user_ticks.saturating_sub(earlier.user_ticks),
            ticks: self.ticks.saturating_sub(earlier.ticks),
        }
    }

    /// How much of it was in user mode: 0 to 1.
    pub fn user_share(self) -> f64 {
        as_float(self.user_ticks) / as_float(self.ticks).max(1.0)
    }
}

/// The first field of a `schedstat`: nanoseconds on a processor.
fn run_time(schedstat: &str) -> Option<Duration> {
    schedstat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// The 14th and 15th field of a `stat`, whose second may hold anything, spaces and brackets too.
fn user_and_system(stat: &str) -> Option<(u64, u64)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Processor time of this process so far, all its threads.
pub fn own_cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// Bytes of memory that a process holds: its resident set. From `smaps_rollup`, for the figure in `status` is kept for
/// each processor apart, and may lag behind by megabytes.
///
/// # Errors
/// When the process has gone.
pub fn resident_bytes(process: u32) -> Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).context("the process has gone")?;
    resident(&rollup).with_context(|| format!("no smaps_rollup: {rollup:?}"))
}

fn resident(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// How many processes waited for a processor over the last minute, on average: how noisy the neighbours are.
pub fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").into()
}

/// A count as a figure; what is lost over 2^53 nobody will miss.
#[allow(clippy::cast_precision_loss, reason = "figures are rounded anyway")]
pub fn as_float(count: u64) -> f64 {
    count as f64
}

/// What a run says of the machine before it begins.
pub fn machine(pinned: bool) -> String {
    let processors = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default().matches("processor\t").count();
    let pinned = if pinned { "pinned" } else { "not pinned" };
    format!("{processors} processors, {pinned}, load average {} before", load_average())
}

/// What its processors are called.
pub fn processor() -> String {
    let about = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = about.lines().find_map(|line| line.strip_prefix("model name"));
    name.map_or("unknown", |name| name.trim_start_matches([' ', '\t', ':'])).to_owned()
}

/// The version of its kernel.
pub fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accounts_of_the_kernel_are_read() {
        assert_eq!(run_time("423874 3548511 5\n"), Some(Duration::from_nanos(423_874)));
        assert_eq!(run_time(""), None);
        let stat = "42 (a) b) S 7 42 42 0 -1 4194304 1 2 3 4 150 250 0 0 20 0 1 0 5";
        assert_eq!(user_and_system(stat), Some((150, 250)));
        assert_eq!(user_and_system("nonsense"), None);
        assert_eq!(resident("00400000 [rollup]\nRss:      12 kB\nPss: 1 kB\n"), Some(12 * 1024));
        assert_eq!(resident("Pss: 1 kB\n"), None);
    }

    /// Ends with the test, however that ends.
    struct Spinning(std::process::Child);

    impl Drop for Spinning {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// Another process, of one thread: in this one other tests' threads end meanwhile, and take what they used along.
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
