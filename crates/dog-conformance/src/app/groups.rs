//! The Groups of the test App.

#[cfg(doc)]
use super::class::named_replica;
use super::class::{EightSeats, FiftySeats, FillsFirst, NamedReplicas, OneSeat, ShortTimes, SlowToBegin, TwoSeats};
use super::room::ClassGroup;

/// One seat per Replica, so that every client needs another Replica.
pub type Single = ClassGroup<OneSeat>;
/// Two seats per Replica.
pub type Pair = ClassGroup<TwoSeats>;
/// Eight seats per Replica, so that Replicas can differ in room.
pub type Octet = ClassGroup<EightSeats>;
/// Fifty seats per Replica, so that a whole scenario fits on one.
pub type Hall = ClassGroup<FiftySeats>;
/// Four seats per Replica, of which each is full before the next one is used, three per client, and durable logs. Some clients get a
/// Replica that is named after them and has a [rate of messages](dog::Replica::message_rate).
pub type Match = ClassGroup<FillsFirst>;
/// Eight seats per Replica, and times so short that a scenario can wait for them.
pub type Brief = ClassGroup<ShortTimes>;
/// Two seats per Replica, and Replicas named after the client for which they are created: [`named_replica`]. The Group has a presence
/// with a grace time of 10 s, which Replicas follow and tell to their sockets.
pub type Named = ClassGroup<NamedReplicas>;

/// Eight seats per Replica. In each Group, the first call of `activate` and of `clusterize` never returns.
pub type Slow = ClassGroup<SlowToBegin>;
