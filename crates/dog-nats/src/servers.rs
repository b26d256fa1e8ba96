//! Which of several NATS servers a node speaks to. One that gives no answers is left for another: whether the network
//! loses what is sent to it, or it has lost the other servers and can decide nothing any more.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, ReconnectToServer, Server, ServerAddr};

use crate::connect::Settings;
use crate::jetstream::{Messages, context};
use crate::node::Node;

/// How long a connection to a server may take.
const CONNECTS: Duration = Duration::from_secs(2);
/// How long it takes until other servers are asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Has a dead connection noticed in three tenths of a lease, and the next one made to another server.
pub(crate) fn attentive(options: ConnectOptions, lease: Duration) -> ConnectOptions {
    let last: Arc<Mutex<Option<ServerAddr>>> = Arc::default();
    options
        // It is given up when the third would have to go and the first has had no answer.
        .ping_interval(lease / 10)
        .connection_timeout(CONNECTS.min(lease / 5))
        .reconnect_to_server_callback(move |servers, _| {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            let next = next(&servers, last.as_ref());
            last.clone_from(&next);
            async move { next.map(|addr| ReconnectToServer { addr, delay: None }) }
        })
}

/// Any but the one before, of those that have failed least; none at first, when all are tried.
fn next(servers: &[Server], last: Option<&ServerAddr>) -> Option<ServerAddr> {
    let last = last.or(servers.iter().find(|server| server.did_connect).map(|server| &server.addr))?;
    let others = servers.iter().filter(|server| server.addr != *last);
    let least = others.clone().map(|server| server.failed_attempts).min();
    let best: Vec<&Server> = others.filter(|server| Some(server.failed_attempts) == least).collect();
    // Nodes that lose the same server are to be spread over the others; which goes where is all the same.
    let any = getrandom::u32().unwrap_or_default() as usize;
    let chosen = best.get(any.checked_rem(best.len()).unwrap_or_default()).map(|server| &server.addr);
    Some(chosen.unwrap_or(last).clone())
}

/// Watches for as long as the node lives: where the lease should have been renewed long ago and is not, other servers are
/// asked. If one of them answers what this node's server does not, the node moves. While a new leader is chosen none
/// does, and it stays, lest letters be lost.
pub(crate) async fn watch(node: &Node, settings: &Settings) {
    // It is renewed when seven fifteenths are left.
    let late = settings.lease * 2 / 5;
    loop {
        let left = node.term.left();
        if left > late {
            tokio::time::sleep(left - late).await;
            continue;
        }
        if node.client.connection_state() == State::Connected && is_better_elsewhere(node, settings).await {
            tracing::warn!("this NATS server gives no answers, and another does: this node moves there");
            if let Err(error) = node.client.force_reconnect().await {
                tracing::error!("no way to another NATS server: {error}");
            }
        }
        tokio::time::sleep(AGAIN.min(settings.lease / 10)).await;
    }
}

async fn is_better_elsewhere(node: &Node, settings: &Settings) -> bool {
    let Ok(servers) = node.client.server_pool().await else { return false };
    for server in servers {
        let Ok(client) = settings.client_of(&server.addr).await else { continue };
        let is_another = client.server_info().server_id != node.client.server_info().server_id;
        if is_another && answers(node, client).await {
            return true;
        }
    }
    false
}

/// Whether that server knows the leader of the leases.
async fn answers(node: &Node, client: Client) -> bool {
    let leases = Messages::open(&context(&client), client.clone(), node.names.nodes()).await;
    let Ok(leases) = leases else { return false };
    leases.last(&node.names.secret()).await.is_ok()
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
    fn whoever_has_lost_a_server_tries_another_that_has_failed_least() {
        let fresh = [server(1, 0, false), server(2, 0, false)];
        assert_eq!(next(&fresh, None), None, "all are tried at first");
        let lost = [server(1, 0, true), server(2, 3, true), server(3, 1, false)];
        assert_eq!(port(next(&lost[..2], None)), Some(2), "the first is the one that was lost");
        assert_eq!(port(next(&lost, Some(&lost[0].addr))), Some(3));
        assert_eq!(port(next(&lost, Some(&lost[2].addr))), Some(1));
        assert_eq!(port(next(&lost[..1], None)), Some(1), "there is but one");
    }
}
