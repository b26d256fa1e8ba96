//! An action that happens when a value is dropped: [`DropGuard`].

use std::cell::RefCell;
use std::rc::Weak;

use dog_engine::host::SeatGuard;
use worker::send::SendWrapper;

use crate::host::WorkersHost;

type Action = Box<dyn FnOnce(&WorkersHost)>;

/// Runs an action on its host when it is dropped, unless it was disarmed before. An isolate has one thread, so the engine's
/// requirement `Send` holds by itself.
pub(crate) struct DropGuard(SendWrapper<(Weak<WorkersHost>, RefCell<Option<Action>>)>);

impl DropGuard {
    pub(crate) fn new(host: &Weak<WorkersHost>, action: impl FnOnce(&WorkersHost) + 'static) -> Self {
        Self(SendWrapper((Weak::clone(host), RefCell::new(Some(Box::new(action))))))
    }
}

impl SeatGuard for DropGuard {
    fn disarm(&self) {
        drop(self.0.0.1.take());
    }
}

impl Drop for DropGuard {
    fn drop(&mut self) {
        let (host, action) = &self.0.0;
        let Some(action) = action.take() else { return };
        // A task of its own, because the object may be in the middle of a handler.
        let host = Weak::clone(host);
        crate::spawn::spawn(async move {
            if let Some(host) = host.upgrade() {
                action(&host);
            }
        });
    }
}
