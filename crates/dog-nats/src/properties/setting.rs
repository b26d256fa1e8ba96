//! What a run is made of: its profile, what its processes share, and its objects.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dog::GroupId;
use dog_engine::address::{ClassIndex, GroupAddress, Object};
use tokio::time::Instant;

use super::log::Log;
use crate::names::Names;
use crate::stream::fake::{FakeStream, Weather};

/// A fault of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mishap {
    /// A process is suspended, as if its machine slept.
    Suspend,
    /// A process cannot reach NATS.
    CutOff,
    /// A process is killed, and another one is started.
    Kill,
    /// A stream loses its leader and has none for some time.
    ChangeLeader,
}

/// The kind of a run.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    pub(super) mishaps: Vec<Mishap>,
    /// `None`: the seed determines it.
    pub(super) weather: Option<Weather>,
    pub(super) objects: u32,
    pub(super) lease: Duration,
    /// The probability that an owned object is written to.
    pub(super) writes: f64,
    /// The probability that a write sets an alarm.
    pub(super) alarms: f64,
    /// The probability that an object without a write is released.
    pub(super) releases: f64,
}

impl Profile {
    pub(super) fn of(mishaps: &[Mishap]) -> Self {
        let lease = Duration::from_secs(5);
        Self { mishaps: mishaps.to_vec(), weather: None, objects: 4, lease, writes: 0.5, alarms: 0.2, releases: 0.1 }
    }
}

/// What the processes of a run share.
pub(super) struct Run {
    leases: Arc<FakeStream>,
    objects: Arc<FakeStream>,
    log: Arc<Mutex<Log>>,
    began: Instant,
}

impl Run {
    pub(super) fn new(leases: Arc<FakeStream>, objects: Arc<FakeStream>) -> Self {
        Self { leases, objects, log: Arc::default(), began: Instant::now() }
    }

    pub(super) fn leases(&self) -> &Arc<FakeStream> {
        &self.leases
    }

    pub(super) fn objects(&self) -> &Arc<FakeStream> {
        &self.objects
    }

    pub(super) fn log(&self) -> Arc<Mutex<Log>> {
        Arc::clone(&self.log)
    }

    pub(super) fn began(&self) -> Instant {
        self.began
    }
}

pub(super) fn names() -> Names {
    Names::new("dog").expect("a prefix")
}

pub(super) fn objects(count: u32) -> Vec<Object> {
    let group = |number: u32| GroupId::from_name("lobby", &number.to_string());
    (0..count).map(|number| Object::Group(GroupAddress { class: ClassIndex(0), group: group(number) })).collect()
}
