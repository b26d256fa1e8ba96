//! A node's lease: one message that ends by itself, renewed at a third of its time, each time in place of the one before.
//!
//! Others take the node's objects when the message is gone, which the server decides by its clock, from when it got the
//! last renewal. The node itself stops before that: it counts by its own clock, which nobody sets, from before it sent
//! that renewal, and leaves a fifth of the time for clocks that do not run alike.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dog_engine::address::NodeId;

use crate::jetstream::{AGAIN, Messages, Put, Trouble, nonce};
use crate::names::Names;
use crate::nodes::Lease;

/// Until when this node may act.
#[derive(Debug)]
pub(crate) struct Term {
    began: Instant,
    /// In nanoseconds after that.
    ends: AtomicU64,
}

impl Term {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), ends: AtomicU64::new(0) }
    }

    pub(crate) fn ends(&self) -> Instant {
        self.began + Duration::from_nanos(self.ends.load(Ordering::Acquire))
    }

    fn extend(&self, end: Instant) {
        let end = u64::try_from(end.saturating_duration_since(self.began).as_nanos()).unwrap_or(u64::MAX);
        self.ends.store(end, Ordering::Release);
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
    unanswered: Vec<(String, Instant)>,
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
        let sent = Instant::now();
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

    fn is_renewed(&mut self, sequence: u64, sent: Instant) {
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
            let ends = tokio::time::Instant::from_std(self.term.ends());
            tokio::select! {
                () = tokio::time::sleep_until(ends) => return,
                () = tokio::time::sleep(pause) => {}
            }
            let renewed = tokio::select! {
                () = tokio::time::sleep_until(ends) => return,
                renewed = self.renew() => renewed,
            };
            pause = match renewed {
                Ok(true) => self.time / 3,
                Ok(false) => {
                    tracing::error!("this node's lease was ended by somebody else");
                    return self.term.end();
                }
                Err(trouble) => {
                    let left = self.term.ends().saturating_duration_since(Instant::now());
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
        let term = Term::new();
        assert!(term.ends() <= Instant::now());
        term.extend(Instant::now() + Duration::from_secs(9));
        assert!(term.ends() > Instant::now());
        term.end();
        assert!(term.ends() <= Instant::now());
        assert_eq!(usable(Duration::from_secs(15)), Duration::from_secs(12));
    }
}
