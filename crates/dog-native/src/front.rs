//! Where requests come in: HTTP/1.1 by hyper, and the hand-over of an upgraded connection to its Replica's thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Write;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dog::http::header::SEC_WEBSOCKET_EXTENSIONS;
use dog::{Body, Request, Response};
use dog_engine::Upgrade;
use dog_engine::handshake::{self, Deflate};
use dog_engine::request::check;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tracing::Instrument;

use crate::config::Config;
use crate::connection::{Lane, Stream};
use crate::descriptors::Descriptors;
use crate::pace::{self, Answering, Client, Pace, Times};
use crate::passing::{PassTimes, Passage, between};
use crate::repeats::seldom;
use crate::worker::{Attach, Mail, Shared, Worker};

/// What is told who comes while there are too many connections: of that address, or for the process.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// After how much silence the kernel asks whether a client is there.
const VANISHED: Duration = Duration::from_secs(60);

/// Counts the connections of each remote address. Touched when one begins and ends, never by messages.
#[derive(Default)]
pub(crate) struct Addresses {
    counts: Mutex<HashMap<IpAddr, usize>>,
}

impl Addresses {
    fn permit(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<AddressPermit> {
        let address = client_of(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(AddressPermit { addresses: Arc::clone(self), address })
    }
}

/// Who counts as one client: an address, but of IPv6 a network of 64 bits, for that is what one host or household is
/// given at least, and it may use any address in it. An IPv4 address is itself, however it is written.
pub(crate) fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// Counts as one connection of its address until it is dropped.
pub(crate) struct AddressPermit {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let mut counts = self.addresses.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// Accepts connections on one worker for as long as that runs.
pub(crate) async fn accept(worker: Rc<Worker>, listener: TcpListener, addresses: Arc<Addresses>) {
    worker.listens.update(|listeners| listeners + 1);
    let mut stop_begins = std::pin::pin!(worker.stop_begins());
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop_begins => {
                // Closed: whoever comes now is refused by the kernel. Only then is anyone told to come back.
                drop(listener);
                worker.listens.update(|listeners| listeners - 1);
                return worker.queued();
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => greet(&worker, stream, address, &addresses),
            Err(error) => {
                // Too many open files, mostly: others must end before this works again, and that takes a moment.
                seldom!(error, "a connection could not be accepted", "a connection could not be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Serves a connection, if its address may have another, and the process too.
pub(crate) fn greet(worker: &Rc<Worker>, stream: TcpStream, address: SocketAddr, addresses: &Arc<Addresses>) {
    let descriptors = Descriptors::of_process();
    if !descriptors.allow(&stream) {
        worker.counters.refused.one();
        descriptors.refused();
        return refuse(stream);
    }
    let Some(permit) = addresses.permit(address.ip(), worker.shared.config.max_sockets_per_address) else {
        worker.counters.refused.one();
        seldom!(warn, "a connection refused, too many of one address", address = %address.ip(), "refused: too many connections of one address");
        return refuse(stream);
    };
    worker.counters.accepted.one();
    // Small frames go out when they are written. Without it they wait, and that is all.
    let _ = stream.set_nodelay(true);
    // A client that vanished without a word while nothing is sent to it is found out about by the kernel.
    let _ =
        SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(VANISHED).with_interval(VANISHED / 4));
    tokio::task::spawn_local(serve(Rc::clone(worker), stream, Arc::new(permit)));
}

fn refuse(stream: TcpStream) {
    if let Ok(mut stream) = stream.into_std() {
        // As much as goes out at once; whoever has too many connections is owed no more.
        let _ = stream.write(TOO_MANY);
    }
}

async fn serve(worker: Rc<Worker>, stream: TcpStream, permit: Arc<AddressPermit>) {
    let opened = RefCell::new(None);
    if let Err(why) = converse(&worker, stream, &opened).await {
        // Whatever a client does wrong ends here, and is its own affair.
        tracing::debug!("a connection ended: {why}");
    }
    // Only now, when nothing of HTTP has the connection any more, can it be taken over.
    let Some((upgraded, opening)) = opened.take() else { return };
    if let Ok(upgraded) = upgraded.await {
        hand_over(upgraded, opening, &worker.shared, Some(permit));
    }
}

/// What a request for another protocol becomes, if it is answered with that.
type Opened = RefCell<Option<(OnUpgrade, Opening)>>;

/// Answers the requests of one connection until it ends or becomes something else.
async fn converse(worker: &Rc<Worker>, stream: TcpStream, opened: &Opened) -> Result<(), Failure> {
    let mut http = http(&worker.shared.config);
    // Who has said all and reads on is answered. Another node that has said all has given up, and is not.
    http.half_close(true);
    let (client, pace) = pace::keep(stream, Times::of(&worker.shared.config));
    // Set with the first request, for as long as the connection is HTTP's: the worker waits for the response to go out.
    let busy = RefCell::new(None);
    let answer = |request: hyper::Request<Incoming>| {
        busy.borrow_mut().get_or_insert_with(|| worker.busy());
        answer(worker, &pace, request, opened)
    };
    let mut connection = pin!(http.serve_connection(TokioIo::new(client), service_fn(answer)).with_upgrades());
    let (mut over, mut stop_begins) = (pin!(pace.over()), pin!(worker.stop_begins()));
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            ended = &mut connection => return ended.map_err(Into::into),
            why = &mut over => return Err(why.into()),
            () = &mut stop_begins, if !stopping => {
                // One that waits for its next request ends here, any other with the response that it is owed.
                connection.as_mut().graceful_shutdown();
                stopping = true;
            }
        }
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn answer(
    worker: &Rc<Worker>,
    pace: &Pace,
    mut request: hyper::Request<Incoming>,
    opened: &Opened,
) -> Result<hyper::Response<Answering<Body>>, Failure> {
    let answering = pace.request();
    if let Err(refusal) = check(&mut request) {
        worker.counters.requests.one();
        return Ok(refusal.map(|body| answering.with(body)));
    }
    let opens = handshake::is_asked_for(request.headers());
    let (request, upgrade) = take_upgrade(request.map(|body| pace.incoming(body)));
    let span = worker.request_span(&request);
    let answer = worker.answer(request).instrument(span);
    let mut response = tokio::select! {
        response = answer => response,
        // A socket whose client cannot say anything is none: whoever has finished here is gone.
        () = pace.hangs_up(), if opens => return Err("the client is gone, and no socket for it is opened".into()),
    };
    opened.replace(upgrade.zip(opening_of(&mut response)));
    Ok(response.map(|body| answering.with(body)))
}

/// HTTP as it is set up for every connection.
pub(crate) fn http(config: &Config) -> http1::Builder {
    let mut http = http1::Builder::new();
    // Times are kept by `pace`.
    http.header_read_timeout(None).max_buf_size(config.max_header);
    http
}

/// The request with our body, and what becomes its connection if it is upgraded.
pub(crate) fn take_upgrade<B>(mut request: hyper::Request<B>) -> (Request, Option<OnUpgrade>)
where
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let request = request.map(|body| if body.is_end_stream() { Body::empty() } else { Body::stream(body) });
    (request, upgrade)
}

/// Where an upgraded connection is to go.
pub(crate) enum Opening {
    /// To a Replica here, which has said in which form its client takes messages.
    Here { upgrade: Upgrade, lane: Lane },
    /// To another node, which has the Replica.
    There(Passage),
}

/// What a Replica said about the connection of the request that it answered: of a response that opens a WebSocket.
pub(crate) fn opening_of(response: &mut Response) -> Option<Opening> {
    let here = response.extensions_mut().remove::<Upgrade>();
    let there = response.extensions_mut().remove::<Passage>();
    if response.status() != dog::http::StatusCode::SWITCHING_PROTOCOLS {
        return None;
    }
    let deflate = response.extensions_mut().remove::<Deflate>();
    // What the client reads is what counts: the App may have taken the header out.
    let agreed = deflate.filter(|deflate| response.headers().get(SEC_WEBSOCKET_EXTENSIONS) == Some(&deflate.answer()));
    let lane = agreed.map_or(Lane::Plain, |deflate| Lane::of_window(deflate.window()));
    here.map(|upgrade| Opening::Here { upgrade, lane }).or(there.map(Opening::There))
}

/// Sends an upgraded connection to the thread of its Replica, and from then on no other thread touches it; or copies
/// between it and the node of its Replica, until either side ends.
pub(crate) fn hand_over(upgraded: Upgraded, opening: Opening, shared: &Shared, permit: Option<Arc<AddressPermit>>) {
    let (upgrade, lane) = match opening {
        Opening::Here { upgrade, lane } => (upgrade, lane),
        Opening::There(passage) => {
            tokio::spawn(async move {
                passage.pass(upgraded).await;
                drop(permit);
            });
            return;
        }
    };
    match detach(upgraded, PassTimes::of(&shared.config)) {
        Ok((stream, unread)) => {
            let (replica, socket) = upgrade.accept();
            let attach = Attach { socket, stream, unread, lane, permit };
            let worker = shared.post.worker_of(replica.replica.as_bytes());
            shared.post.send(worker, vec![Mail::Attach(Box::new(attach))]);
        }
        // Dropped here, the upgrade ends its socket.
        Err(error) => {
            seldom!(error, "a connection could not be handed over", "a connection could not be handed over: {error}");
        }
    }
}

fn detach(upgraded: Upgraded, times: PassTimes) -> std::io::Result<(Stream, Vec<u8>)> {
    let (stream, read) = match upgraded.downcast::<TokioIo<Client>>() {
        Ok(Parts { io, read_buf, .. }) => (io.into_inner().into_stream()?, read_buf),
        // Another node's.
        Err(upgraded) => match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(Parts { io, read_buf, .. }) => (io.into_inner(), read_buf),
            Err(upgraded) => return Ok((bridge(upgraded, times)?, Vec::new())),
        },
    };
    Ok((Stream::from_tcp(stream.into_std()?), read.into()))
}

/// A transport of somebody else's kind, TLS for one, stays with its own runtime: bytes are copied between it and one
/// end of a socket pair, and the other end is like any connection.
fn bridge(upgraded: Upgraded, times: PassTimes) -> std::io::Result<Stream> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    let theirs = tokio::net::UnixStream::from_std(theirs)?;
    tokio::spawn(between(TokioIo::new(upgraded), theirs, std::future::pending(), times));
    Ok(Stream::from_pair(ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_client_and_so_is_an_address_of_ipv4() {
        let client = |text: &str| client_of(text.parse().unwrap());
        assert_eq!(client("2001:db8:1:2::1"), client("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(client("2001:db8:1:2::1"), client("2001:db8:1:3::1"));
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
        assert_ne!(client("::ffff:192.0.2.1"), client("::ffff:192.0.2.2"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
    }

    #[test]
    fn all_addresses_of_a_network_share_one_number() {
        let addresses = Arc::<Addresses>::default();
        let held: Vec<_> = (1..=3).map(|host| addresses.permit(Ipv6Addr::from_bits(host).into(), 3).unwrap()).collect();
        assert!(addresses.permit(Ipv6Addr::from_bits(1 << 60).into(), 3).is_none());
        assert!(addresses.permit(Ipv6Addr::from_bits(1 << 64).into(), 3).is_some(), "another network");
        drop(held);
        assert!(addresses.counts.lock().unwrap().is_empty(), "nothing is kept of those that have gone");
    }
}
