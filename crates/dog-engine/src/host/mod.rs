//! What a host provides to the engine, and the objects that it drives in return.
//!
//! A host decides how bytes move, how time passes and where entries are stored. The engine decides what is sent, to whom and
//! when. [`Host`] is split by purpose:
//!
//! - [`Scheduler`]: the clock, timers and tasks
//! - [`Transport`]: calls, casts and requests between objects
//! - [`SocketHost`]: the open WebSockets of the Replicas that live here, and their seats
//! - [`ObjectStorage`]: entries and alarms of objects
//! - [`Lifecycle`]: where a Replica is created, and the end of a life
//! - [`HostObserver`]: what a host counts, logs and supervises
//! - [`HostProfile`]: what a host does and does not do, as plain values
//!
//! [`GroupObject`] and [`ReplicaObject`] are the other direction: how a host delivers events to an object.

mod lifecycle;
mod object;
mod observer;
mod profile;
mod scheduler;
mod sockets;
mod storage;
mod transport;

use dog::Env;

use crate::address::ClassIndex;

pub use lifecycle::Lifecycle;
pub use object::{GroupObject, ObjectStatus, ReplicaObject};
pub use observer::{HostObserver, Occurrence};
pub use profile::{HostProfile, LivenessChecks, SlowStreams, StreamLimits};
pub use scheduler::Scheduler;
pub use sockets::{End, KeptSocket, Readiness, SeatGuard, SocketHost};
pub use storage::{AlarmChange, Batch, ObjectStorage, Order, Space, SpaceWrites};
pub use transport::{CallPermits, Fetched, Transport};

/// An environment in which objects live: a worker thread, a Workers isolate, or one node of a simulation.
///
/// No method calls back into an object before it returns. Events that follow from a call reach the object in a later turn
/// of the host's event loop.
pub trait Host: Scheduler + Transport + SocketHost + ObjectStorage + Lifecycle + HostObserver + 'static {
    /// What this host does and does not do. The values do not change while the host runs.
    fn profile(&self) -> HostProfile;
    /// The environment that the user passed to the host.
    fn env(&self) -> &Env;
    /// The index of the Group class with this name, or `None` if the App has no such Group.
    fn class(&self, name: &str) -> Option<ClassIndex>;
}
