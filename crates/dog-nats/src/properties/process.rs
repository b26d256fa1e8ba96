//! One process of a run: a node with its own clock, and an application that owns objects, writes and rings alarms.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use dog::{Epoch, Error, Timestamp};
use dog_engine::address::{ClassIndex, NodeId, Object};
use dog_engine::host::{AlarmChange, Batch, Space};
use dog_native::cluster::{Owner, Read, Storage, Versions, claim_of};
use futures_util::stream::Pending;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::log::{Actor, Log, Value};
use super::setting::{Profile, Run, names, objects};
use crate::bus::{Arrived, Bus};
use crate::clock::LeaseClock;
use crate::events::Events;
use crate::life::Life;
use crate::ownership::Ownership;
use crate::parts::Parts;
use crate::storage::NatsStorage;
use crate::stream::MessageStream;
use crate::stream::fake::{FakeClient, Suspension};

const VERSIONS: Versions = Versions { oldest: 1, newest: 1 };
/// The pause before a node tries to join again.
const JOIN_AGAIN_AFTER: Duration = Duration::from_secs(1);
const ACTS_EVERY: Duration = Duration::from_millis(50);

/// A bus on which no bundle arrives. The application sends none.
struct NoBus;

impl Bus for NoBus {
    type Subscription = Pending<Arrived>;

    fn is_connected(&self) -> bool {
        true
    }

    async fn publish(&self, _: String, _: u64, _: Bytes) -> Result<(), String> {
        Ok(())
    }

    async fn flush(&self) -> Result<(), String> {
        Ok(())
    }

    async fn subscribe(&self, _: String) -> Result<Self::Subscription, String> {
        Ok(futures_util::stream::pending())
    }
}

/// What the node has reported to the application.
#[derive(Debug, Default)]
struct Heard {
    alarms: Mutex<BTreeMap<Object, Timestamp>>,
}

impl Heard {
    fn alarms(&self) -> MutexGuard<'_, BTreeMap<Object, Timestamp>> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Events for Heard {
    fn joined(&self, _: NodeId) {}

    fn lost(&self) {}

    fn gone(&self, _: NodeId) {}

    fn alarm(&self, object: Object, _: &str, at: Option<Timestamp>) {
        match at {
            Some(at) => drop(self.alarms().insert(object, at)),
            None => drop(self.alarms().remove(&object)),
        }
    }

    fn messages(&self, _: &[u8]) {}
}

/// A process. Dropping it kills it. Only requests that it has already sent go on.
pub(super) struct Process {
    suspension: Suspension,
    is_cut_off: Arc<AtomicBool>,
    parts: Parts,
    _tasks: JoinSet<()>,
}

impl Process {
    pub(super) fn start(run: &Run, profile: &Profile, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let (suspension, is_cut_off) = (Suspension::new(), Arc::<AtomicBool>::default());
        let client = |stream| -> Arc<dyn MessageStream> {
            Arc::new(FakeClient::new(Arc::clone(stream), suspension.clone(), Arc::clone(&is_cut_off)))
        };
        let (leases, objects) = (client(run.leases()), client(run.objects()));
        // The clock is up to 15 % too fast or too slow.
        let clock = LeaseClock::simulated(Duration::from_secs(random.u64(0..100_000)), 0.85 + 0.3 * random.f64());
        let heard = Arc::<Heard>::default();
        let events: Arc<dyn Events> = heard.clone();
        let parts = Parts::new(names(), leases, objects, events, clock, Handle::current());
        let application = Application {
            ownership: parts.ownership(VERSIONS),
            storage: NatsStorage::new(Arc::clone(&parts.objects), parts.names.clone(), Arc::clone(&parts.writes)),
            parts: parts.clone(),
            heard,
            suspension: suspension.clone(),
            log: run.log(),
            profile: profile.clone(),
            began: run.began(),
            owned: Arc::default(),
            random: random.fork(),
            written: 0,
        };
        let witness = Witness {
            parts: parts.clone(),
            owned: Arc::clone(&application.owned),
            suspension: suspension.clone(),
            log: run.log(),
        };
        let lease = profile.lease;
        let watcher = Arc::new(parts.member_watcher());
        let (follower, alarms) = (Arc::clone(&watcher), parts.alarm_follower());
        let mut tasks = JoinSet::new();
        tasks.spawn(live(parts.clone(), profile.clone(), random));
        tasks.spawn(async move { follower.follow().await });
        tasks.spawn(async move { watcher.end_overdue_leases(lease).await });
        tasks.spawn(async move { alarms.follow().await });
        tasks.spawn(application.run());
        tasks.spawn(witness.run());
        Self { suspension, is_cut_off, parts, _tasks: tasks }
    }

    pub(super) fn suspend(&self, suspended: bool) {
        self.suspension.set(suspended);
    }

    pub(super) fn cut_off(&self, is_cut_off: bool) {
        self.is_cut_off.store(is_cut_off, Ordering::Relaxed);
    }

    /// Returns the node id of this process, if it has a lease.
    pub(super) fn node(&self) -> Option<NodeId> {
        self.parts.identity.may_act().then(|| self.parts.identity.node())
    }

    pub(super) fn caretaker(&self, object: Object) -> NodeId {
        self.parts.members.caretaker(object)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Stops the tasks that the node has started itself.
        self.suspension.set(true);
    }
}

async fn live(parts: Parts, profile: Profile, mut random: fastrand::Rng) {
    let node = crate::life::Profile { address: ([127, 0, 0, 1], 1).into(), versions: VERSIONS, lease: profile.lease };
    let new_id = Box::new(move || Ok(NodeId::from_raw(random.u64(1..))));
    let mut life = Life::new(NoBus, parts, node, new_id);
    loop {
        if let Ok(joined) = life.join().await {
            return life.run(joined).await;
        }
        sleep(JOIN_AGAIN_AFTER).await;
    }
}

/// The claims of a process, and the node id under which it made each.
#[derive(Debug, Default)]
struct Owned(Mutex<BTreeMap<Object, (NodeId, u64)>>);

impl Owned {
    fn all(&self) -> MutexGuard<'_, BTreeMap<Object, (NodeId, u64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, object: Object) -> Option<(NodeId, u64)> {
        self.all().get(&object).copied()
    }
}

/// Acts for all objects of a process whenever it may, even while the application waits.
struct Witness {
    parts: Parts,
    owned: Arc<Owned>,
    suspension: Suspension,
    log: Arc<Mutex<Log>>,
}

impl Witness {
    async fn run(self) {
        loop {
            sleep(ACTS_EVERY).await;
            self.suspension.over().await;
            let me = self.parts.identity.node();
            // Like a worker, it checks the lease immediately before it acts.
            if !self.parts.identity.may_act() {
                continue;
            }
            let at = Instant::now();
            let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            for (object, (node, claim)) in self.owned.all().iter().filter(|(_, (node, _))| *node == me) {
                log.acts += 1;
                log.last_acts.insert(Actor { object: *object, node: *node, claim: *claim }, at);
            }
        }
    }
}

/// Owns objects and handles one event after the other, as a worker of a server does.
struct Application {
    parts: Parts,
    ownership: Ownership,
    storage: NatsStorage,
    heard: Arc<Heard>,
    suspension: Suspension,
    log: Arc<Mutex<Log>>,
    profile: Profile,
    began: Instant,
    owned: Arc<Owned>,
    random: fastrand::Rng,
    written: u64,
}

impl Application {
    async fn run(mut self) {
        loop {
            sleep(Duration::from_millis(self.random.u64(20..400))).await;
            self.suspension.over().await;
            self.ring_alarms().await;
            let all = objects(self.profile.objects);
            let object = all[self.random.usize(0..all.len())];
            if !self.own(object).await {
                continue;
            }
            if self.random.f64() < self.profile.writes {
                self.write_something(object).await;
            } else if self.random.f64() < self.profile.releases
                && let Some((_, claim)) = self.forget(object)
                && let Some(last) = self.ownership.release(object, claim)
            {
                self.ownership.delete_claim(object, last).await;
            }
        }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(u64::try_from(self.began.elapsed().as_millis()).expect("a short run"))
    }

    fn forget(&self, object: Object) -> Option<(NodeId, u64)> {
        self.owned.all().remove(&object)
    }

    /// Finds the object's owner, and claims the object if it has none. Returns whether this node owns it.
    async fn own(&self, object: Object) -> bool {
        let me = self.parts.identity.node();
        if self.owned.get(object).is_some_and(|(node, _)| node == me) {
            return true;
        }
        self.forget(object);
        if let Ok(Owner::Here(claim)) = self.ownership.find(object, true).await {
            self.owned.all().insert(object, (self.parts.identity.node(), claim));
            return true;
        }
        false
    }

    /// Writes a value. Sometimes waits for the answer, and sometimes sets an alarm.
    async fn write_something(&mut self, object: Object) {
        let Some((_, claim)) = self.owned.get(object) else { return };
        self.written += 1;
        let value = Value { claim, number: self.written };
        let alarm = (self.random.f64() < self.profile.alarms)
            .then(|| AlarmChange::Set(self.now() + Duration::from_millis(self.random.u64(500..5_000))));
        let waits = alarm.is_some() || self.random.bool();
        let key = vec![self.random.u8(0..3)];
        let subject = self.parts.names.entry(object, Space::User, &key);
        let entries = vec![(key, Some(value.text().into()))];
        let batch = Batch { alarm, ..Batch::of_entries(Space::User, entries) };
        let written = self.write(object, claim, batch, Some((subject, value)));
        if waits {
            let _ = written.await;
        }
    }

    fn write(
        &self,
        object: Object,
        claim: u64,
        batch: Batch,
        value: Option<(String, Value)>,
    ) -> oneshot::Receiver<Result<(), Error>> {
        let (done, written) = oneshot::channel();
        let log = Arc::clone(&self.log);
        // The epoch of the claim's first life, as the native host numbers them.
        let epoch = Epoch::from_raw(claim << 20 | 1);
        assert_eq!(claim_of(epoch), claim);
        let done = Box::new(move |outcome: Result<(), Error>| {
            if outcome.is_ok() {
                log.lock().unwrap_or_else(PoisonError::into_inner).acknowledged.extend(value);
            }
            let _ = done.send(outcome);
        });
        self.storage.write(object, epoch, "lobby", batch, done);
        written
    }

    /// Rings the due alarms of the objects that this node owns or of which it is the caretaker.
    async fn ring_alarms(&mut self) {
        let now = self.now();
        let due: Vec<Object> =
            self.heard.alarms().iter().filter(|(_, at)| **at <= now).map(|(object, _)| *object).collect();
        for heard in due {
            let object = heard.of_class(ClassIndex(0));
            let me = self.parts.identity.node();
            let is_ours = self.owned.get(object).is_some_and(|(node, _)| node == me);
            if !is_ours && self.parts.members.caretaker(object) != me {
                continue;
            }
            if self.own(object).await {
                self.ring(object).await;
            }
        }
    }

    async fn ring(&mut self, object: Object) {
        let Some((_, claim)) = self.owned.get(object) else { return };
        let Read::Later(read) = self.storage.alarm(object) else { return };
        let Ok(Some(at)) = read.await else { return };
        if at > self.now() || !self.parts.identity.may_act() {
            return;
        }
        self.log().rings.push((object, at.as_millis()));
        let batch = Batch::of_alarm(AlarmChange::Clear);
        let _ = self.write(object, claim, batch, None).await;
    }
}
