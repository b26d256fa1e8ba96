//! What a host does and does not do.

use std::time::Duration;

/// Properties of a host that the engine adapts to. They are constant for the life of the host.
///
/// The default is a server process: it keeps objects in memory for ever, announces its shutdown, reads the storage of every
/// object, and checks liveness with timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostProfile {
    /// How long an object may be idle before it hibernates. `None`: never. Zero: after every event.
    pub hibernate_after: Option<Duration>,
    /// Whether the host calls [`GroupObject::goodbye`](super::GroupObject::goodbye) before it shuts down. If not, the engine
    /// neither stores nor reads the clients' last Replicas.
    pub announces_shutdown: bool,
    /// Whether [`read_range`](super::ObjectStorage::read_range) and [`alarm`](super::ObjectStorage::alarm) work for every
    /// object, from every object. If not, a Group cannot find out which of its Replicas store nothing, and remembers all
    /// of them.
    pub reads_other_objects: bool,
    /// When Groups and Replicas check on each other.
    pub liveness: LivenessChecks,
    /// What may wait for the client of one event stream.
    pub streams: StreamLimits,
    /// The longest time in which a graceful shutdown closes the sockets.
    pub drains_within: Duration,
    /// Whether a Group stays in memory for as long as it keeps something there. If not, it cannot keep a log in memory: all are
    /// durable.
    pub keeps_groups_in_memory: bool,
}

/// What may wait for the client of one event stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// In bytes, with 64 for each message.
    pub max_waiting: usize,
    /// What happens to a client for which more would wait.
    pub slow: SlowStreams,
}

impl StreamLimits {
    /// 1 MiB, then the stream is closed with 1013.
    pub const DEFAULT: Self = Self { max_waiting: 1 << 20, slow: SlowStreams::Close };
}

/// What happens to an event stream whose client does not read fast enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowStreams {
    /// It is closed with 1013.
    Close,
    /// The message is dropped.
    DropNewest,
}

/// When Groups and Replicas check whether the other side is still alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LivenessChecks {
    /// By timers, also while nothing happens. A Group that wakes takes a census of all its members at once.
    Timed,
    /// Only when a client has to be placed or found. This is for hosts where a timer keeps its object in memory and every
    /// call is paid for. Correctness does not suffer: a new life of a Replica reports all its seats to its Group anyway,
    /// and changes that are not urgent are reported together within 1 s.
    OnDemand,
}

impl LivenessChecks {
    /// Whether timers are used.
    pub const fn are_timed(self) -> bool {
        matches!(self, Self::Timed)
    }
}

impl HostProfile {
    /// The properties of a server process.
    pub const SERVER: Self = Self {
        hibernate_after: None,
        announces_shutdown: true,
        reads_other_objects: true,
        liveness: LivenessChecks::Timed,
        streams: StreamLimits::DEFAULT,
        drains_within: Duration::from_secs(10),
        keeps_groups_in_memory: true,
    };
}

impl Default for HostProfile {
    fn default() -> Self {
        Self::SERVER
    }
}
