//! The user's entries of one object, in one life.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use dog::internal::{Kind, LocalFuture, StoragePort, TransactionRead, TransactionTurn};
use dog::{Epoch, Error, List};

use super::activation::{Activation, over};
use super::transactions::TransactionQueue;
use super::write_log::{Logged, Lookup, WriteLog};
use crate::address::Object;
use crate::host::{Batch, Host, Order, Space};
use crate::repeats::log_limited;

/// Reads and writes through the log of writes that are not durable yet.
pub(in crate::driver) struct Store<H: Host> {
    host: Rc<H>,
    object: Object,
    epoch: Epoch,
    ended: Cell<bool>,
    log: RefCell<WriteLog>,
    /// Writes that are not durable yet, and who waits for the last of them.
    in_flight: Cell<usize>,
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
            log: RefCell::default(),
            in_flight: Cell::new(0),
            waiting: RefCell::default(),
        })
    }

    /// The life is over: every later write fails.
    pub(super) fn end(&self) {
        self.ended.set(true);
    }

    /// Whether all writes are durable or have failed, so that a later life reads them.
    pub(super) fn is_settled(&self) -> bool {
        self.in_flight.get() == 0
    }

    /// Completes when they are.
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

    fn settle(&self, batch: &Logged) {
        self.log.borrow_mut().settle(batch);
        self.in_flight.set(self.in_flight.get() - 1);
        if self.is_settled() {
            self.waiting.take().into_iter().for_each(Waker::wake);
        }
    }

    fn check(&self) -> Result<(), Error> {
        if self.ended.get() { Err(over()) } else { Ok(()) }
    }

    fn write(self: &Rc<Self>, batch: Batch, logged: Logged) -> LocalFuture<Result<(), Error>> {
        self.in_flight.set(self.in_flight.get() + 1);
        let done = self.host.write(self.object, self.epoch, batch);
        Box::pin(Write { store: Rc::clone(self), done: Some((done, logged)) })
    }

    fn commit(
        self: &Rc<Self>,
        writes: BTreeMap<String, Option<Bytes>>,
        reads: &[(u64, TransactionRead)],
    ) -> Result<Option<LocalFuture<Result<(), Error>>>, Error> {
        self.check()?;
        let mut log = self.log.borrow_mut();
        if reads.iter().any(|(version, read)| log.has_changed(*version, read)) {
            return Ok(None);
        }
        if writes.is_empty() {
            return Ok(Some(Box::pin(async { Ok(()) })));
        }
        let logged = log.write(&writes);
        drop(log);
        let entries = writes.into_iter().map(|(key, value)| (key.into_bytes(), value)).collect();
        let batch = Batch { space: Space::User, entries, ..Batch::default() };
        Ok(Some(self.write(batch, logged)))
    }

    fn delete_all(self: &Rc<Self>) -> Result<LocalFuture<Result<(), Error>>, Error> {
        self.check()?;
        let logged = self.log.borrow_mut().delete_all();
        let batch = Batch { space: Space::User, delete_all: true, ..Batch::default() };
        Ok(self.write(batch, logged))
    }

    fn get(&self, key: &str) -> LocalFuture<Result<Option<Bytes>, Error>> {
        match self.log.borrow().lookup(key) {
            Lookup::Pending(value) => Box::pin(async { Ok(value) }),
            Lookup::Stored => self.host.read(self.object, Space::User, key.as_bytes().to_vec()),
        }
    }

    fn list(self: &Rc<Self>, list: List) -> LocalFuture<Result<Vec<(String, Bytes)>, Error>> {
        let (pending, cleared) = {
            let log = self.log.borrow();
            (log.pending(&list), log.is_clearing())
        };
        let store = Rc::clone(self);
        Box::pin(async move {
            // Each stored entry that is about to be deleted makes room for one behind the limit.
            let deleted = pending.values().filter(|write| write.is_none()).count();
            let mut entries = if cleared { BTreeMap::new() } else { store.stored(&list, deleted).await? };
            list.overlay(&mut entries, &pending);
            Ok(list.cut(entries))
        })
    }

    /// The stored entries of `list`, and `more` than its limit.
    async fn stored(&self, list: &List, more: usize) -> Result<BTreeMap<String, Bytes>, Error> {
        let limit = list.most().map(|most| most.saturating_add(more));
        let order = if list.is_reverse() { Order::Descending } else { Order::Ascending };
        let stored = self.host.read_range(self.object, Space::User, list.bounds(), limit, order).await?;
        let text = |key: Bytes| {
            String::from_utf8(key.to_vec())
                .map_err(|cause| Error::caused(Kind::Storage, "a stored key is damaged", cause))
        };
        stored.into_iter().map(|(key, value)| Ok((text(key)?, value))).collect()
    }
}

/// A write that is not durable yet. If its caller drops it, the write is still made, and stays in the log until it is
/// durable.
struct Write<H: Host> {
    store: Rc<Store<H>>,
    done: Option<(LocalFuture<Result<(), Error>>, Logged)>,
}

impl<H: Host> Future for Write<H> {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some((done, _)) = &mut self.done else { return Poll::Pending };
        let outcome = std::task::ready!(done.as_mut().poll(context));
        if let Some((_, logged)) = self.done.take() {
            self.store.settle(&logged);
        }
        Poll::Ready(outcome)
    }
}

impl<H: Host> Drop for Write<H> {
    fn drop(&mut self) {
        let Some((done, logged)) = self.done.take() else { return };
        let store = Rc::clone(&self.store);
        self.store.host.spawn(Box::pin(async move {
            if let Err(error) = done.await {
                log_limited!(
                    store.host,
                    error,
                    "a write that nobody waited for failed",
                    "a write that nobody waited for failed: {error}"
                );
            }
            store.settle(&logged);
        }));
    }
}

/// The storage in the hands of the user's code, which may hold it longer than its activation lasts.
pub(in crate::driver) struct StorePort<H: Host> {
    store: Rc<Store<H>>,
    activation: Activation,
}

impl<H: Host> StorePort<H> {
    pub(in crate::driver) fn new(store: Rc<Store<H>>, activation: Activation) -> Self {
        Self { store, activation }
    }

    fn refused<T: 'static>(&self) -> Option<LocalFuture<Result<T, Error>>> {
        let error = self.activation.check().err()?;
        Some(Box::pin(async { Err(error) }))
    }
}

impl<H: Host> StoragePort for StorePort<H> {
    fn get(&self, key: &str) -> LocalFuture<Result<Option<Bytes>, Error>> {
        self.refused().unwrap_or_else(|| self.store.get(key))
    }

    fn list(&self, list: List) -> LocalFuture<Result<Vec<(String, Bytes)>, Error>> {
        self.refused().unwrap_or_else(|| self.store.list(list))
    }

    fn version(&self) -> u64 {
        self.store.log.borrow().version()
    }

    fn turn(&self, overtaken: usize) -> Option<LocalFuture<Box<dyn TransactionTurn>>> {
        self.store.transactions.turn(overtaken)
    }

    fn commit(
        &self,
        writes: BTreeMap<String, Option<Bytes>>,
        reads: Vec<(u64, TransactionRead)>,
    ) -> Result<Option<LocalFuture<Result<(), Error>>>, Error> {
        self.activation.check()?;
        self.store.commit(writes, &reads)
    }

    fn delete_all(&self) -> LocalFuture<Result<(), Error>> {
        if let Some(refused) = self.refused() {
            return refused;
        }
        self.store.delete_all().unwrap_or_else(|error| Box::pin(async { Err(error) }))
    }
}
