//! One life's storage: what an object has written and the disk has not yet, and what has changed since a transaction
//! began.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use bytes::Bytes;
use dog::internal::{Committed, Kind, Read};
use dog::port::{LocalFuture, StoragePort};
use dog::{Epoch, Error, List};

use crate::address::Object;
use crate::host::{Batch, Host, Space};

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
}

impl<H: Host> Store<H> {
    pub(super) fn new(host: Rc<H>, object: Object, epoch: Epoch) -> Rc<Self> {
        Rc::new(Self {
            host,
            object,
            epoch,
            ended: Cell::new(false),
            version: Cell::new(0),
            written: RefCell::default(),
            floor: Cell::new(0),
            pending: RefCell::default(),
        })
    }

    /// From now on nothing is written any more: the life is over.
    pub(super) fn end(&self) {
        self.ended.set(true);
    }

    fn new_version(&self) -> u64 {
        self.version.set(self.version.get() + 1);
        self.version.get()
    }

    /// Whether something that was read at `version` has been written since.
    fn has_changed(&self, version: u64, read: &Read) -> bool {
        if version == self.version.get() {
            return false;
        }
        if version < self.floor.get() {
            return true;
        }
        let written = self.written.borrow();
        match read {
            Read::Key(key) => written.get(key).is_some_and(|at| *at > version),
            Read::Range(list) => written.iter().any(|(key, at)| *at > version && list.contains(key)),
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

    /// The disk has them, or will not: what was written later to the same keys stays.
    fn settle(&self, keys: &[String], version: u64) {
        let mut pending = self.pending.borrow_mut();
        for key in keys {
            if pending.get(key).is_some_and(|(at, _)| *at == version) {
                pending.remove(key);
            }
        }
    }

    fn alive(&self) -> Result<(), Error> {
        if self.ended.get() { Err(Error::new(Kind::Closed, "this life of the object is over")) } else { Ok(()) }
    }

    fn commit_now(
        self: &Rc<Self>,
        writes: BTreeMap<String, Option<Bytes>>,
        reads: &[(u64, Read)],
    ) -> Result<Option<LocalFuture<Result<(), Error>>>, Error> {
        self.alive()?;
        if reads.iter().any(|(version, read)| self.has_changed(*version, read)) {
            return Ok(None);
        }
        if writes.is_empty() {
            return Ok(Some(Box::pin(async { Ok(()) })));
        }
        let version = self.note(&writes);
        let keys: Vec<String> = writes.keys().cloned().collect();
        let entries = writes.into_iter().map(|(key, value)| (key.into_bytes(), value)).collect();
        let batch = Batch { space: Space::User, entries, ..Batch::default() };
        let done = self.host.write(self.object, self.epoch, batch);
        let this = Rc::clone(self);
        Ok(Some(Box::pin(async move {
            let done = done.await;
            this.settle(&keys, version);
            done
        })))
    }

    fn this(&self) -> &Self {
        self
    }
}

/// The port, which a handler's futures can hold.
pub(super) struct StorePort<H: Host>(pub(super) Rc<Store<H>>);

impl<H: Host> StoragePort for StorePort<H> {
    fn get(&self, key: &str) -> LocalFuture<Result<Option<Bytes>, Error>> {
        if let Some((_, value)) = self.0.pending.borrow().get(key).cloned() {
            return Box::pin(async { Ok(value) });
        }
        self.0.host.read(self.0.object, Space::User, key.as_bytes().to_vec())
    }

    fn list(&self, list: List) -> LocalFuture<Result<Vec<(String, Bytes)>, Error>> {
        let store = Rc::clone(&self.0);
        // Writes on their way may take entries away: then more than the limit must be read.
        let pending: BTreeMap<String, Option<Bytes>> = {
            let pending = store.pending.borrow();
            pending
                .iter()
                .filter(|(key, _)| list.contains(key))
                .map(|(key, (_, value))| (key.clone(), value.clone()))
                .collect()
        };
        Box::pin(async move {
            let this = store.this();
            let most = list.most().map(|most| most + pending.len());
            let (start, end) = list.bounds();
            let kept = this.host.read_range(this.object, Space::User, (start, end), most, list.is_reverse()).await?;
            let mut entries = BTreeMap::new();
            for (key, value) in kept {
                let key = String::from_utf8(key.to_vec())
                    .map_err(|cause| Error::caused(Kind::Storage, "a stored key is damaged", cause))?;
                entries.insert(key, value);
            }
            list.overlay(&mut entries, &pending);
            Ok(list.cut(entries))
        })
    }

    fn version(&self) -> u64 {
        self.0.version.get()
    }

    fn commit(
        &self,
        writes: BTreeMap<String, Option<Bytes>>,
        reads: Vec<(u64, Read)>,
    ) -> LocalFuture<Result<Committed, Error>> {
        let commit = self.0.commit_now(writes, &reads);
        Box::pin(async move {
            match commit? {
                Some(done) => done.await.map(|()| Committed::Yes),
                None => Ok(Committed::Conflict),
            }
        })
    }

    fn delete_all(&self) -> LocalFuture<Result<(), Error>> {
        if let Err(error) = self.0.alive() {
            return Box::pin(async { Err(error) });
        }
        // Every transaction that has begun is to be run anew.
        self.0.floor.set(self.0.new_version());
        self.0.written.borrow_mut().clear();
        self.0.pending.borrow_mut().clear();
        let batch = Batch { space: Space::User, delete_all: true, ..Batch::default() };
        self.0.host.write(self.0.object, self.0.epoch, batch)
    }
}
