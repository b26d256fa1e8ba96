//! When a client has taken everything that was queued for it: for sockets that are sent what they have missed.

use std::collections::HashMap;
use std::future::ready;

use dog::SocketId;
use dog::internal::LocalFuture;
use futures_util::FutureExt;
use tokio::sync::oneshot;

use super::super::outbox::KEEPING;
use super::super::record::Phase;
use super::{Connections, place};

/// The sockets whose clients are waited for. They are few or none.
#[derive(Default)]
pub(super) struct Awaited(HashMap<SocketId, Vec<oneshot::Sender<()>>>);

impl Awaited {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Nobody waits for the socket any more.
    pub(super) fn end(&mut self, socket: SocketId) {
        if !self.is_empty() {
            // A sender that is dropped wakes its receiver.
            self.0.remove(&socket);
        }
    }
}

impl Connections {
    /// Returns the sockets that have not taken the last message and stay open.
    pub(crate) fn take_dropped(&mut self) -> Vec<SocketId> {
        std::mem::take(&mut self.dropped)
    }

    /// Returns whether so little is queued for a socket that it counts as one that keeps up even with a message of this many bytes
    /// more.
    pub(crate) fn takes(&mut self, socket: SocketId, bytes: usize) -> bool {
        self.leave_fan_out(socket);
        let most = self.max_outbox / 4;
        let waiting = self.get(socket).map_or(0, |connection| connection.outbox.weight());
        waiting == 0 || waiting + bytes + KEEPING <= most
    }

    /// Completes when nothing is queued for a socket, or it is not open any more.
    pub(crate) fn drained(&mut self, socket: SocketId) -> LocalFuture<()> {
        self.leave_fan_out(socket);
        if self.get(socket).is_none_or(|connection| connection.phase != Phase::Open || !connection.outbox.waits()) {
            return Box::pin(ready(()));
        }
        let (sender, receiver) = oneshot::channel();
        self.awaited.0.entry(socket).or_default().push(sender);
        Box::pin(receiver.map(drop))
    }

    /// Tells those who wait for a connection that its queue was written.
    #[cold]
    pub(super) fn tell_drained(&mut self, at: usize) {
        if let Some(socket) = self.at(at)
            && self.slab.get(place(socket)).is_some_and(|connection| !connection.outbox.waits())
        {
            self.awaited.end(socket);
        }
    }
}
