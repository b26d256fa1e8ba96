//! Chooses the next NATS server when a connection fails.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::{ConnectOptions, ReconnectToServer, Server, ServerAddr};

/// The longest time for one attempt to connect to one server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Sets up a connection so that it is closed after three tenths of a lease without an answer. The client then connects
/// to another server.
pub(crate) fn detect_dead_connections(options: ConnectOptions, lease: Duration) -> ConnectOptions {
    let last: Arc<Mutex<Option<ServerAddr>>> = Arc::default();
    options
        // The client closes the connection when the third ping is due and the first one has no answer.
        .ping_interval(lease / 10)
        .connection_timeout(CONNECT_TIMEOUT.min(lease / 5))
        .reconnect_to_server_callback(move |servers, _| {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            let next = next_server(&servers, last.as_ref());
            last.clone_from(&next);
            async move { next.map(|addr| ReconnectToServer { addr, delay: None }) }
        })
}

/// Returns a random server among those that have failed least, but not the last one. `None` at first: then the client
/// tries all of them.
fn next_server(servers: &[Server], last: Option<&ServerAddr>) -> Option<ServerAddr> {
    let last = last.or(servers.iter().find(|server| server.did_connect).map(|server| &server.addr))?;
    let others = servers.iter().filter(|server| server.addr != *last);
    let least = others.clone().map(|server| server.failed_attempts).min();
    let best: Vec<&Server> = others.filter(|server| Some(server.failed_attempts) == least).collect();
    // The choice is random, so that nodes that lose the same server spread over the others.
    let any = getrandom::u32().unwrap_or_default() as usize;
    let chosen = best.get(any.checked_rem(best.len()).unwrap_or_default()).map(|server| &server.addr);
    Some(chosen.unwrap_or(last).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(port: u16, failed_attempts: usize, did_connect: bool) -> Server {
        let addr = format!("nats://127.0.0.1:{port}").parse().unwrap();
        Server { addr, failed_attempts, did_connect, is_discovered: false, last_error: None }
    }

    fn port(server: Option<ServerAddr>) -> Option<u16> {
        server.map(|server| server.port())
    }

    #[test]
    fn a_node_that_has_lost_a_server_tries_another_that_has_failed_least() {
        let fresh = [server(1, 0, false), server(2, 0, false)];
        assert_eq!(next_server(&fresh, None), None, "the client tries all of them at first");
        let lost = [server(1, 0, true), server(2, 3, true), server(3, 1, false)];
        assert_eq!(port(next_server(&lost[..2], None)), Some(2), "the first is the one that was lost");
        assert_eq!(port(next_server(&lost, Some(&lost[0].addr))), Some(3));
        assert_eq!(port(next_server(&lost, Some(&lost[2].addr))), Some(1));
        assert_eq!(port(next_server(&lost[..1], None)), Some(1), "there is only one");
    }
}
