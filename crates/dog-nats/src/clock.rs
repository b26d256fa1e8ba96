//! The clock by which a node measures its lease. No program can set it. On Linux it also runs while the machine sleeps.

use std::time::Duration;

/// The lease clock of this node.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeaseClock {
    #[cfg(test)]
    simulated: Option<SimulatedClock>,
}

impl LeaseClock {
    /// Returns the time since a fixed moment in the past.
    pub(crate) fn now(&self) -> Duration {
        #[cfg(test)]
        if let Some(clock) = &self.simulated {
            return clock.now();
        }
        since_boot()
    }

    /// Returns a clock over a test's virtual time. It starts at `offset` and runs `rate` times as fast.
    #[cfg(test)]
    pub(crate) fn simulated(offset: Duration, rate: f64) -> Self {
        Self { simulated: Some(SimulatedClock { started: tokio::time::Instant::now(), offset, rate }) }
    }
}

/// Returns the time since the machine started, including sleep. A virtual machine that was suspended must not take its
/// lease for valid when it resumes.
#[cfg(target_os = "linux")]
fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    // Neither field is ever negative.
    Duration::new(now.tv_sec.try_into().unwrap_or_default(), now.tv_nsec.try_into().unwrap_or_default())
}

/// Returns the time since the first call in this process. This clock may stop while the machine sleeps, because these
/// systems share no clock that runs then. Writes of a node without a lease are rejected in any case.
#[cfg(not(target_os = "linux"))]
fn since_boot() -> Duration {
    static STARTED: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    STARTED.get_or_init(std::time::Instant::now).elapsed()
}

#[cfg(test)]
#[derive(Clone, Debug)]
struct SimulatedClock {
    started: tokio::time::Instant,
    offset: Duration,
    rate: f64,
}

#[cfg(test)]
impl SimulatedClock {
    fn now(&self) -> Duration {
        self.offset + self.started.elapsed().mul_f64(self.rate)
    }
}
