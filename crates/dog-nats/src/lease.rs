//! A node's lease: one message, renewed at a third of its time, each time in place of the one before.
//!
//! No wall clock has a say in when it ends: those of NATS servers may be set, and differ from one another. Others count from
//! when they heard of the last renewal, each by a clock that nobody sets, and put an end to a lease of which they have heard
//! nothing for all of its time (see `nodes`); which fails if it was renewed. The node itself stops before that: it counts
//! from before it sent that renewal, by a clock that goes on while the machine sleeps, and leaves a fifth of the time for
//! clocks that do not run alike.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dog_engine::address::NodeId;

use crate::jetstream::{AGAIN, Messages, Put, Trouble, nonce};
use crate::names::Names;
use crate::nodes::Lease;

/// How long the machine has run, the time that it slept included: a virtual machine that was suspended must not take its
/// lease for good.
#[cfg(target_os = "linux")]
fn now() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    // Neither is ever negative.
    Duration::new(now.tv_sec.try_into().unwrap_or_default(), now.tv_nsec.try_into().unwrap_or_default())
}

/// Where there is no such clock for all: how long this process has run. Writes are fenced by the storage all the same.
#[cfg(not(target_os = "linux"))]
fn now() -> Duration {
    static BEGAN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    BEGAN.get_or_init(std::time::Instant::now).elapsed()
}

/// Until when this node may act.
#[derive(Debug, Default)]
pub(crate) struct Term {
    /// By [`now`], in nanoseconds.
    ends: AtomicU64,
}

impl Term {
    /// Nothing once the node may not act.
    pub(crate) fn left(&self) -> Duration {
        Duration::from_nanos(self.ends.load(Ordering::Acquire)).saturating_sub(now())
    }

    fn begin(&self, end: Duration) {
        self.ends.store(nanoseconds(end), Ordering::Release);
    }

    /// One that was ended meanwhile stays so.
    fn extend(&self, end: Duration) {
        let extended = |ends| (ends != 0).then(|| nanoseconds(end));
        let _ = self.ends.fetch_update(Ordering::AcqRel, Ordering::Acquire, extended);
    }

    /// For good, until another one begins.
    pub(crate) fn end(&self) {
        self.ends.store(0, Ordering::Release);
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// How much of a lease its node uses.
pub(crate) fn usable(time: Duration) -> Duration {
    time * 4 / 5
}

/// A lease that is held, and what renews it.
pub(crate) struct Renewal<'a> {
    pub(crate) messages: &'a Messages,
    pub(crate) names: &'a Names,
    pub(crate) time: Duration,
    pub(crate) term: &'a Term,
    pub(crate) node: NodeId,
    pub(crate) lease: Lease,
    /// The message that stands for it now; zero before the first.
    pub(crate) sequence: u64,
    /// Renewals that nobody has answered: each may have been done.
    unanswered: Vec<(String, Duration)>,
}

impl<'a> Renewal<'a> {
    pub(crate) fn new(
        messages: &'a Messages,
        names: &'a Names,
        time: Duration,
        term: &'a Term,
        node: NodeId,
        lease: Lease,
    ) -> Self {
        Self { messages, names, time, term, node, lease, sequence: 0, unanswered: Vec::new() }
    }

    /// Puts the lease in place of the one before. `false` when somebody has ended it.
    pub(crate) async fn renew(&mut self) -> Result<bool, Trouble> {
        self.lease.nonce = nonce();
        let sent = now();
        let subject = self.names.lease(self.node);
        let text = serde_json::to_vec(&self.lease).map_err(|error| Trouble::Refused(error.to_string()))?;
        let put = Put::new(subject, text).after(self.sequence);
        self.unanswered.push((self.lease.nonce.clone(), sent));
        match self.messages.put(put).await {
            Ok(sequence) => {
                self.is_renewed(sequence, sent);
                Ok(true)
            }
            Err(Trouble::Outdated) => self.read_back().await,
            Err(trouble) => Err(trouble),
        }
    }

    fn is_renewed(&mut self, sequence: u64, sent: Duration) {
        let is_first = self.sequence == 0;
        self.sequence = sequence;
        self.unanswered.clear();
        let end = sent + usable(self.time);
        if is_first { self.term.begin(end) } else { self.term.extend(end) }
    }

    /// One of those that nobody has answered may stand there; or the lease has ended.
    async fn read_back(&mut self) -> Result<bool, Trouble> {
        let Some(stored) = self.messages.last(&self.names.lease(self.node)).await? else { return Ok(false) };
        let lease: Option<Lease> = stored.payload.and_then(|payload| serde_json::from_slice(&payload).ok());
        let Some(lease) = lease else { return Ok(false) };
        let sent = self.unanswered.iter().find(|(nonce, _)| *nonce == lease.nonce).map(|(_, sent)| *sent);
        match sent {
            Some(sent) => self.is_renewed(stored.sequence, sent),
            None if stored.sequence == self.sequence => return Err(Trouble::being_done()),
            None => {}
        }
        Ok(sent.is_some())
    }

    /// Renews it for as long as that goes. Ends when the node may not act any more.
    pub(crate) async fn keep(&mut self) {
        let mut pause = self.time / 3;
        loop {
            tokio::time::sleep(pause.min(self.term.left())).await;
            // The machine may have slept for longer than this.
            let left = self.term.left();
            if left.is_zero() {
                return;
            }
            let Ok(renewed) = tokio::time::timeout(left, self.renew()).await else { return };
            pause = match renewed {
                Ok(true) => self.time / 3,
                Ok(false) => {
                    tracing::error!("this node's lease was ended by somebody else");
                    return self.term.end();
                }
                Err(trouble) => {
                    let left = self.term.left();
                    tracing::warn!("the lease cannot be renewed, and is good for {left:.1?}: {}", trouble.text());
                    AGAIN
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_begins_ended_and_ends_before_the_lease() {
        let term = Term::default();
        assert!(term.left().is_zero());
        term.begin(now() + Duration::from_secs(9));
        assert!(!term.left().is_zero());
        term.extend(now() + Duration::from_secs(99));
        assert!(term.left() > Duration::from_secs(9));
        term.end();
        assert!(term.left().is_zero());
        term.extend(now() + Duration::from_secs(9));
        assert!(term.left().is_zero(), "a renewal that is answered late brings nothing back");
        assert_eq!(usable(Duration::from_secs(15)), Duration::from_secs(12));
    }
}
