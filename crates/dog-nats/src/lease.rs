//! A node's lease: one message that ends by itself, renewed at a third of its time, each time in place of the one before.
//!
//! Others take the node's objects when the message is gone, which the server decides by its clock, from when it got the
//! last renewal. The node itself stops before that: it counts by its own clock, which nobody sets and which goes on while
//! the machine sleeps, from before it sent that renewal, and leaves a fifth of the time for clocks that do not run alike.

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

    fn extend(&self, end: Duration) {
        self.ends.store(u64::try_from(end.as_nanos()).unwrap_or(u64::MAX), Ordering::Release);
    }

    pub(crate) fn end(&self) {
        self.ends.store(0, Ordering::Release);
    }
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
        let put = Put::new(subject, text).after(self.sequence).for_only(self.time);
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
        self.sequence = sequence;
        self.unanswered.clear();
        self.term.extend(sent + usable(self.time));
    }

    /// One of those that nobody has answered may stand there; or the lease has ended.
    async fn read_back(&mut self) -> Result<bool, Trouble> {
        let Some(stored) = self.messages.last(&self.names.lease(self.node)).await? else { return Ok(false) };
        let lease: Option<Lease> = stored.payload.and_then(|payload| serde_json::from_slice(&payload).ok());
        let Some(lease) = lease else { return Ok(false) };
        let sent = self.unanswered.iter().find(|(nonce, _)| *nonce == lease.nonce).map(|(_, sent)| *sent);
        if let Some(sent) = sent {
            self.is_renewed(stored.sequence, sent);
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
        term.extend(now() + Duration::from_secs(9));
        assert!(!term.left().is_zero());
        term.end();
        assert!(term.left().is_zero());
        assert_eq!(usable(Duration::from_secs(15)), Duration::from_secs(12));
    }
}
