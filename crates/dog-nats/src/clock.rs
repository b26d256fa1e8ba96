//! The clock that a node measures its lease by. Nobody can set it, and it goes on while the machine sleeps.

use std::time::Duration;

/// The clock of this node.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeaseClock {
    #[cfg(test)]
    simulated: Option<SimulatedClock>,
}

impl LeaseClock {
    /// The time since some moment in the past, the same for every call.
    pub(crate) fn now(&self) -> Duration {
        #[cfg(test)]
        if let Some(clock) = &self.simulated {
            return clock.now();
        }
        since_boot()
    }

    /// A clock over the virtual time of a test, which starts at `offset` and advances `rate` times as fast.
    #[cfg(test)]
    pub(crate) fn simulated(offset: Duration, rate: f64) -> Self {
        Self { simulated: Some(SimulatedClock { started: tokio::time::Instant::now(), offset, rate }) }
    }
}

/// The time since the machine started, sleep included: a suspended virtual machine must not take its lease for valid when
/// it continues.
#[cfg(target_os = "linux")]
fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    // Neither is ever negative.
    Duration::new(now.tv_sec.try_into().unwrap_or_default(), now.tv_nsec.try_into().unwrap_or_default())
}

/// The time since this process first asked. It may stop while the machine sleeps: other systems have no common clock that
/// does not. The storage rejects writes of a node without a lease in any case.
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
