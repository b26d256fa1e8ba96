//! [`Parts`]: what the parts of one node share.

use std::sync::Arc;

use dog_native::cluster::Versions;
use tokio::runtime::Handle;

use crate::alarms::AlarmFollower;
use crate::clock::LeaseClock;
use crate::events::Events;
use crate::identity::Identity;
use crate::lease::LeaseStore;
use crate::leave::LeaveSignal;
use crate::members::{MemberWatcher, Members};
use crate::names::Names;
use crate::ownership::Ownership;
use crate::stream::MessageStream;
use crate::writes::Writes;

/// What the parts of one node share. It is created once, and each part takes what it needs.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) names: Names,
    pub(crate) leases: LeaseStore,
    pub(crate) objects: Arc<dyn MessageStream>,
    pub(crate) members: Arc<Members>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) writes: Arc<Writes>,
    pub(crate) events: Arc<dyn Events>,
    pub(crate) leave: Arc<LeaveSignal>,
}

impl Parts {
    /// Creates the parts of a node without a lease. Writes run on `runtime`.
    pub(crate) fn new(
        names: Names,
        leases: Arc<dyn MessageStream>,
        objects: Arc<dyn MessageStream>,
        events: Arc<dyn Events>,
        clock: LeaseClock,
        runtime: Handle,
    ) -> Self {
        let identity = Arc::new(Identity::new(clock));
        let writes = Writes::new(Arc::clone(&objects), names.clone(), Arc::clone(&identity), runtime);
        Self {
            leases: LeaseStore::new(leases, names.clone()),
            names,
            objects,
            members: Arc::default(),
            identity,
            writes,
            events,
            leave: Arc::default(),
        }
    }

    /// Returns the [`Ownership`] of a node that supports these protocol versions.
    pub(crate) fn ownership(&self, versions: Versions) -> Ownership {
        let Self { names, leases, objects, members, identity, writes, .. } = self.clone();
        Ownership::new(objects, names, leases, members, identity, versions, writes)
    }

    pub(crate) fn member_watcher(&self) -> MemberWatcher {
        let Self { leases, members, identity, events, .. } = self.clone();
        MemberWatcher::new(leases, members, identity, events)
    }

    pub(crate) fn alarm_follower(&self) -> AlarmFollower {
        let Self { names, objects, events, .. } = self.clone();
        AlarmFollower::new(objects, names, events)
    }
}
