//! Where requests come in: HTTP/1.1 by hyper, and the hand-over of an upgraded connection to its Replica's thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use dog::http::header::SEC_WEBSOCKET_EXTENSIONS;
use dog::{Body, Request, Response};
use dog_engine::Upgrade;
use dog_engine::handshake::Deflate;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tracing::Instrument;

use crate::config::Config;
use crate::connection::{Lane, Stream};
use crate::error::Error;
use crate::passing::Passage;
use crate::worker::{Attach, Mail, Post, Worker};

/// What an address that has too many connections is told.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Counts the connections of each remote address. Touched when one begins and ends, never by messages.
#[derive(Default)]
pub(crate) struct Addresses {
    counts: Mutex<HashMap<IpAddr, usize>>,
}

impl Addresses {
    fn permit(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<AddressPermit> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(AddressPermit { addresses: Arc::clone(self), address })
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
    worker.listens.set(true);
    let mut stop_begins = std::pin::pin!(worker.stop_begins());
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop_begins => {
                // Closed: whoever comes now is refused by the kernel. Only then is anyone told to come back.
                drop(listener);
                worker.listens.set(false);
                return worker.queued();
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => greet(&worker, stream, address, &addresses),
            Err(error) => {
                // Too many open files, mostly: others must end before this works again, and that takes a moment.
                tracing::error!("a connection could not be accepted: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        }
    }
}

fn greet(worker: &Rc<Worker>, stream: TcpStream, address: SocketAddr, addresses: &Arc<Addresses>) {
    let Some(permit) = addresses.permit(address.ip(), worker.shared.config.max_sockets_per_address) else {
        worker.counters.refused.one();
        tracing::warn!(address = %address.ip(), "refused: too many connections of one address");
        if let Ok(mut stream) = stream.into_std() {
            // As much as goes out at once; whoever has too many connections is owed no more.
            let _ = stream.write(TOO_MANY);
        }
        return;
    };
    worker.counters.accepted.one();
    // Small frames go out when they are written. Without it they wait, and that is all.
    let _ = stream.set_nodelay(true);
    tokio::task::spawn_local(serve(Rc::clone(worker), stream, Arc::new(permit)));
}

async fn serve(worker: Rc<Worker>, stream: TcpStream, permit: Arc<AddressPermit>) {
    let http = http(&worker.shared.config);
    // Set with the first request, for as long as the connection is HTTP's: the worker waits for the response to go out.
    let busy = RefCell::new(None);
    let answer = |request: hyper::Request<Incoming>| {
        let (worker, permit) = (Rc::clone(&worker), Arc::clone(&permit));
        busy.borrow_mut().get_or_insert_with(|| worker.busy());
        async move {
            let (request, upgrade) = take_upgrade(request);
            let span = worker.request_span(&request);
            let mut response = worker.answer(request).instrument(span).await;
            if let Some((upgraded, opening)) = upgrade.zip(opening_of(&mut response)) {
                let post = worker.shared.post.clone();
                tokio::task::spawn_local(async move {
                    if let Ok(upgraded) = upgraded.await {
                        hand_over(upgraded, opening, &post, Some(permit));
                    }
                });
            }
            Ok::<_, Infallible>(response)
        }
    };
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service_fn(answer)).with_upgrades());
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = worker.stop_begins() => {
            // One that waits for its next request ends here, any other with the response that it is owed.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Whatever a client does wrong ends here, and is its own affair.
        tracing::debug!("a connection ended: {error}");
    }
}

/// HTTP as it is set up for every connection.
pub(crate) fn http(config: &Config) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(config.handshake_timeout).max_buf_size(config.max_header);
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
pub(crate) fn hand_over(upgraded: Upgraded, opening: Opening, post: &Post, permit: Option<Arc<AddressPermit>>) {
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
    match detach(upgraded) {
        Ok((stream, unread)) => {
            let (replica, socket) = upgrade.accept();
            let attach = Attach { socket, stream, unread, lane, permit };
            post.send(post.worker_of(replica.replica.as_bytes()), vec![Mail::Attach(Box::new(attach))]);
        }
        // Dropped here, the upgrade ends its socket.
        Err(error) => tracing::error!("a connection could not be handed over: {error}"),
    }
}

fn detach(upgraded: Upgraded) -> std::io::Result<(Stream, Vec<u8>)> {
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(Parts { io, read_buf, .. }) => Ok((Stream::from_tcp(io.into_inner().into_std()?), read_buf.into())),
        Err(upgraded) => Ok((bridge(upgraded)?, Vec::new())),
    }
}

/// A transport of somebody else's kind, TLS for one, stays with its own runtime: bytes are copied between it and one
/// end of a socket pair, and the other end is like any connection.
fn bridge(upgraded: Upgraded) -> std::io::Result<Stream> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    let mut theirs = tokio::net::UnixStream::from_std(theirs)?;
    tokio::spawn(async move {
        // It ends when either side does.
        let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(upgraded), &mut theirs).await;
    });
    Ok(Stream::from_pair(ours))
}

/// One listener for each worker, all at the same address; the kernel shares connections out among them.
pub(crate) fn listen_all(
    wanted: SocketAddr,
    workers: usize,
) -> std::io::Result<(SocketAddr, Vec<Option<std::net::TcpListener>>)> {
    if wanted.port() != 0 {
        // Ours share their port on purpose, so that they could share it with another server by mistake: a listener that
        // does not share finds out.
        drop(listen(wanted, false)?);
    }
    let first = listen(wanted, true)?;
    let address = first.local_addr()?;
    let mut listeners = vec![Some(first)];
    for _ in 1..workers {
        listeners.push(Some(listen(address, true)?));
    }
    Ok((address, listeners))
}

pub(crate) fn listen(address: SocketAddr, shared: bool) -> std::io::Result<std::net::TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

/// The error for an address that cannot be listened on; `setting` is whose it is.
pub(crate) fn cannot_listen(setting: &str, address: SocketAddr, cause: std::io::Error) -> Error {
    let text = match cause.kind() {
        std::io::ErrorKind::AddrInUse => format!("{setting}: {address} is in use by another program"),
        _ => format!("{setting}: cannot listen on {address}: {cause}"),
    };
    Error::bind(text, cause)
}

impl Config {
    /// The address to listen on.
    pub(crate) fn address(&self) -> Result<SocketAddr, Error> {
        resolve("bind", &self.bind, "127.0.0.1:8787")
    }

    /// The address that other nodes reach this one at.
    pub(crate) fn advertised_address(&self) -> Result<SocketAddr, Error> {
        resolve("advertise", &self.advertise, "10.0.0.5:7422")
    }

    /// The operator's address.
    pub(crate) fn admin_address(&self) -> Result<Option<SocketAddr>, Error> {
        self.admin.as_deref().map(|address| resolve("admin", address, "127.0.0.1:9464")).transpose()
    }
}

fn resolve(setting: &str, address: &str, example: &str) -> Result<SocketAddr, Error> {
    use std::net::ToSocketAddrs;
    let resolved = address.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
    resolved.ok_or_else(|| {
        Error::configuration(format!("{setting}: \"{address}\" is no address: give host:port, such as {example}"))
    })
}
