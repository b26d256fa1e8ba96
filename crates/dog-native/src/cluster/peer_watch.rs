//! Detects that another node no longer answers, while something is forwarded to it.
//!
//! The cluster reports the end of a node. But it does not notice a node that only this one can no longer reach. Nor
//! does a connection with forwarded bytes show that, because the Replica may be busy and read nothing for a while. So
//! there is one more connection to each such node. No bytes are ever sent on it, and the kernels probe it. When it
//! breaks, everything that this worker forwards to the node ends.

use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use dog::Response;
use dog::http::{HeaderValue, StatusCode, header};
use dog_engine::address::NodeId;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;

use super::headers::{HEAD, WATCH};
use super::node::Node;
use super::peer_auth::{SILENCE, connect};

/// Notifies its receivers when a node is given up.
type Ended = Rc<watch::Sender<()>>;

/// The nodes that this worker forwards something to.
#[derive(Clone)]
pub(crate) struct PeerWatch {
    node: Arc<Node>,
    watched: Watched,
}

/// A receiver of the news that a node is given up.
#[derive(Clone)]
pub(crate) struct PeerAlive(watch::Receiver<()>);

impl PeerWatch {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node, watched: Watched::default() }
    }

    /// Watches a node for as long as the result is held. Call it before looking up the node's address. Otherwise the
    /// node's end may have been reported already.
    pub(crate) fn watch(&self, peer: NodeId) -> PeerAlive {
        let (alive, first) = self.watched.subscribe(peer);
        if let Some(ended) = first {
            tokio::task::spawn_local(probe(self.watched.clone(), Arc::clone(&self.node), peer, ended));
        }
        alive
    }

    /// Gives up a node whose end the cluster has reported.
    pub(crate) fn gone(&self, peer: NodeId) {
        self.watched.give_up(peer);
    }
}

impl PeerAlive {
    /// Completes when the node is given up.
    pub(crate) async fn ends(&mut self) {
        // An error means that the worker has ended.
        let _ = self.0.changed().await;
    }
}

/// The watched nodes, each with the sender that reports its end.
#[derive(Clone, Default)]
struct Watched(Rc<RefCell<HashMap<NodeId, Ended>>>);

impl Watched {
    /// Subscribes to the end of a node. If the node was not watched before, also returns the sender.
    fn subscribe(&self, peer: NodeId) -> (PeerAlive, Option<Ended>) {
        let mut watched = self.0.borrow_mut();
        match watched.get(&peer) {
            Some(ended) => (PeerAlive(ended.subscribe()), None),
            None => {
                let ended = Rc::new(watch::Sender::new(()));
                watched.insert(peer, Rc::clone(&ended));
                (PeerAlive(ended.subscribe()), Some(ended))
            }
        }
    }

    fn give_up(&self, peer: NodeId) {
        if let Some(ended) = self.0.borrow_mut().remove(&peer) {
            ended.send_replace(());
        }
    }

    /// Stops watching a node that nothing is forwarded to any more. Returns whether nothing is.
    fn remove_unused(&self, peer: NodeId, ended: &Ended) -> bool {
        let mut watched = self.0.borrow_mut();
        let is_unused = ended.receiver_count() == 0;
        if is_unused && watched.get(&peer).is_some_and(|known| Rc::ptr_eq(known, ended)) {
            watched.remove(&peer);
        }
        is_unused
    }
}

/// Keeps the connection open for as long as something is forwarded to that node.
async fn probe(watched: Watched, node: Arc<Node>, peer: NodeId, ended: Ended) {
    let mut breaks = pin!(breaks(&node, peer));
    loop {
        tokio::select! {
            breaks = &mut breaks => {
                if breaks {
                    tracing::debug!(node = %peer, "a node that sockets or requests are forwarded to is silent");
                    watched.give_up(peer);
                }
                return;
            }
            () = ended.closed() => if watched.remove_unused(peer, &ended) {
                return;
            }
        }
    }
}

/// Completes with `true` when the other node is silent, and at once with `false` if its release does not know this
/// request.
async fn breaks(node: &Node, peer: NodeId) -> bool {
    let Ok(stream) = connect(node, peer).await else { return true };
    // Unlike on other connections, a busy reader cannot delay bytes here.
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(stream.tcp()).set_tcp_user_timeout(Some(SILENCE));
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let Ok((mut sender, connection)) = handshake else { return true };
    tokio::task::spawn_local(connection.with_upgrades());
    let mut request = hyper::Request::new(dog::Body::empty());
    request.headers_mut().insert(HEAD, WATCH);
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("dog"));
    request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    request.headers_mut().insert(header::UPGRADE, WATCH);
    match sender.send_request(request).await {
        Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
            if let Ok(upgraded) = hyper::upgrade::on(response).await {
                end_of(upgraded).await;
            }
            true
        }
        Ok(_) => false,
        Err(_) => true,
    }
}

/// Answers another node's request to be watched. Returns `None` for any other request.
pub(super) fn accept(request: &mut hyper::Request<hyper::body::Incoming>) -> Option<Response> {
    if request.headers().get(HEAD) != Some(&WATCH) {
        return None;
    }
    let upgrade = hyper::upgrade::on(request);
    tokio::task::spawn_local(async move {
        if let Ok(upgraded) = upgrade.await {
            end_of(upgraded).await;
        }
    });
    let mut response = Response::new(dog::Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(header::UPGRADE, WATCH);
    Some(response)
}

/// Completes when the connection ends. Nothing is ever sent on it, so any result of the read means that.
async fn end_of(upgraded: hyper::upgrade::Upgraded) {
    let _ = TokioIo::new(upgraded).read(&mut [0]).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn what_goes_to_a_node_that_is_given_up_ends_and_nothing_else() {
        let watched = Watched::default();
        let [one, other] = [1, 2].map(NodeId::from_raw);
        let watch = |node| watched.subscribe(node).0;
        let (mut first, mut second, mut elsewhere) = (watch(one), watch(one), watch(other));
        watched.give_up(one);
        first.ends().await;
        second.ends().await;
        assert!(elsewhere.ends().now_or_never().is_none());
        assert!(watch(one).ends().now_or_never().is_none(), "a new watch of the same node has ended already");
    }

    #[tokio::test]
    async fn a_node_is_watched_once_for_as_long_as_something_is_forwarded_there() {
        let (watched, node) = (Watched::default(), NodeId::from_raw(1));
        let (first, ended) = watched.subscribe(node);
        let (second, again) = watched.subscribe(node);
        let ended = ended.expect("nothing was forwarded there before");
        assert!(again.is_none() && !watched.remove_unused(node, &ended));
        drop((first, second));
        ended.closed().await;
        assert!(watched.remove_unused(node, &ended) && watched.0.borrow().is_empty());
        let (third, ended_later) = watched.subscribe(node);
        drop(third);
        assert!(watched.remove_unused(node, &ended), "the old watch is still in use");
        assert!(!watched.0.borrow().is_empty() && ended_later.is_some());
    }
}
