//! [`Writes`]: the writes of this node's objects. For each object, one batch is in flight at a time. A batch is stored
//! as a whole or not at all. Its first message replaces the object's claim, so a node that has lost the object cannot
//! store anything (fencing). If a batch has no answer, the claim shows its outcome: the batch was stored if the claim
//! has its nonce, and it never will be if the claim has another one. Writes that arrive while a batch is in flight go
//! together in the next batch.
//!
//! - `queue`: the waiting writes, one queue per object
//! - `messages`: the messages of a batch

mod messages;
mod queue;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dog::internal::Kind;
use dog::{Epoch, Error};
use dog_engine::address::{NodeId, Object};
use dog_engine::host::Batch;
use dog_native::cluster::{Done, StorageFigures, claim_of, may_log};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::claim::Claim;
use crate::faults::{Fault, is_planted};
use crate::identity::Identity;
use crate::names::Names;
use crate::stream::{MessageStream, Put, StreamError, nonce, retry_while};

use messages::messages_of;
use queue::{MAX_BATCH, Pushed, Queues, Write};

/// The number of batches of this node that may be in flight. A stream accepts 50 from all nodes together.
const MAX_IN_FLIGHT: usize = 16;

/// The writes of all objects that this node owns.
#[derive(Debug)]
pub(crate) struct Writes {
    queues: Queues,
    figures: Mutex<StorageFigures>,
    permits: Semaphore,
    stream: Arc<dyn MessageStream>,
    names: Names,
    identity: Arc<Identity>,
    runtime: Handle,
}

fn life_is_over() -> Error {
    Error::new(Kind::Closed, "this life of the object is over")
}

impl Writes {
    pub(crate) fn new(
        stream: Arc<dyn MessageStream>,
        names: Names,
        identity: Arc<Identity>,
        runtime: Handle,
    ) -> Arc<Self> {
        Arc::new(Self {
            queues: Queues::default(),
            figures: Mutex::default(),
            permits: Semaphore::new(MAX_IN_FLIGHT),
            stream,
            names,
            identity,
            runtime,
        })
    }

    /// Begins to accept writes under a claim that this node made as `node`. Writes that wait under an earlier claim
    /// fail.
    pub(crate) fn begin(&self, object: Object, claim: u64, node: NodeId) {
        fail(self.queues.begin(object, claim, node));
    }

    /// Releases an object that this node no longer needs. Returns the number of the message that holds the claim,
    /// unless a write waits or is in flight.
    pub(crate) fn release(&self, object: Object, claim: u64) -> Option<u64> {
        self.queues.release(object, claim)
    }

    /// Ends all claims. Waiting writes fail.
    pub(crate) fn end(&self) {
        let waiting = self.queues.end();
        // Failures under earlier claims say nothing about later ones.
        self.figures.lock().unwrap_or_else(PoisonError::into_inner).failing = false;
        fail(waiting);
    }

    pub(crate) fn figures(&self) -> StorageFigures {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Accepts a batch. It fails with [`Error::is_closed`] if the writing life does not belong to the object's last
    /// claim on this node.
    pub(crate) fn write(self: &Arc<Self>, object: Object, epoch: Epoch, class: &'static str, batch: Batch, done: Done) {
        let claim = claim_of(epoch);
        match self.queues.push(object, claim, Write { class, batch, done }) {
            Pushed::Behind => {}
            Pushed::First => {
                let writes = Arc::clone(self);
                self.runtime.spawn(async move { writes.run(object, claim).await });
            }
            Pushed::Refused(write) => (write.done)(Err(life_is_over())),
        }
    }

    /// Writes the batches that wait under a claim, until none waits.
    async fn run(&self, object: Object, claim: u64) {
        while let Some((node, last, writes)) = self.queues.next(object, claim) {
            let began = Instant::now();
            let (writes, dones): (Vec<_>, Vec<_>) =
                writes.into_iter().map(|write| ((write.class, write.batch), write.done)).unzip();
            let outcome = self.write_together(object, node, last, &writes).await;
            let is_over = matches!(outcome, Err(StreamError::Conflict)) || self.queues.is_over(object, claim);
            if let Ok(last) = outcome {
                self.queues.set_last(object, claim, last);
            }
            self.note(writes.len(), outcome.is_ok() || is_over, began.elapsed());
            if let Err(error) = &outcome
                && may_log("writes are refused")
            {
                tracing::error!("{} writes of an object failed: {}", writes.len(), error.text());
            }
            for done in dones {
                done(match &outcome {
                    Ok(_) => Ok(()),
                    Err(StreamError::Conflict) => Err(life_is_over()),
                    Err(error) => {
                        let text = format!("the storage did not confirm the write: NATS: {}", error.text());
                        Err(Error::new(Kind::Storage, text))
                    }
                });
            }
        }
    }

    fn note(&self, writes: usize, done: bool, took: Duration) {
        let mut figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        figures.writes += writes as u64;
        figures.failures += u64::from(!done);
        figures.failing = !done;
        figures.commits.note(took);
    }

    /// Stores some writes. They replace message `last` of the owner subject. Returns the number of the message that the
    /// next batch replaces.
    async fn write_together(
        &self,
        object: Object,
        node: NodeId,
        mut last: u64,
        writes: &[(&'static str, Batch)],
    ) -> Result<u64, StreamError> {
        let mut existing = Vec::new();
        let spaces = writes.iter().flat_map(|(_, batch)| &batch.spaces);
        for cleared in spaces.filter(|space| space.delete_all) {
            let filter = self.names.entries(object, cleared.space);
            existing.push(self.while_it_may_act(|| self.stream.subjects(&filter)).await?);
        }
        let deletes_all = !existing.is_empty();
        let puts = messages_of(&self.names, object, writes, existing)?;
        if puts.len() > MAX_BATCH && !deletes_all {
            return Err(StreamError::Rejected(format!("at most {MAX_BATCH} entries can be written together")));
        }
        // If there are more entries than fit into one batch, they are deleted in several batches. Each batch is atomic.
        for puts in puts.chunks(MAX_BATCH) {
            let _permit = self.permits.acquire().await;
            last = self.commit(object, node, last, puts).await?;
        }
        Ok(last)
    }

    /// Stores messages in one batch. Its first message replaces the object's claim.
    async fn commit(&self, object: Object, node: NodeId, last: u64, puts: &[Put]) -> Result<u64, StreamError> {
        let subject = self.names.owner(object);
        let claim = Claim { node, nonce: nonce() };
        self.while_it_may_act(|| async {
            let first = claim.put(subject.clone())?;
            let first = if is_planted(Fault::WritesWithoutExpectation) { first } else { first.expecting(last) };
            let batch = std::iter::once(first).chain(puts.iter().cloned()).collect();
            match self.stream.put_all(batch).await {
                Err(StreamError::Conflict) => self.read_back(&subject, &claim, last).await,
                outcome => outcome,
            }
        })
        .await
    }

    /// Reads the claim after a conflict. An earlier attempt without an answer was stored or is being stored, or another
    /// node has claimed the object.
    async fn read_back(&self, subject: &str, claim: &Claim, last: u64) -> Result<u64, StreamError> {
        let is_own = |stored: &Claim| {
            stored.nonce == claim.nonce || (is_planted(Fault::TakesAnyBatchForItsOwn) && stored.node == claim.node)
        };
        match Claim::read(self.stream.last(subject).await?) {
            (sequence, Some(stored)) if is_own(&stored) => Ok(sequence),
            (sequence, _) if sequence == last => Err(StreamError::earlier_attempt_in_flight()),
            _ => Err(StreamError::Conflict),
        }
    }

    /// Repeats a request that has no answer until this node's lease is over. So a write waits while a stream has no
    /// leader.
    async fn while_it_may_act<T, F>(&self, request: impl Fn() -> F) -> Result<T, StreamError>
    where
        F: Future<Output = Result<T, StreamError>>,
    {
        retry_while(|| self.identity.may_act(), request).await
    }
}

fn fail(writes: Vec<Write>) {
    for write in writes {
        (write.done)(Err(life_is_over()));
    }
}
