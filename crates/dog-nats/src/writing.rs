//! One object's writes: one after the other, each a batch that is stored whole or not at all, and whose first message
//! takes the place of the object's claim. So a node that has lost the object writes nothing any more, and a batch that
//! nobody has answered for is found out about: it was stored if its nonce stands there, and never will be if another's
//! does. What has come while one was under way goes together.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use dog::internal::Kind;
use dog::{Epoch, Error};
use dog_engine::address::{NodeId, Object};
use dog_engine::host::Batch;
use dog_native::cluster::{Done, StorageFigures, claim_of, may_log};
use tokio::sync::Semaphore;

use crate::alarms;
use crate::directory::Claim;
use crate::jetstream::{Put, Trouble, nonce, until_answered};
use crate::node::Node;

/// Messages of one batch besides the claim: the server takes a thousand.
const MOST: usize = 999;
/// Batches of this node under way at the same time: a stream takes fifty, of all nodes.
const UNDER_WAY: usize = 16;

/// The writes of all objects that this node has.
#[derive(Debug)]
pub(crate) struct Writers {
    objects: Mutex<HashMap<Object, Writer>>,
    figures: Mutex<StorageFigures>,
    permits: Semaphore,
}

#[derive(Debug)]
struct Writer {
    /// The claim that all is written by, and whose it is.
    claim: u64,
    node: NodeId,
    /// The message that the next batch takes the place of.
    fence: u64,
    waiting: VecDeque<Write>,
    /// Whether somebody is at it.
    runs: bool,
}

struct Write {
    class: &'static str,
    batch: Batch,
    done: Done,
}

impl std::fmt::Debug for Write {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Write")
    }
}

fn over() -> Error {
    Error::new(Kind::Closed, "this life of the object is over")
}

impl Writers {
    pub(crate) fn new() -> Self {
        Self { objects: Mutex::default(), figures: Mutex::default(), permits: Semaphore::new(UNDER_WAY) }
    }

    fn objects(&self) -> MutexGuard<'_, HashMap<Object, Writer>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This node has claimed an object. What waits by an earlier claim is never written.
    pub(crate) fn own(&self, object: Object, claim: u64, node: NodeId) {
        let writer = Writer { claim, node, fence: claim, waiting: VecDeque::new(), runs: false };
        let earlier = self.objects().insert(object, writer);
        for write in earlier.into_iter().flat_map(|writer| writer.waiting) {
            (write.done)(Err(over()));
        }
    }

    /// This node has no use for an object any more: the message that its claim stands in, unless something is under way.
    pub(crate) fn release(&self, object: Object, claim: u64) -> Option<u64> {
        let mut objects = self.objects();
        let idle = |writer: &Writer| writer.claim == claim && !writer.runs && writer.waiting.is_empty();
        let fence = objects.get(&object).filter(|writer| idle(writer))?.fence;
        objects.remove(&object);
        Some(fence)
    }

    /// All claims are over.
    pub(crate) fn end(&self) {
        let objects = std::mem::take(&mut *self.objects());
        // What the lives that are over could not write says nothing of the next ones.
        self.figures.lock().unwrap_or_else(PoisonError::into_inner).failing = false;
        for write in objects.into_values().flat_map(|writer| writer.waiting) {
            (write.done)(Err(over()));
        }
    }

    pub(crate) fn figures(&self) -> StorageFigures {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_over(&self, object: Object, claim: u64) -> bool {
        self.objects().get(&object).is_none_or(|writer| writer.claim != claim)
    }

    fn note(&self, writes: usize, done: bool, took: std::time::Duration) {
        let mut figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        figures.writes += writes as u64;
        figures.failures += u64::from(!done);
        figures.failing = !done;
        figures.commits.note(took);
    }

    /// What is to be written next by that claim; none when nothing waits, or the claim is over.
    fn next(&self, object: Object, claim: u64) -> Option<(NodeId, u64, Vec<Write>)> {
        let mut objects = self.objects();
        let writer = objects.get_mut(&object).filter(|writer| writer.claim == claim)?;
        let mut together: Vec<Write> = Vec::new();
        let mut messages = 0;
        while let Some(next) = writer.waiting.front() {
            let more = next.batch.entries.len() + 1;
            // What follows a deletion of everything must see it done.
            let alone = next.batch.delete_all || together.last().is_some_and(|last| last.batch.delete_all);
            if !together.is_empty() && (alone || messages + more > MOST) {
                break;
            }
            messages += more;
            together.extend(writer.waiting.pop_front());
        }
        writer.runs = !together.is_empty();
        writer.runs.then_some((writer.node, writer.fence, together))
    }

    fn has_written(&self, object: Object, claim: u64, fence: u64) {
        if let Some(writer) = self.objects().get_mut(&object).filter(|writer| writer.claim == claim) {
            writer.fence = fence;
        }
    }
}

impl Node {
    /// Hands a batch over. It is refused where the life is not of the object's last claim here.
    pub(crate) fn write(self: Arc<Self>, object: Object, epoch: Epoch, class: &'static str, batch: Batch, done: Done) {
        let claim = claim_of(epoch);
        let mut objects = self.writers.objects();
        let Some(writer) = objects.get_mut(&object).filter(|writer| writer.claim == claim) else {
            drop(objects);
            return done(Err(over()));
        };
        writer.waiting.push_back(Write { class, batch, done });
        let runs = std::mem::replace(&mut writer.runs, true);
        drop(objects);
        if !runs {
            let node = Arc::clone(&self);
            self.runtime.spawn(async move { node.write_all(object, claim).await });
        }
    }

    async fn write_all(&self, object: Object, claim: u64) {
        while let Some((owner, fence, writes)) = self.writers.next(object, claim) {
            let began = Instant::now();
            let (writes, dones): (Vec<_>, Vec<_>) =
                writes.into_iter().map(|write| ((write.class, write.batch), write.done)).unzip();
            let outcome = self.write_together(object, owner, fence, &writes).await;
            let fenced = matches!(outcome, Err(Trouble::Outdated)) || self.writers.is_over(object, claim);
            if let Ok(fence) = outcome {
                self.writers.has_written(object, claim, fence);
            }
            self.writers.note(writes.len(), outcome.is_ok() || fenced, began.elapsed());
            if let Err(trouble) = &outcome
                && may_log("writes are refused")
            {
                tracing::error!("{} writes of an object are refused: {}", writes.len(), trouble.text());
            }
            for done in dones {
                done(match &outcome {
                    Ok(_) => Ok(()),
                    Err(Trouble::Outdated) => Err(over()),
                    Err(trouble) => {
                        let text = format!("the storage did not say that this is kept: NATS: {}", trouble.text());
                        Err(Error::new(Kind::Storage, text))
                    }
                });
            }
        }
    }

    /// Gives the message that the next batch is to take the place of.
    async fn write_together(
        &self,
        object: Object,
        owner: NodeId,
        mut fence: u64,
        writes: &[(&'static str, Batch)],
    ) -> Result<u64, Trouble> {
        let puts = self.puts(object, writes).await?;
        let deletes = writes.iter().any(|(_, batch)| batch.delete_all);
        if puts.len() > MOST && !deletes {
            return Err(Trouble::Refused(format!("{MOST} entries are the most that are written together")));
        }
        // Of very many entries that are all deleted, some are gone before others; each batch is whole.
        for puts in puts.chunks(MOST) {
            let _permit = self.writers.permits.acquire().await;
            fence = self.commit(object, owner, fence, puts).await?;
        }
        Ok(fence)
    }

    /// The messages of these writes: of one subject the last.
    async fn puts(&self, object: Object, writes: &[(&'static str, Batch)]) -> Result<Vec<Put>, Trouble> {
        let mut puts: BTreeMap<String, Put> = BTreeMap::new();
        let mut put = |put: Put| puts.insert(put.subject.clone(), put);
        for (class, batch) in writes {
            if batch.delete_all {
                let filter = self.names.entries(object, batch.space);
                let there = self.while_it_lasts(|| self.objects.subjects(&filter)).await?;
                there.into_iter().for_each(|subject| drop(put(Put::gone(subject))));
            }
            for (key, value) in &batch.entries {
                let subject = self.names.entry(object, batch.space, key);
                put(match value {
                    Some(value) => Put::new(subject, value.clone()),
                    None => Put::gone(subject),
                });
            }
            if let Some(alarm) = batch.alarm {
                let subject = self.names.alarm(object);
                put(match alarm {
                    Some(at) => {
                        let text = alarms::write(at, class).map_err(|error| Trouble::Refused(error.to_string()))?;
                        Put::new(subject, text)
                    }
                    None => Put::gone(subject),
                });
            }
        }
        Ok(puts.into_values().collect())
    }

    /// Stores the messages, with the claim before them, for as long as this node may.
    async fn commit(&self, object: Object, owner: NodeId, fence: u64, puts: &[Put]) -> Result<u64, Trouble> {
        let (subject, made) = (self.names.owner(object), nonce());
        let claim = Claim { node: owner, nonce: made.clone() };
        self.while_it_lasts(|| async {
            let mut all = vec![claim.put(subject.clone(), fence)?];
            all.extend_from_slice(puts);
            match self.objects.put_all(&nonce(), all).await {
                Err(Trouble::Outdated) => {
                    // An attempt that nobody has answered may have been done, or is being done: then it is in the way of this
                    // one, and not there yet.
                    match Claim::read(self.objects.last(&subject).await?) {
                        (sequence, Some(last)) if last.nonce == made => Ok(sequence),
                        (sequence, _) if sequence == fence => Err(Trouble::being_done()),
                        _ => Err(Trouble::Outdated),
                    }
                }
                outcome => outcome,
            }
        })
        .await
    }

    /// Tries again what has not been answered, until this node's lease is over: whoever waits for it goes on waiting
    /// while a stream has no leader.
    async fn while_it_lasts<T, F>(&self, act: impl Fn() -> F) -> Result<T, Trouble>
    where
        F: Future<Output = Result<T, Trouble>>,
    {
        until_answered(|| !self.term.left().is_zero(), act).await
    }
}
