//! The user's entries of one object, in one life.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::ops::Bound;
use std::rc::Rc;
use std::task::{Poll, Waker};

use bytes::Bytes;
use dog::internal::{
    Alarms, Kind, LocalFuture, LogReservation, LogTopic, Logs, NewAlarm, Storage, StoragePort, StorageWrites,
    TransactionRead, TransactionTurn,
};
use dog::{Epoch, Error, List, MAX_ALARMS, Timestamp};

use super::activation::{Activation, over};
use super::alarm_book::{AlarmBook, AlarmWrites};
use super::alarm_runs::AlarmRuns;
use super::alarm_storage::stored_alarms;
use super::transactions::TransactionQueue;
use super::write::{Settles, Settling, Write};
use super::write_log::{Logged, Lookup, WriteLog};
use crate::address::Object;
use crate::host::{AlarmChange, Batch, Host, Order, Space, SpaceWrites};
use crate::log::LogEntries;

/// Reads and writes through the log of writes that are not durable yet.
pub(in crate::driver) struct Store<H: Host> {
    host: Rc<H>,
    object: Object,
    epoch: Epoch,
    ended: Cell<bool>,
    log: RefCell<WriteLog>,
    /// `None` if the App has left out alarms. Then nothing of the book is in the program.
    alarm_book: Option<RefCell<AlarmBook>>,
    alarm_runs: AlarmRuns,
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
            alarm_book: Alarms::get().map(|feature| RefCell::new(AlarmBook::new(feature))),
            alarm_runs: AlarmRuns::default(),
            in_flight: Cell::new(0),
            waiting: RefCell::default(),
        })
    }

    /// The life is over: every later write fails.
    pub(super) fn end(&self) {
        self.ended.set(true);
        self.alarm_runs.note_change();
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

    fn check(&self) -> Result<(), Error> {
        if self.ended.get() { Err(over()) } else { Ok(()) }
    }

    fn write(
        self: &Rc<Self>,
        batch: Batch,
        logged: Logged,
        alarms: Option<Vec<(String, u64)>>,
    ) -> LocalFuture<Result<(), Error>> {
        self.write_all(batch, Settling { logged, alarms, logs: None })
    }

    fn write_all(self: &Rc<Self>, batch: Batch, settling: Settling) -> LocalFuture<Result<(), Error>> {
        self.in_flight.set(self.in_flight.get() + 1);
        let done = self.host.write(self.object, self.epoch, batch);
        Box::pin(Write::new(self, done, settling))
    }

    /// Writes what the book of alarms has decided, and nothing else.
    fn write_alarms(self: &Rc<Self>, writes: AlarmWrites) -> LocalFuture<Result<(), Error>> {
        let AlarmWrites { entries, alarm, pending } = writes;
        let batch = Batch { alarm, ..Batch::of_entries(Space::Alarms, entries) };
        self.write(batch, Logged::nothing(), Some(pending))
    }

    /// Writes records of logs, and nothing else.
    pub(in crate::driver) fn write_log(self: &Rc<Self>, records: LogEntries) -> LocalFuture<Result<(), Error>> {
        match self.check() {
            Ok(()) => self.write(Batch::of_entries(Space::Log, records), Logged::nothing(), None),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    /// An alarm has changed: transactions that have read it run again.
    fn note_alarm(&self, name: &str) {
        self.log.borrow_mut().write_alarms([name]);
    }

    fn commit(
        self: &Rc<Self>,
        writes: StorageWrites,
        reads: &[(u64, TransactionRead)],
        logs: Option<Box<dyn LogReservation>>,
    ) -> Result<Option<LocalFuture<Result<(), Error>>>, Error> {
        self.check()?;
        if reads.iter().any(|(version, read)| self.log.borrow().has_changed(*version, read)) {
            return Ok(None);
        }
        let StorageWrites { entries, alarms, log: mut records, publications } = writes;
        let sets_alarms = Alarms::ON && !alarms.is_empty();
        if sets_alarms && !self.with_alarms(|book| book.has_room(&alarms)) {
            let message = format!("the object has {MAX_ALARMS} alarms: delete some first");
            return Err(Error::new(Kind::TooMany, message));
        }
        let mut logs = logs.filter(|_| Logs::ON);
        if let Some(logs) = &mut logs {
            records.extend(logs.append(publications)?);
        }
        if entries.is_empty() && !sets_alarms && records.is_empty() {
            return Ok(Some(Box::pin(async { Ok(()) })));
        }
        let logged = {
            let mut log = self.log.borrow_mut();
            if sets_alarms {
                log.write_alarms(alarms.keys().map(String::as_str));
            }
            log.write(&entries)
        };
        let (batch, pending) = self.batch_of(entries, sets_alarms.then_some(alarms), records);
        Ok(Some(self.write_all(batch, Settling { logged, alarms: pending, logs })))
    }

    fn delete_all(self: &Rc<Self>) -> Result<LocalFuture<Result<(), Error>>, Error> {
        self.check()?;
        let logged = self.log.borrow_mut().delete_all();
        Ok(self.write(Batch::deleting_all(Space::User), logged, None))
    }

    /// Asks the book of alarms, if there are any. It is not borrowed while the user's code runs.
    pub(super) fn with_alarms<T: Default>(&self, ask: impl FnOnce(&mut AlarmBook) -> T) -> T {
        self.alarm_book.as_ref().map(|book| ask(&mut book.borrow_mut())).unwrap_or_default()
    }

    pub(super) fn alarm_runs(&self) -> &AlarmRuns {
        &self.alarm_runs
    }

    /// Whether handlers of alarms run, or begin.
    pub(in crate::driver) fn alarms_are_busy(&self) -> bool {
        self.alarm_runs.is_busy() || self.with_alarms(|book| book.is_busy())
    }

    /// Reads which alarms are set. `None` if this is known.
    pub(super) fn load_alarms(self: &Rc<Self>) -> Option<LocalFuture<Result<(), Error>>> {
        if !Alarms::ON || self.with_alarms(|book| book.is_loaded()) {
            return None;
        }
        let store = Rc::clone(self);
        Some(Box::pin(async move {
            while !store.with_alarms(|book| book.is_loaded()) {
                store.check()?;
                let generation = store.with_alarms(|book| book.generation());
                if generation > 0 {
                    // After a write that failed, others may be under way.
                    store.settled().await;
                }
                let stored = stored_alarms(&*store.host, store.object).await?;
                let has_loaded = store.with_alarms(|book| {
                    // Others may have read them in the meantime.
                    let is_current = !book.is_loaded() && book.generation() == generation;
                    if is_current {
                        book.load(stored);
                    }
                    is_current
                });
                if has_loaded && generation > 0 {
                    // The host may have taken the write that failed for one that counts.
                    store.announce_alarms_again();
                }
            }
            Ok(())
        }))
    }

    /// What a transaction writes, in one batch, and of which alarms the book keeps the payloads.
    fn batch_of(
        &self,
        entries: BTreeMap<String, Option<Bytes>>,
        alarms: Option<BTreeMap<String, Option<NewAlarm>>>,
        records: BTreeMap<Vec<u8>, Option<Bytes>>,
    ) -> (Batch, Option<Vec<(String, u64)>>) {
        let mut batch = Batch::default();
        if !entries.is_empty() {
            let entries = entries.into_iter().map(|(key, value)| (key.into_bytes(), value)).collect();
            batch = Batch::of_entries(Space::User, entries);
        }
        let pending = alarms.map(|alarms| {
            let writes = self.book_alarms(alarms);
            batch.alarm = writes.alarm;
            batch.spaces.push(SpaceWrites { space: Space::Alarms, delete_all: false, entries: writes.entries });
            writes.pending
        });
        if !records.is_empty() {
            let entries = records.into_iter().collect();
            batch.spaces.push(SpaceWrites { space: Space::Log, delete_all: false, entries });
        }
        (batch, pending)
    }

    /// What a transaction writes for its alarms.
    fn book_alarms(&self, alarms: BTreeMap<String, Option<NewAlarm>>) -> AlarmWrites {
        let writes = self.with_alarms(|book| book.write(alarms, self.host.now()));
        self.alarm_runs.note_change();
        writes
    }

    /// Writes what follows from the end of a handler. `None`: nothing does.
    pub(super) fn alarm_ended(
        self: &Rc<Self>,
        name: &str,
        number: u64,
        succeeded: bool,
    ) -> Option<LocalFuture<Result<(), Error>>> {
        let now = self.host.now();
        let writes = self.with_alarms(|book| {
            if succeeded { book.succeeded(name, number, now) } else { book.failed(name, number, now) }
        })?;
        self.note_alarm(name);
        Some(self.write_alarms(writes))
    }

    /// Tells the host the time of the earliest alarm again.
    pub(super) fn announce_alarms_again(self: &Rc<Self>) {
        if let Some(alarm) = self.with_alarms(|book| Some(book.announce_again())) {
            drop(self.write_alarms(AlarmWrites { alarm: Some(alarm), ..AlarmWrites::default() }));
        }
    }

    /// The life ends because another may have begun, which is woken for what runs or is due.
    pub(super) fn cease_alarms(&self) {
        let woken = self.alarm_runs.is_woken();
        let left = self.with_alarms(|book| book.end_of_life(self.host.now(), woken));
        if let Some(at) = left.and_then(|left| left.alarm).and_then(AlarmChange::time) {
            self.host.wake_again(self.object, at);
        }
    }

    /// The life ends by itself: the host wakes the next life for what runs or is due.
    pub(super) fn end_alarms(self: &Rc<Self>) {
        let woken = self.alarm_runs.is_woken();
        let writes = self.with_alarms(|book| book.end_of_life(self.host.now(), woken));
        if let Some(writes) = writes {
            drop(self.write_alarms(writes));
        }
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
            let stored = if cleared { Vec::new() } else { store.stored(&list, deleted).await? };
            Ok(list.overlay(stored, pending))
        })
    }

    /// The stored entries of `list`, and `more` than its limit.
    async fn stored(&self, list: &List, more: usize) -> Result<Vec<(String, Bytes)>, Error> {
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

impl<H: Host> Settles for Store<H> {
    type Host = H;

    fn host(&self) -> &Rc<H> {
        &self.host
    }

    fn settle(&self, batch: Settling, is_durable: bool) {
        let Settling { logged, alarms, logs } = batch;
        self.log.borrow_mut().settle(&logged);
        match alarms {
            Some(pending) if is_durable => self.with_alarms(|book| book.durable(&pending)),
            Some(_) => self.with_alarms(AlarmBook::unload),
            None => {}
        }
        if let Some(logs) = logs {
            logs.settled(is_durable);
        }
        self.in_flight.set(self.in_flight.get() - 1);
        if self.is_settled() {
            self.waiting.take().into_iter().for_each(Waker::wake);
        }
    }
}

/// The storage in the hands of the user's code, which may hold it longer than its activation lasts.
pub(in crate::driver) struct StorePort<H: Host> {
    store: Rc<Store<H>>,
    activation: Activation,
    outbox: Option<Rc<dyn Outbox>>,
}

/// The logs of an object, for its transactions.
pub(in crate::driver) trait Outbox {
    /// Waits until these logs are there for one transaction alone.
    fn reserve(&self, topics: BTreeSet<LogTopic>) -> LocalFuture<Result<Box<dyn LogReservation>, Error>>;
}

impl<H: Host> StorePort<H> {
    /// Where an App has left out the storage, nothing behind this is in its program.
    pub(in crate::driver) fn new_port(
        store: &Rc<Store<H>>,
        activation: Activation,
        outbox: Option<Rc<dyn Outbox>>,
    ) -> Rc<dyn StoragePort> {
        if !Storage::ON {
            unreachable!("without the feature `storage` there is no `Context::storage`");
        }
        Rc::new(Self { store: Rc::clone(store), activation, outbox })
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

    fn reserve_logs(&self, topics: BTreeSet<LogTopic>) -> LocalFuture<Result<Box<dyn LogReservation>, Error>> {
        self.refused().unwrap_or_else(|| match &self.outbox {
            Some(outbox) => outbox.reserve(topics),
            None => Box::pin(async {
                Err(Error::new(
                    Kind::NoLog,
                    "a Replica keeps no log: publish in a transaction of the Group, whose Group::log keeps one",
                ))
            }),
        })
    }

    fn commit(
        &self,
        writes: StorageWrites,
        reads: Vec<(u64, TransactionRead)>,
        logs: Option<Box<dyn LogReservation>>,
    ) -> Result<Option<LocalFuture<Result<(), Error>>>, Error> {
        self.activation.check()?;
        self.store.commit(writes, &reads, logs)
    }

    fn log_records(
        &self,
        keys: (Bound<Vec<u8>>, Bound<Vec<u8>>),
        most: usize,
        reverse: bool,
    ) -> LocalFuture<Result<Vec<(Bytes, Bytes)>, Error>> {
        let order = if reverse { Order::Descending } else { Order::Ascending };
        let Store { host, object, .. } = &*self.store;
        self.refused().unwrap_or_else(|| host.read_range(*object, Space::Log, keys, Some(most), order))
    }

    fn delete_all(&self) -> LocalFuture<Result<(), Error>> {
        if let Some(refused) = self.refused() {
            return refused;
        }
        self.store.delete_all().unwrap_or_else(|error| Box::pin(async { Err(error) }))
    }

    fn load_alarms(&self) -> Option<LocalFuture<Result<(), Error>>> {
        self.refused().or_else(|| self.store.load_alarms())
    }

    fn alarm(&self, name: &str) -> Result<Option<Timestamp>, Error> {
        self.activation.check()?;
        Ok(self.store.with_alarms(|book| book.due(name)))
    }

    fn alarms(&self, list: &List) -> Result<Vec<(String, Timestamp)>, Error> {
        self.activation.check()?;
        Ok(self.store.with_alarms(|book| book.list(list)))
    }
}
