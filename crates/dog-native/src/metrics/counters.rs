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
    accepted, "dog_connections_accepted_total", "Connections taken from outside.";
    refused, "dog_connections_refused_total", "Connections refused, their address having too many.";
    objects_refused, "dog_objects_refused_total", "New rooms and Replicas refused, there being max_objects.";
    requests, "dog_requests_total", "Requests from outside that were answered, WebSocket handshakes among them.";
    requests_failed, "dog_requests_failed_total", "Requests from outside that were answered with a status of 500 or more.";
    sockets_opened, "dog_sockets_opened_total", "WebSockets that have got their connection.";
    messages_received, "dog_messages_received_total", "Messages that clients sent.";
    bytes_received, "dog_socket_received_bytes_total", "Bytes read from WebSocket connections.";
    messages_sent, "dog_messages_sent_total", "Messages that objects gave to sockets here, each counted once whatever the number of sockets.";
    deliveries, "dog_deliveries_total", "Messages queued for a socket, each counted for every socket.";
    deliveries_dropped, "dog_deliveries_dropped_total", "Messages dropped because too much waited for their socket.";
    bytes_sent, "dog_socket_sent_bytes_total", "Bytes written to WebSocket connections.";
    sockets_compressed, "dog_sockets_compressed_total", "WebSockets that have got their connection and take messages compressed.";
    messages_compressed, "dog_messages_compressed_total", "Messages that were compressed, those among them that got no smaller and went plain.";
    bytes_to_compress, "dog_compression_plain_bytes_total", "Bytes of their frames before.";
    bytes_compressed, "dog_compression_sent_bytes_total", "Bytes of their frames as they go out.";
    slow_consumers, "dog_slow_consumers_total", "Sockets closed with 1013 because too much waited for them.";
    reads_paused, "dog_reads_paused_total", "Times that reading stopped because the socket's handler was busy and enough had been read ahead.";
    mail_refused, "dog_mail_refused_total", "Calls refused and messages dropped because too much waited for the worker of their object.";
    failures, "dog_handler_failures_total", "Handlers that returned an error, App::fetch among them.";
    panics, "dog_handler_panics_total", "Handlers that panicked.";
    alarms, "dog_alarms_rung_total", "Alarms that rang, those after a failure among them.";
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
