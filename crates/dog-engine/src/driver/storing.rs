//! One life's storage: what an object has written and the disk has not yet, and what has changed since a transaction
//! began.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use dog::internal::{Kind, LocalFuture, StoragePort, TransactionRead, TransactionTurn};
use dog::{Epoch, Error, List};

use super::life::{Activation, over};
use super::queue::TransactionQueue;
use crate::address::Object;
use crate::host::{Batch, Host, Order, Space};
use crate::repeats::seldom;

/// How many written keys are remembered for transactions; older transactions than that are run anew.
const REMEMBERED: usize = 4096;

/// The user's entries of one object, in one life.
pub(super) struct Store<H: Host> {
    host: Rc<H>,
    object: Object,
    epoch: Epoch,
    ended: Cell<bool>,
    version: Cell<u64>,
    /// When each key was written last. Of those not in it nothing is known before `floor`.
    written: RefCell<HashMap<String, u64>>,
    floor: Cell<u64>,
    /// Writes that are on their way to the disk, by the version they were made at.
    pending: RefCell<BTreeMap<String, (u64, Option<Bytes>)>>,
    /// Deletions of everything that are on their way: what the disk still has is gone already.
    clearing: Cell<usize>,
    /// Writes of any kind that are on their way, and who waits for the last of them.
    under_way: Cell<usize>,
    waiting: RefCell<Vec<Waker>>,
    transactions: Rc<TransactionQueue<H>>,
}

impl<H: Host> Store<H> {
    pub(super) fn new(host: Rc<H>, object: Object, epoch: Epoch) -> Rc<Self> {
        Rc::new(Self {
            transactions: TransactionQueue::new(Rc::clone(&host)),
            host,
            object,
            epoch,
            ended: Cell::new(false),
            version: Cell::new(0),
            written: RefCell::default(),
            floor: Cell::new(0),
            pending: RefCell::default(),
            clearing: Cell::new(0),
            under_way: Cell::new(0),
            waiting: RefCell::default(),
        })
    }

    /// From now on nothing is written any more: the life is over.
    pub(super) fn end(&self) {
        self.ended.set(true);
    }

    /// Whether the disk has all that was written, so that a later life reads it too.
    pub(super) fn is_settled(&self) -> bool {
        self.under_way.get() == 0
    }

    /// Ends when it does.
    pub(super) async fn settled(&self) {
        poll_fn(|context| {
            if self.is_settled() {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn new_version(&self) -> u64 {
        self.version.set(self.version.get() + 1);
        self.version.get()
    }

    /// Whether something that was read at `version` has been written since.
    fn has_changed(&self, version: u64, read: &TransactionRead) -> bool {
        if version == self.version.get() {
            return false;
        }
        if version < self.floor.get() {
            return true;
        }
        let written = self.written.borrow();
        match read {
            TransactionRead::Key(key) => written.get(key).is_some_and(|at| *at > version),
            TransactionRead::Range(list) => written.iter().any(|(key, at)| *at > version && list.contains(key)),
        }
    }

    /// Notes writes as made, though not on disk yet: whoever reads from now on reads them.
    fn note(&self, writes: &BTreeMap<String, Option<Bytes>>) -> u64 {
        let version = self.new_version();
        let mut written = self.written.borrow_mut();
        if written.len() + writes.len() > REMEMBERED {
            written.clear();
            self.floor.set(version);
        }
        let mut pending = self.pending.borrow_mut();
        for (key, value) in writes {
            written.insert(key.clone(), version);
            pending.insert(key.clone(), (version, value.clone()));
        }
        version
    }

    /// The disk has it, or will not: what was written later to the same keys stays.
    fn settle(&self, write: &Noted) {
        match write {
            Noted::Keys(keys, version) => {
                let mut pending = self.pending.borrow_mut();
                for key in keys {
                    if pending.get(key).is_some_and(|(at, _)| at == version) {
                        pending.remove(key);
                    }
                }
            }
            Noted::Everything => self.clearing.set(self.clearing.get() - 1),
        }
        self.under_way.set(self.under_way.get() - 1);
        if self.is_settled() {
            self.waiting.take().into_iter().for_each(Waker::wake);
        }
    }

    fn alive(&self) -> Result<(), Error> {
        if self.ended.get() { Err(over()) } else { Ok(()) }
    }

    fn write(self: &Rc<Self>, batch: Batch, noted: Noted) -> LocalFuture<Result<(), Error>> {
        self.under_way.set(self.under_way.get() + 1);
        let done = self.host.write(self.object, self.epoch, batch);
        Box::pin(UnderWay { store: Rc::clone(self), done: Some((done, noted)) })
    }

    fn commit_now(
        self: &Rc<Self>,
        writes: BTreeMap<String, Option<Bytes>>,
        reads: &[(u64, TransactionRead)],
    ) -> Result<Option<LocalFuture<Result<(), Error>>>, Error> {
        self.alive()?;
        if reads.iter().any(|(version, read)| self.has_changed(*version, read)) {
            return Ok(None);
        }
        if writes.is_empty() {
            return Ok(Some(Box::pin(async { Ok(()) })));
        }
        let version = self.note(&writes);
        let noted = Noted::Keys(writes.keys().cloned().collect(), version);
        let entries = writes.into_iter().map(|(key, value)| (key.into_bytes(), value)).collect();
        let batch = Batch { space: Space::User, entries, ..Batch::default() };
        Ok(Some(self.write(batch, noted)))
    }

    /// Writes on their way among what `list` asks for.
    fn pending_of(&self, list: &List) -> BTreeMap<String, Option<Bytes>> {
        let pending = self.pending.borrow();
        list.of(&pending).map(|(key, (_, value))| (key.clone(), value.clone())).collect()
    }

    /// What the disk has of what `list` asks for, with `more` than its limit.
    async fn kept(&self, list: &List, more: usize) -> Result<BTreeMap<String, Bytes>, Error> {
        let most = list.most().map(|most| most.saturating_add(more));
        let order = if list.is_reverse() { Order::Descending } else { Order::Ascending };
        let kept = self.host.read_range(self.object, Space::User, list.bounds(), most, order).await?;
        let text = |key: Bytes| {
            String::from_utf8(key.to_vec())
                .map_err(|cause| Error::caused(Kind::Storage, "a stored key is damaged", cause))
        };
        kept.into_iter().map(|(key, value)| Ok((text(key)?, value))).collect()
    }
}

/// What a write on its way has noted.
enum Noted {
    Keys(Vec<String>, u64),
    Everything,
}

/// A write on its way. Whoever made it may stop waiting for it, and it is made all the same: until the disk has it, it
/// is read from memory.
struct UnderWay<H: Host> {
    store: Rc<Store<H>>,
    done: Option<(LocalFuture<Result<(), Error>>, Noted)>,
}

impl<H: Host> Future for UnderWay<H> {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some((done, _)) = &mut self.done else { return Poll::Pending };
        let outcome = std::task::ready!(done.as_mut().poll(context));
        if let Some((_, noted)) = self.done.take() {
            self.store.settle(&noted);
        }
        Poll::Ready(outcome)
    }
}

impl<H: Host> Drop for UnderWay<H> {
    fn drop(&mut self) {
        let Some((done, noted)) = self.done.take() else { return };
        let store = Rc::clone(&self.store);
        self.store.host.spawn(Box::pin(async move {
            if let Err(error) = done.await {
                seldom!(
                    store.host,
                    error,
                    "a write that nobody waited for failed",
                    "a write that nobody waited for failed: {error}"
                );
            }
            store.settle(&noted);
        }));
    }
}

/// The port, which the user's code can hold, past the end of what it was given to.
pub(super) struct StorePort<H: Host>(pub(super) Rc<Store<H>>, pub(super) Activation);

impl<H: Host> StorePort<H> {
    fn refused<T: 'static>(&self) -> Option<LocalFuture<Result<T, Error>>> {
        let error = self.1.check().err()?;
        Some(Box::pin(async { Err(error) }))
    }
}

impl<H: Host> StoragePort for StorePort<H> {
    fn get(&self, key: &str) -> LocalFuture<Result<Option<Bytes>, Error>> {
        if let Some(refused) = self.refused() {
            return refused;
        }
        if let Some((_, value)) = self.0.pending.borrow().get(key).cloned() {
            return Box::pin(async { Ok(value) });
        }
        if self.0.clearing.get() > 0 {
            return Box::pin(async { Ok(None) });
        }
        self.0.host.read(self.0.object, Space::User, key.as_bytes().to_vec())
    }

    fn list(&self, list: List) -> LocalFuture<Result<Vec<(String, Bytes)>, Error>> {
        if let Some(refused) = self.refused() {
            return refused;
        }
        let store = Rc::clone(&self.0);
        let (pending, cleared) = (store.pending_of(&list), store.clearing.get() > 0);
        Box::pin(async move {
            // What is on its way to be taken away makes room for entries behind the limit.
            let gone = pending.values().filter(|write| write.is_none()).count();
            let mut entries = if cleared { BTreeMap::new() } else { store.kept(&list, gone).await? };
            list.overlay(&mut entries, &pending);
            Ok(list.cut(entries))
        })
    }

    fn version(&self) -> u64 {
        self.0.version.get()
    }

    fn turn(&self, overtaken: usize) -> Option<LocalFuture<Box<dyn TransactionTurn>>> {
        self.0.transactions.turn(overtaken)
    }

    fn commit(
        &self,
        writes: BTreeMap<String, Option<Bytes>>,
        reads: Vec<(u64, TransactionRead)>,
    ) -> Result<Option<LocalFuture<Result<(), Error>>>, Error> {
        self.1.check()?;
        self.0.commit_now(writes, &reads)
    }

    fn delete_all(&self) -> LocalFuture<Result<(), Error>> {
        if let Some(refused) = self.refused() {
            return refused;
        }
        if let Err(error) = self.0.alive() {
            return Box::pin(async { Err(error) });
        }
        // Every transaction that has begun is to be run anew.
        self.0.floor.set(self.0.new_version());
        self.0.written.borrow_mut().clear();
        self.0.pending.borrow_mut().clear();
        self.0.clearing.set(self.0.clearing.get() + 1);
        let batch = Batch { space: Space::User, delete_all: true, ..Batch::default() };
        self.0.write(batch, Noted::Everything)
    }
}
