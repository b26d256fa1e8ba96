//! [`Sockets`]: the connections of one worker, and the queues of those that must be read. The module `reading` reads
//! them.

mod reading;

use std::cell::{Cell, Ref, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dog::internal::LocalFuture;
use dog::{Close, CloseCode, Message, SocketId};
use dog_engine::StreamBacklog;
use dog_engine::address::GroupAddress;
use dog_engine::host::{End, ReplicaObject};
use dog_engine::seats::Audience;
use mio::Events;

use super::backpressure::Backpressure;
use super::lagging_streams::{Found, LaggingStreams};
use super::outbound::Outbound;
use super::turn_state::TurnState;
use crate::connection::{Connections, Phase, moment};
use crate::mail::{Attach, Mail, TurnedAway};
use crate::metrics::counters::Counters;
use crate::repeats::seldom;
use crate::shared::Shared;
use crate::websocket::Inflater;

/// Sends and writes everything that is queued, in the middle of a turn.
pub(super) trait WriteOut {
    fn write_out(&self);
}

/// How often the connections' [`moment`] is updated. It need not be exact.
const MOMENT: Duration = Duration::from_millis(50);

/// The sockets of one worker.
pub(super) struct Sockets {
    shared: Arc<Shared>,
    counters: Rc<Counters>,
    turn: Rc<TurnState>,
    outbound: Rc<Outbound>,
    connections: RefCell<Connections>,
    /// Decompresses messages of clients.
    inflater: RefCell<Inflater>,
    /// The buffer that all connections are read into, one after the other.
    scratch: RefCell<Vec<u8>>,
    /// Sockets with new bytes, in the order of the events.
    fresh: RefCell<VecDeque<SocketId>>,
    /// Sockets that used up their share of a turn and have more to read. They are read after `fresh`.
    again: RefCell<VecDeque<SocketId>>,
    /// Sockets whose handler has ended.
    resumed: RefCell<VecDeque<SocketId>>,
    /// Event streams that lag. They are not in the table of connections.
    lagging_streams: RefCell<LaggingStreams>,
    backpressure: Backpressure,
    /// When `moment` must be updated.
    next_moment: Cell<Instant>,
}

impl Sockets {
    pub(super) fn new(
        shared: Arc<Shared>,
        counters: Rc<Counters>,
        turn: Rc<TurnState>,
        outbound: Rc<Outbound>,
        connections: Connections,
    ) -> Self {
        Self {
            shared,
            counters,
            turn,
            outbound,
            connections: RefCell::new(connections),
            inflater: RefCell::default(),
            scratch: RefCell::new(vec![0; 64 * 1024]),
            fresh: RefCell::default(),
            again: RefCell::default(),
            resumed: RefCell::default(),
            lagging_streams: RefCell::default(),
            backpressure: Backpressure::default(),
            next_moment: Cell::new(Instant::now()),
        }
    }

    /// Updates the moment at the beginning of a turn.
    pub(super) fn begin_turn(&self) {
        let now = self.turn.began();
        if now >= self.next_moment.get() {
            self.connections.borrow_mut().moment = moment(self.shared.uptime_at(now));
            self.next_moment.set(now + MOMENT);
        }
    }

    /// Does the work of each second.
    pub(super) fn tick(&self) {
        self.connections.borrow_mut().tick(&self.shared.config);
    }

    /// Handles the kernel's events.
    pub(super) fn handle(&self, events: &Events) {
        for event in events {
            let place = event.token().0;
            let mut connections = self.connections.borrow_mut();
            let Some(socket) = connections.at(place) else { continue };
            if event.is_writable() {
                connections.writable(socket);
            }
            let Some(connection) = connections.get(socket) else { continue };
            let hung_up = event.is_read_closed() || event.is_error();
            connection.hung_up |= hung_up;
            if !(event.is_readable() || hung_up) {
                continue;
            }
            connection.readable = true;
            // The client's last messages wait until the handler has ended. But that the client is gone is noted now.
            if connection.hung_up && connection.has_read_ahead() {
                connections.lose(socket);
            } else if !connection.awaits_turn && !connection.held_back {
                connection.awaits_turn = true;
                self.fresh.borrow_mut().push_back(socket);
            }
        }
    }

    /// Creates a socket for a client whose connection is attached later.
    pub(super) fn insert(&self, replica: Option<Rc<dyn ReplicaObject>>) -> SocketId {
        self.connections.borrow_mut().insert(replica)
    }

    /// Gives a socket its connection.
    pub(super) fn attach(&self, attach: Attach) {
        let Attach { socket, transport, unread, lane, permit } = attach;
        if let Err(error) = self.connections.borrow_mut().attach(socket, transport, &unread, lane, permit) {
            seldom!(error, "a connection could not be taken over", "a connection could not be taken over: {error}");
        }
        // No event reports bytes that arrived with the handshake.
        self.read_again(socket);
    }

    /// Closes a connection that belongs to no Replica.
    pub(super) fn turn_away(&self, refused: TurnedAway) {
        let TurnedAway { close, transport, unread, lane, permit } = refused;
        let socket = self.insert(None);
        self.attach(Attach { socket, transport, unread, lane, permit });
        self.close(socket, close.code(), close.reason());
        self.counters.upgrades_refused.one();
    }

    /// Removes a socket whose connection is gone or was never established.
    pub(super) fn lose(&self, socket: SocketId) {
        self.connections.borrow_mut().lose(socket);
    }

    pub(super) fn deliver(&self, message: &Message, sockets: &[SocketId], except: &[SocketId]) -> usize {
        let taken = self.connections.borrow_mut().deliver(&self.shared.config, message, sockets, except);
        self.turn.queued();
        taken
    }

    pub(super) fn deliver_to_all(&self, message: &Message, audience: &Audience<'_>, except: &[SocketId]) -> usize {
        let taken = self.connections.borrow_mut().deliver_to_all(&self.shared.config, message, audience, except);
        self.turn.queued();
        taken
    }

    pub(super) fn close(&self, socket: SocketId, code: CloseCode, reason: &str) {
        self.connections.borrow_mut().close(socket, code, reason);
        self.turn.queued();
    }

    /// Queues a socket whose handler has ended, so that it is read.
    pub(super) fn resume(&self, socket: SocketId) {
        self.resumed.borrow_mut().push_back(socket);
        self.turn.queued();
    }

    pub(super) fn attachment(&self, socket: SocketId) -> Option<Bytes> {
        self.connections.borrow_mut().attachment(socket)
    }

    pub(super) fn set_attachment(&self, socket: SocketId, attachment: Bytes) {
        self.connections.borrow_mut().set_attachment(socket, attachment);
    }

    /// Returns a socket whose handler has ended, to be passed to [`resumes`](Self::resumes).
    pub(super) fn take_resumed(&self) -> Option<SocketId> {
        self.resumed.borrow_mut().pop_front()
    }

    /// Returns a socket that has ended. Its Replica must be told.
    pub(super) fn take_ended(&self) -> Option<(SocketId, Rc<dyn ReplicaObject>, End)> {
        self.connections.borrow_mut().ended.pop_front()
    }

    /// The Replica of a socket that has ended was told.
    pub(super) fn forget_ended(&self, socket: SocketId) {
        self.connections.borrow_mut().forget_end(socket);
    }

    pub(super) fn any_ended(&self) -> bool {
        !self.connections.borrow().ended.is_empty()
    }

    /// Returns whether work is left for the next turn.
    pub(super) fn has_work(&self) -> bool {
        !self.resumed.borrow().is_empty()
            || !self.fresh.borrow().is_empty()
            || !self.again.borrow().is_empty()
            || self.any_ended()
    }

    /// Returns whether so much is queued that it should be sent before the end of the turn.
    pub(super) fn is_full(&self) -> bool {
        self.outbound.is_full() || self.connections.borrow().is_full()
    }

    /// Writes what is queued. Returns whether all of it was offered to the kernel.
    pub(super) fn flush(&self) -> bool {
        self.connections.borrow_mut().flush()
    }

    /// To be called after writing. Tells the other workers which Groups lag, and releases sockets that were held back
    /// because of it.
    #[inline]
    pub(super) fn note_lag(&self) {
        let (has_news, any_lags) = {
            let connections = self.connections.borrow();
            (connections.has_lag_news(), connections.any_lags())
        };
        if has_news {
            self.tell_lag_news();
        }
        self.backpressure.schedule(any_lags || self.anyone_elsewhere_lags(), self.turn.began());
    }

    #[inline]
    fn anyone_elsewhere_lags(&self) -> bool {
        self.outbound.any_full() || self.backpressure.any_lags_elsewhere()
    }

    fn tell_lag_news(&self) {
        let news = self.connections.borrow_mut().take_lag_news();
        for (group, lags) in &news {
            let (group, lags, worker) = (*group, *lags, self.outbound.index());
            self.outbound.tell_others(|| Mail::Lags { group, worker, lags });
        }
        if news.iter().any(|(_, lags)| !lags) {
            self.let_go_on();
        }
    }

    /// Notes whether another worker has lagging sockets of a Group.
    pub(super) fn lags_elsewhere(&self, group: GroupAddress, worker: usize, lags: bool) {
        self.backpressure.lags_elsewhere(group, worker, lags);
        if !lags {
            self.let_go_on();
        }
    }

    /// Checks the sockets and workers that lag, if a check is due.
    pub(super) fn check_lagging(&self) {
        if !self.backpressure.begin_check(self.turn.began()) {
            return;
        }
        self.connections.borrow_mut().check_lagging(&self.shared.config);
        self.check_lagging_streams();
        self.outbound.check_full();
        // If a socket must still wait, it is held back again when it is read.
        self.let_go_on();
        let any_lags = self.connections.borrow().any_lags();
        self.backpressure.schedule(any_lags || self.anyone_elsewhere_lags(), self.turn.began());
    }

    /// Returns the sockets that have not taken the last message and stay open.
    pub(super) fn take_dropped(&self) -> Vec<SocketId> {
        self.connections.borrow_mut().take_dropped()
    }

    /// Returns whether a socket keeps up even with a message of this many bytes more.
    pub(super) fn takes(&self, socket: SocketId, bytes: usize) -> bool {
        self.connections.borrow_mut().takes(socket, bytes)
    }

    /// Completes when the client of a socket has taken everything.
    pub(super) fn drained(&self, socket: SocketId) -> LocalFuture<()> {
        self.connections.borrow_mut().drained(socket)
    }

    /// Holds back those who send to the Group until the client of an event stream has caught up, or is found to be slow.
    pub(super) fn stream_lags(&self, group: GroupAddress, backlog: StreamBacklog) {
        let number = self.lagging_streams.borrow_mut().insert(backlog);
        self.connections.borrow_mut().stream_lags(number, group);
        self.turn.queued();
    }

    /// The clients of some event streams that lag have caught up.
    pub(super) fn streams_caught_up(&self) {
        let (mut streams, mut connections) = (self.lagging_streams.borrow_mut(), self.connections.borrow_mut());
        for number in streams.take_caught_up() {
            connections.stream_lags_no_more(number);
        }
        self.turn.queued();
    }

    fn check_lagging_streams(&self) {
        let (mut streams, mut connections) = (self.lagging_streams.borrow_mut(), self.connections.borrow_mut());
        for (number, found) in streams.look() {
            if found == Found::CaughtUp {
                connections.stream_lags_no_more(number);
                streams.remove(number);
            } else if connections.check_stream(number, found == Found::Progress)
                && let Some(backlog) = streams.remove(number)
            {
                backlog.is_slow();
            }
        }
    }

    /// Completes when [`check_lagging`](Self::check_lagging) is due.
    pub(super) async fn check_is_due(&self) {
        self.backpressure.is_due().await;
    }

    /// Releases the sockets that were held back.
    pub(super) fn let_go_on(&self) {
        for socket in self.backpressure.take_held_back() {
            let mut connections = self.connections.borrow_mut();
            if let Some(connection) = connections.get(socket) {
                connection.held_back = false;
                drop(connections);
                self.read_again(socket);
            }
        }
    }

    pub(super) fn ids(&self) -> Vec<SocketId> {
        self.connections.borrow().ids()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.connections.borrow().len() == 0
    }

    /// Returns all connections, to be counted.
    pub(super) fn connections(&self) -> Ref<'_, Connections> {
        self.connections.borrow()
    }

    /// Closes a socket so that its client connects again, and tells the Replica that the socket has ended.
    pub(super) fn send_away(&self, socket: SocketId) {
        let mut connections = self.connections.borrow_mut();
        let Some(connection) = connections.get(socket).filter(|connection| connection.phase == Phase::Open) else {
            return;
        };
        if let Some(replica) = connection.replica.take() {
            let close = Close::new(CloseCode::RESTARTING, "");
            connections.note_end(socket, replica, End::Close(close));
        }
        connections.close(socket, CloseCode::RESTARTING, "the server restarts");
    }

    /// Drops the connections of all sockets with queued bytes, because objects that may no longer act have sent these
    /// bytes.
    pub(super) fn cut_off(&self) {
        let mut connections = self.connections.borrow_mut();
        for socket in connections.ids() {
            connections.leave_fan_out(socket);
            if connections.get(socket).is_some_and(|connection| connection.waiting() > 0) {
                connections.remove(socket);
            }
        }
    }
}
