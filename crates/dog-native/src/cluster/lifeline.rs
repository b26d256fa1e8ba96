//! Whether another node lives that something is passed on to.
//!
//! One that has ended, and is known to have, is told of by the cluster. One that cannot be reached any more, though the
//! cluster hears of it, says nothing; nor does one whose Replica is busy and reads nothing of a socket for a while. So there
//! is one more connection to it, on which nothing is ever said: the kernels ask each other whether it is there. When it
//! breaks, all that this worker passes on there ends.

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
use tokio::time::timeout;

use super::Joined;
use super::peer::{ACQUAINTANCE, HEAD, SILENCE, connect};

/// In place of whom a request is for.
const LIFELINE: HeaderValue = HeaderValue::from_static("lifeline");

/// Nodes that something of this worker is passed on to. What goes to one of them ends when the cluster has given it up, or
/// nothing is heard of it.
#[derive(Clone, Default)]
pub(crate) struct Destinations(Rc<RefCell<HashMap<NodeId, Rc<watch::Sender<()>>>>>);

/// That a node has not been given up.
#[derive(Clone)]
pub(crate) struct Lasts(watch::Receiver<()>);

impl Destinations {
    /// To be asked for before it is looked up whether the node lives: else its end may have been told already.
    pub(crate) fn lasts(&self, joined: &Arc<Joined>, node: NodeId) -> Lasts {
        let (lasts, first) = self.subscribe(node);
        if let Some(ended) = first {
            tokio::task::spawn_local(hold(self.clone(), Arc::clone(joined), node, ended));
        }
        lasts
    }

    /// And what is to be told of it, if nothing was passed on there.
    fn subscribe(&self, node: NodeId) -> (Lasts, Option<Rc<watch::Sender<()>>>) {
        let mut destinations = self.0.borrow_mut();
        match destinations.get(&node) {
            Some(ended) => (Lasts(ended.subscribe()), None),
            None => {
                let ended = Rc::new(watch::Sender::new(()));
                destinations.insert(node, Rc::clone(&ended));
                (Lasts(ended.subscribe()), Some(ended))
            }
        }
    }

    pub(crate) fn gone(&self, node: NodeId) {
        if let Some(ended) = self.0.borrow_mut().remove(&node) {
            ended.send_replace(());
        }
    }

    /// Whether nothing is passed on there any more.
    fn forget_unused(&self, node: NodeId, ended: &Rc<watch::Sender<()>>) -> bool {
        let mut destinations = self.0.borrow_mut();
        let unused = ended.receiver_count() == 0;
        if unused && destinations.get(&node).is_some_and(|known| Rc::ptr_eq(known, ended)) {
            destinations.remove(&node);
        }
        unused
    }
}

impl Lasts {
    /// Ends when the node is given up.
    pub(crate) async fn ends(&mut self) {
        // An error says that the worker has ended.
        let _ = self.0.changed().await;
    }
}

/// Holds the connection for as long as something is passed on to that node.
async fn hold(destinations: Destinations, joined: Arc<Joined>, node: NodeId, ended: Rc<watch::Sender<()>>) {
    let mut breaks = pin!(breaks(&joined, node));
    loop {
        tokio::select! {
            breaks = &mut breaks => {
                if breaks {
                    tracing::debug!(%node, "nothing is heard of a node that sockets or requests are passed on to");
                    destinations.gone(node);
                }
                return;
            }
            () = ended.closed() => if destinations.forget_unused(node, &ended) {
                return;
            }
        }
    }
}

/// Ends when nothing is heard of that node any more; at once, and `false`, where it is of a release that knows nothing of
/// this.
async fn breaks(joined: &Joined, node: NodeId) -> bool {
    let Ok(Ok(stream)) = timeout(ACQUAINTANCE, connect(joined, node)).await else { return true };
    // Nothing waits here because nobody reads.
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(SILENCE));
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let Ok((mut sender, connection)) = handshake else { return true };
    tokio::task::spawn_local(connection.with_upgrades());
    let mut request = hyper::Request::new(dog::Body::empty());
    request.headers_mut().insert(HEAD, LIFELINE);
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("dog"));
    request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    request.headers_mut().insert(header::UPGRADE, LIFELINE);
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

/// The other side: whether a request is for that, and the answer.
pub(crate) fn take(request: &mut hyper::Request<hyper::body::Incoming>) -> Option<Response> {
    if request.headers().get(HEAD) != Some(&LIFELINE) {
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
    response.headers_mut().insert(header::UPGRADE, LIFELINE);
    Some(response)
}

/// Nothing is said on it: whatever comes is its end.
async fn end_of(upgraded: hyper::upgrade::Upgraded) {
    let _ = TokioIo::new(upgraded).read(&mut [0]).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn what_goes_to_a_node_that_is_given_up_ends_and_nothing_else() {
        let destinations = Destinations::default();
        let [one, other] = [1, 2].map(NodeId::from_raw);
        let lasts = |node| destinations.subscribe(node).0;
        let (mut first, mut second, mut elsewhere) = (lasts(one), lasts(one), lasts(other));
        destinations.gone(one);
        first.ends().await;
        second.ends().await;
        assert!(elsewhere.ends().now_or_never().is_none());
        assert!(lasts(one).ends().now_or_never().is_none(), "who is asked for anew is looked up anew");
    }

    #[tokio::test]
    async fn a_node_is_watched_once_for_as_long_as_something_is_passed_on_there() {
        let (destinations, node) = (Destinations::default(), NodeId::from_raw(1));
        let (first, watched) = destinations.subscribe(node);
        let (second, again) = destinations.subscribe(node);
        let watched = watched.expect("nothing was passed on there before");
        assert!(again.is_none() && !destinations.forget_unused(node, &watched));
        drop((first, second));
        watched.closed().await;
        assert!(destinations.forget_unused(node, &watched) && destinations.0.borrow().is_empty());
        let (third, watched_anew) = destinations.subscribe(node);
        drop(third);
        assert!(destinations.forget_unused(node, &watched), "it was watched for others");
        assert!(!destinations.0.borrow().is_empty() && watched_anew.is_some());
    }
}
