//! Counters and histograms, each used by one thread.

use std::cell::Cell;
use std::time::Duration;

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(Cell<u64>);

impl Counter {
    pub(crate) fn add(&self, more: usize) {
        self.0.set(self.0.get().wrapping_add(more as u64));
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }
}

/// A number that grows and shrinks.
#[derive(Debug, Default)]
pub(crate) struct Gauge(Cell<usize>);

impl Gauge {
    pub(crate) fn more(&self) {
        self.0.set(self.0.get() + 1);
    }

    pub(crate) fn less(&self) {
        self.0.set(self.0.get() - 1);
    }

    pub(crate) fn get(&self) -> usize {
        self.0.get()
    }
}

/// What a worker has now.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    pub(crate) event_streams: Gauge,
    /// Calls to Groups that have not ended.
    pub(crate) calls: Gauge,
}

/// Declares the counters of a worker, each with its name and its help text.
macro_rules! counters {
    ($($field:ident, $name:literal, $help:literal;)*) => {
        /// The counters of one worker.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(#[doc = $help] pub(crate) $field: Counter,)*
        }

        impl Counters {
            /// Names and help texts, in the order of [`Counters::values`].
            pub(crate) const NAMES: &'static [(&'static str, &'static str)] = &[$(($name, $help)),*];

            pub(crate) fn values(&self) -> Vec<u64> {
                vec![$(self.$field.0.get()),*]
            }
        }
    };
}

counters! {
    accepted, "dog_connections_accepted_total", "Connections accepted from clients.";
    refused, "dog_connections_refused_total", "Connections refused, because their address or the process had too many.";
    connections_too_fast, "dog_connections_over_rate_total", "Connections refused at the limit connections_per_address.";
    tls_handshakes, "dog_tls_handshakes_total", "TLS handshakes that were completed.";
    tls_resumed, "dog_tls_resumed_total", "Of these, those that resumed a session.";
    tls_failed, "dog_tls_handshakes_failed_total", "TLS handshakes that failed or were not completed in time, and clients that did not speak TLS.";
    nodes_refused, "dog_cluster_connections_refused_total", "Connections to the address for other nodes that did not prove to come from one.";
    objects_refused, "dog_objects_refused_total", "New rooms and Replicas refused at the limit max_objects.";
    groups_too_many, "dog_groups_over_rate_total", "New rooms refused at the limit groups_per_address.";
    requests, "dog_requests_total", "Requests from clients that were answered, including WebSocket handshakes.";
    requests_too_many, "dog_requests_too_many_total", "Requests that were answered with 429: over a limit per address or per client, or by the App.";
    requests_failed, "dog_requests_failed_total", "Requests from clients that were answered with a status of 500 or more.";
    sockets_opened, "dog_sockets_opened_total", "WebSockets that were opened.";
    upgrades_refused, "dog_upgrades_refused_total", "Of these, those that the App has refused: they were closed at once.";
    messages_received, "dog_messages_received_total", "Messages that clients sent.";
    messages_delayed, "dog_messages_delayed_total", "Messages that waited because their socket sent faster than message_rate.";
    messages_over_rate, "dog_messages_over_rate_dropped_total", "Messages dropped because their socket sent faster than message_rate.";
    sockets_over_rate, "dog_sockets_over_rate_total", "Sockets closed with 1008 because they sent faster than message_rate.";
    bytes_received, "dog_socket_received_bytes_total", "Bytes read from WebSocket connections.";
    messages_sent, "dog_messages_sent_total", "Messages that objects sent to sockets of this worker, each counted once whatever the number of sockets.";
    deliveries, "dog_deliveries_total", "Messages queued for sockets, each counted once per socket.";
    deliveries_dropped, "dog_deliveries_dropped_total", "Messages dropped because too much was queued for their socket.";
    bytes_sent, "dog_socket_sent_bytes_total", "Bytes written to WebSocket connections.";
    sockets_compressed, "dog_sockets_compressed_total", "WebSockets that were opened and take compressed messages.";
    messages_compressed, "dog_messages_compressed_total", "Messages that were compressed, including those that did not get smaller and were sent uncompressed.";
    bytes_to_compress, "dog_compression_plain_bytes_total", "Bytes of the frames of these messages before compression.";
    bytes_compressed, "dog_compression_sent_bytes_total", "Bytes of the frames of these messages as they are sent.";
    slow_consumers, "dog_slow_consumers_total", "Sockets closed with 1013 because too much was queued for them.";
    reads_paused, "dog_reads_paused_total", "Times that reading paused because the socket's handler was busy and the limit of reading ahead was reached.";
    mail_refused, "dog_mail_refused_total", "Calls refused and messages dropped because too much was queued for the worker of their object.";
    failures, "dog_handler_failures_total", "Handlers that returned an error, including App::fetch.";
    panics, "dog_handler_panics_total", "Handlers that panicked.";
    calls, "dog_calls_total", "Calls that came to Groups, for their on_call.";
    calls_failed, "dog_calls_failed_total", "Calls to Groups that have ended without a reply.";
    alarms, "dog_alarms_rung_total", "Objects that were woken because alarms were due, including retries.";
}

/// A histogram of durations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Times {
    /// How many durations were at most the bound at the same index, and longer than the bound before it. The last entry
    /// counts the durations above all bounds.
    pub(crate) counts: [u64; Self::BOUNDS.len() + 1],
    pub(crate) sum: Duration,
}

impl Times {
    /// In seconds.
    pub(crate) const BOUNDS: [f64; 15] =
        [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

    /// Counts one more duration.
    pub fn note(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        let place = Self::BOUNDS.partition_point(|bound| *bound < seconds);
        self.counts[place] += 1;
        self.sum += took;
    }
}
