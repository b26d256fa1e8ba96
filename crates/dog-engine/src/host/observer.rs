//! What a host counts, logs and supervises. All methods have defaults that do nothing.

use std::time::Duration;

use dog::{Epoch, Failure, OverRate, SocketId};

/// Observation of the engine by its host.
pub trait HostObserver {
    /// Called for events that a host may count.
    fn occurred(&self, occurrence: Occurrence<'_>) {
        let _ = occurrence;
    }
    /// Whether one more event of this kind may be logged. Clients can cause such events at will, so a host can limit them:
    /// see [`Repeats`](crate::repeats::Repeats).
    fn may_log(&self, kind: &'static str) -> bool {
        let _ = kind;
        true
    }
    /// The thread runs code of this life from now on, or engine code if `None`. Returns the previous value. A host can use
    /// this to find an object that blocks its thread.
    fn runs(&self, life: Option<Epoch>) -> Option<Epoch> {
        let _ = life;
        None
    }
}

/// An event that a host may count. See [`HostObserver::occurred`].
#[derive(Clone, Copy, Debug)]
pub enum Occurrence<'a> {
    /// A handler, or a task of the engine, has to wait for something.
    Waits,
    /// A handler or task that had to wait has ended. The time is from its first wait to its end.
    Waited(Duration),
    /// A task of the user begins. It may last as long as its object's life, so it is not counted among those that
    /// [wait](Self::Waits).
    TaskBegins,
    /// A task of the user has ended.
    TaskEnded,
    /// A Replica has a new event stream, which has a seat. Its number is that of no WebSocket.
    StreamOpened(SocketId),
    /// An event stream has ended and has no seat any more. One of a life that crashes ends with the life.
    StreamEnded(SocketId),
    /// A typed call has come to a Group.
    CallBegins,
    /// It has its reply, if `ok`. Otherwise its caller gets an error, or the life of the Group is over.
    CallEnded {
        /// Whether it has its reply.
        ok: bool,
    },
    /// A client has sent a message over the rate of its socket.
    OverRate(OverRate),
    /// A function of the user has returned an error. The engine has logged it.
    Failed {
        /// The name of the function.
        handler: &'static str,
        /// The error.
        cause: &'a Failure,
    },
    /// A function of the user has panicked, with this text.
    Panicked(&'a str),
}
