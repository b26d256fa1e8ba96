//! When a client has taken everything that was queued for it: for sockets that are sent what they have missed.

use std::collections::HashMap;

use dog::SocketId;
use tokio::sync::oneshot;

/// The sockets whose clients are waited for. They are few or none.
#[derive(Default)]
pub(super) struct Awaited(HashMap<SocketId, Vec<oneshot::Sender<()>>>);

impl Awaited {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Completes when nobody waits for the socket any more.
    pub(super) fn wait(&mut self, socket: SocketId) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.0.entry(socket).or_default().push(sender);
        receiver
    }

    /// Nobody waits for the socket any more.
    pub(super) fn end(&mut self, socket: SocketId) {
        if !self.is_empty() {
            // A sender that is dropped wakes its receiver.
            self.0.remove(&socket);
        }
    }
}
