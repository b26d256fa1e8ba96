//! What happens when something is dropped: [`Guard`].

use std::cell::RefCell;
use std::rc::Weak;

use dog_engine::host::SeatGuard;
use worker::send::SendWrapper;

use crate::host::Host;

type Act = Box<dyn FnOnce(&Host)>;

/// Does something to its host when it is dropped, unless it was disarmed before. An isolate has one thread, so what
/// the engine's types ask of threads holds by itself.
pub(crate) struct Guard(SendWrapper<(Weak<Host>, RefCell<Option<Act>>)>);

impl Guard {
    pub(crate) fn new(host: &Weak<Host>, act: impl FnOnce(&Host) + 'static) -> Self {
        Self(SendWrapper((Weak::clone(host), RefCell::new(Some(Box::new(act))))))
    }
}

impl SeatGuard for Guard {
    fn disarm(&self) {
        drop(self.0.0.1.take());
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let (host, act) = &self.0.0;
        let Some(act) = act.take() else { return };
        // In a turn of its own: the object may be in the midst of something.
        let host = Weak::clone(host);
        crate::turns::spawn(async move {
            if let Some(host) = host.upgrade() {
                act(&host);
            }
        });
    }
}
