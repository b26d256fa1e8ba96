//! Every figure that is measured. Processor time is that of the servers unless the name says otherwise.

use crate::harness::sample::Figure;

const fn figure(key: &'static str, title: &'static str, digits: usize) -> Figure {
    Figure { key, title, digits }
}

// Messages: of all nodes together.
/// Processor time per delivery.
pub const CPU: Figure = figure("cpu", "CPU per delivery, µs", 3);
/// The share of it in user mode.
pub const USER: Figure = figure("user", "in user mode, %", 0);
/// Processor time of the load generator per delivery.
pub const OWN_CPU: Figure = figure("own_cpu", "load generator, µs", 3);
/// Deliveries per second, in thousands.
pub const RATE: Figure = figure("rate", "thousand deliveries/s", 0);
/// Bytes that clients receive per delivery.
pub const BYTES: Figure = figure("bytes", "bytes per delivery", 0);
/// The share of deliveries that are compressed.
pub const COMPRESSED: Figure = figure("compressed", "compressed, %", 0);
/// Latency of a delivery, from when its message was due.
pub const P50: Figure = figure("p50", "p50, µs", 0);
/// Latency of a delivery, from when its message was due.
pub const P99: Figure = figure("p99", "p99, µs", 0);
/// Latency of a delivery, from when its message was due.
pub const P999: Figure = figure("p999", "p99.9, µs", 0);
/// Latency of the last delivery of a message.
pub const LAST_P50: Figure = figure("last_p50", "last delivery, p50, µs", 0);
/// Latency of the last delivery of a message.
pub const LAST_P99: Figure = figure("last_p99", "last delivery, p99, µs", 0);

// Messages: in a cluster.
/// Processor time of nodes and broker per delivery.
pub const CPU_WITH_BROKER: Figure = figure("cpu_with_broker", "with the broker", 2);
/// Processor time of the nodes per message.
pub const MESSAGE_CPU: Figure = figure("message_cpu", "CPU of nodes", 1);
/// Processor time of nodes and broker per message.
pub const MESSAGE_CPU_WITH_BROKER: Figure = figure("message_cpu_with_broker", "with the broker", 0);
/// Processor time of the nodes per message with 32 in flight.
pub const MESSAGE_CPU_MANY: Figure = figure("message_cpu_many", "nodes, 32 in flight", 1);
/// Processor time of the broker per message.
pub const BROKER_CPU: Figure = figure("broker_cpu", "broker's CPU", 1);
/// Messages between nodes per message of a client.
pub const NODE_MESSAGES: Figure = figure("node_messages", "node messages", 3);
/// Bytes from nodes to the broker per message.
pub const BYTES_IN: Figure = figure("bytes_in", "bytes to the broker", 0);
/// Bytes from the broker to nodes per message.
pub const BYTES_OUT: Figure = figure("bytes_out", "bytes from it", 0);
/// KB from nodes to the broker per socket that connects.
pub const KB_PER_SOCKET: Figure = figure("kb_per_socket", "KB to it per new socket", 1);
/// Replicas per node.
pub const REPLICAS: Figure = figure("replicas", "Replicas per node", 0);
/// Latency of a delivery at the sender's node.
pub const SAME_NODE_P50: Figure = figure("same_node_p50", "same node p50", 0);
/// Latency of a delivery at the sender's node.
pub const SAME_NODE_P99: Figure = figure("same_node_p99", "same node p99", 0);
/// Latency of a delivery at another node than the sender's.
pub const OTHER_NODE_P50: Figure = figure("other_node_p50", "other node p50", 0);
/// Latency of a delivery at another node than the sender's.
pub const OTHER_NODE_P99: Figure = figure("other_node_p99", "other node p99", 0);

// Clients that connect and leave.
/// Processor time per client.
pub const CONNECT_CPU: Figure = figure("connect_cpu", "CPU per visit, µs", 1);
/// Clients per second.
pub const CONNECT_RATE: Figure = figure("connect_rate", "visits/s", 0);
/// Processor time of the load generator per client.
pub const CONNECT_OWN_CPU: Figure = figure("connect_own_cpu", "load generator, µs", 1);
/// Clients that resumed a session of TLS.
pub const RESUMED: Figure = figure("resumed", "sessions resumed, %", 0);
/// Time per client.
pub const CONNECT_TIME: Figure = figure("connect_time", "time per connect, 8 at once, µs", 0);

// Publications.
/// Publications that are stored per second.
pub const PUBLICATION_RATE: Figure = figure("publication_rate", "publications/s", 0);
/// Processor time per publication.
pub const PUBLICATION_CPU: Figure = figure("publication_cpu", "CPU per publication, µs", 1);
/// How long all sockets took to get what they had missed.
pub const RESUME_TIME: Figure = figure("resume_time", "until all have it, ms", 0);
/// Processor time per socket that resumes.
pub const RESUME_CPU: Figure = figure("resume_cpu", "CPU per socket, µs", 1);

// Intervals.
/// Ticks of one object per second, the mean of all objects.
pub const TICK_RATE: Figure = figure("tick_rate", "ticks/s of an object", 3);
/// Ticks per second of the object that ticked least.
pub const TICK_RATE_SLOWEST: Figure = figure("tick_rate_slowest", "of the slowest", 1);
/// Processor time, of one processor.
pub const CORE: Figure = figure("core", "CPU, % of one core", 2);
/// Processor time per tick.
pub const TICK_CPU: Figure = figure("tick_cpu", "CPU per tick, µs", 2);

// Memory.
/// Resident memory per idle socket.
pub const RESIDENT: Figure = figure("resident", "bytes per socket", 0);
/// Resident memory per idle socket, after objects hibernated.
pub const RESIDENT_HIBERNATED: Figure = figure("resident_hibernated", "bytes per socket, hibernated", 0);

// A client that reads nothing.
/// p99 of the others while it is there, divided by p99 before.
pub const SLOW: Figure = figure("slow", "p99 with it ÷ without", 2);
/// p99 before it came.
pub const P99_WITHOUT: Figure = figure("p99_without", "p99 without, µs", 0);
/// p99 while it is there.
pub const P99_WITH: Figure = figure("p99_with", "p99 with, µs", 0);
/// Processor time per delivery before it came.
pub const CPU_WITHOUT: Figure = figure("cpu_without", "CPU without, µs", 3);
/// Processor time per delivery while it is there.
pub const CPU_WITH: Figure = figure("cpu_with", "CPU with, µs", 3);
/// Whether the server closed it.
pub const CLOSED: Figure = figure("closed", "it was closed (1 = yes)", 0);
