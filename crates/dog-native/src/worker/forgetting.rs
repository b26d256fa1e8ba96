//! What a worker of a cluster's node need not know for good: ways that nobody takes, and objects that have left memory.
//! Both are found again as they were found at first.

use std::time::Duration;

use dog_engine::address::Object;

use super::Worker;
use super::abroad::{Abroad, Route};

/// How long something is kept that is not used, at least, where objects stay in memory for good.
const KEPT: Duration = Duration::from_secs(60);

impl Worker {
    /// Each second. What was used neither since the last look nor before goes.
    pub(super) fn forget_unused(&self) {
        let Some(abroad) = &self.abroad else { return };
        let left = abroad.forgets_in.get();
        if left > 0 {
            return abroad.forgets_in.set(left - 1);
        }
        abroad.forgets_in.set(self.shared.config.hibernate_after.unwrap_or(KEPT).as_secs());
        abroad.forget_ways();
        self.release_objects(abroad);
    }

    fn release_objects(&self, abroad: &Abroad) {
        let groups = self.groups.borrow();
        let replicas = self.replicas.borrow();
        abroad.held.borrow_mut().retain(|object, held| {
            let lives = match object {
                Object::Group(address) => groups.contains_key(address),
                Object::Replica(address) => replicas.contains_key(address),
            };
            if lives || self.settling.is_busy_with(*object) || std::mem::take(&mut held.used) {
                return true;
            }
            abroad.routes.borrow_mut().remove(object);
            abroad.joined.ports.directory.release(*object, held.claim);
            false
        });
    }
}

impl Abroad {
    fn forget_ways(&self) {
        self.routes.borrow_mut().retain(|_, route| match route {
            Route::Known { used, .. } => used.replace(false),
            Route::Sought { .. } => true,
        });
    }
}
