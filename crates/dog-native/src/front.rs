//! The HTTP/1.1 front for clients, on every worker. It uses hyper.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use dog::http::{HeaderMap, StatusCode};
use dog::{Body, Response};
use dog_engine::handshake;
use dog_engine::request::check;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::HandshakeKind;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tracing::Instrument;

use crate::addresses::{AddressPermit, Addresses};
use crate::descriptors::Descriptors;
use crate::pace::{self, Answering, Client, Pace, Times};
use crate::repeats::seldom;
use crate::tls::{self, Certificates, Greeting};
use crate::upgrade::{Handover, http, take_upgrade};
use crate::worker::Worker;
use crate::worker::stream_end::is_event_stream;

/// The response to a connection above a limit, that of its address or of the process.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// The response to a connection that comes too soon after others of its address.
const TOO_FAST: &[u8] =
    b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// After this much silence, the kernel probes whether the client still exists.
const VANISHED: Duration = Duration::from_secs(60);

/// Accepts connections on one worker until it stops accepting.
pub(crate) async fn accept(worker: Rc<Worker>, listener: TcpListener, addresses: Arc<Addresses>) {
    let listening = worker.shutdown().listening();
    let mut stop_begins = std::pin::pin!(worker.shutdown().begins());
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop_begins => {
                // From now on the kernel refuses new connections. Only then are clients told to connect again.
                drop(listener);
                return drop(listening);
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => greet(&worker, stream, address, &addresses),
            Err(error) => {
                // The usual cause is too many open files. It works again when other connections have ended.
                seldom!(error, "a connection could not be accepted", "a connection could not be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Serves a connection, unless its address or the process has too many.
pub(crate) fn greet(worker: &Rc<Worker>, stream: TcpStream, address: SocketAddr, addresses: &Arc<Addresses>) {
    let descriptors = Descriptors::of_process();
    if !descriptors.allow(&stream) {
        worker.counters().refused.one();
        descriptors.refused();
        return refuse(stream, TOO_MANY);
    }
    let origin = match Origin::new(worker, address, addresses) {
        Ok(origin) => origin,
        Err(refusal) => return refuse(stream, refusal),
    };
    worker.counters().accepted.one();
    // Small frames are sent at once. If the system refuses this option, they are only slower.
    let _ = stream.set_nodelay(true);
    // The kernel detects a client that has disappeared, even if nothing is sent to it.
    let _ =
        SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(VANISHED).with_interval(VANISHED / 4));
    tokio::task::spawn_local(serve(Rc::clone(worker), stream, origin));
}

fn refuse(stream: TcpStream, response: &[u8]) {
    if let Ok(mut stream) = stream.into_std() {
        // Write only what can be written at once.
        let _ = stream.write(response);
    }
}

async fn serve(worker: Rc<Worker>, stream: TcpStream, origin: Origin) {
    let opened = RefCell::new(None);
    if let Err(why) = converse(&worker, stream, &origin, &opened).await {
        // An error of a client ends only its own connection.
        tracing::debug!("a connection ended: {why}");
    }
    // HTTP releases the connection only now.
    if let Some((handover, permit)) = opened.take() {
        drop(origin);
        handover.complete(worker.shared(), worker.index(), Some(permit)).await;
    }
}

/// The handover of the connection, if a response has opened a WebSocket, and the slot that the socket takes in the limit of
/// its client's address.
type Opened = RefCell<Option<(Handover, Arc<AddressPermit>)>>;

/// Where the requests of a connection come from.
struct Origin {
    peer: IpAddr,
    through: Through,
}

enum Through {
    /// From the client itself, whose connection takes a slot in the limit of its address.
    Nobody(Arc<AddressPermit>),
    /// Through a trusted proxy. Each request has a client of its own, and takes a slot of that client's address.
    Proxy(Arc<Addresses>),
}

impl Origin {
    /// The error is the response to a client whose address has too many connections, or opens them too fast.
    fn new(worker: &Rc<Worker>, address: SocketAddr, addresses: &Arc<Addresses>) -> Result<Self, &'static [u8]> {
        let peer = address.ip().to_canonical();
        if worker.shared().config.trusted_proxies.contain(peer) {
            return Ok(Self { peer, through: Through::Proxy(Arc::clone(addresses)) });
        }
        if !worker.shared().limits().allows_connection(peer, || worker.shared().uptime()) {
            worker.counters().connections_too_fast.one();
            return Err(TOO_FAST);
        }
        let permit = Arc::new(permit(worker, addresses, peer).ok_or(TOO_MANY)?);
        Ok(Self { peer, through: Through::Nobody(permit) })
    }

    /// Returns the address of the client that has sent a request, and a slot in the limit of that address. Returns `None` if
    /// there is no free slot.
    fn client(&self, worker: &Rc<Worker>, headers: &HeaderMap) -> Option<(IpAddr, Arc<AddressPermit>)> {
        match &self.through {
            Through::Nobody(permit) => Some((self.peer, Arc::clone(permit))),
            Through::Proxy(addresses) => {
                let client = worker.shared().config.trusted_proxies.client(self.peer, headers);
                Some((client, Arc::new(permit(worker, addresses, client)?)))
            }
        }
    }
}

/// Takes a slot in the limit of an address. If there is none, that is counted and logged.
fn permit(worker: &Rc<Worker>, addresses: &Arc<Addresses>, address: IpAddr) -> Option<AddressPermit> {
    let permit = addresses.permit(address, worker.shared().config.max_sockets_per_address);
    if permit.is_none() {
        worker.counters().refused.one();
        seldom!(warn, "a connection refused, too many of one address", %address, "refused: too many connections of one address");
    }
    permit
}

/// Answers the requests of one connection until it ends or is upgraded.
async fn converse(worker: &Rc<Worker>, stream: TcpStream, origin: &Origin, opened: &Opened) -> Result<(), Failure> {
    let (client, pace) = pace::keep(stream, Times::of(&worker.shared().config));
    let over = pin!(pace.over());
    match &worker.shared().config.tls {
        None => exchange(worker, client, (&pace, over), origin, opened).await,
        // Boxed, so that a task without TLS is no larger.
        Some(certificates) => Box::pin(encrypted(worker, client, (&pace, over), certificates, origin, opened)).await,
    }
}

/// The timeouts of a connection, and what completes with a reason when one is over.
type Timeouts<'a, Over> = (&'a Pace, Pin<&'a mut Over>);

/// Does the handshake of TLS, then answers requests.
async fn encrypted(
    worker: &Rc<Worker>,
    client: Client,
    (pace, mut over): Timeouts<'_, impl Future<Output = &'static str>>,
    certificates: &Certificates,
    origin: &Origin,
    opened: &Opened,
) -> Result<(), Failure> {
    let greeting = tokio::select! {
        biased;
        greeting = tls::greet(client, certificates) => greeting.map_err(Failure::from),
        why = &mut over => Err(why.into()),
        () = worker.shutdown().begins() => return Ok(()),
    };
    match greeting {
        Ok(Greeting::Tls(client)) => {
            worker.counters().tls_handshakes.one();
            if client.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) {
                worker.counters().tls_resumed.one();
            }
            exchange(worker, client, (pace, over), origin, opened).await
        }
        Ok(Greeting::Gone) => Ok(()),
        Ok(Greeting::Plain(client)) => {
            worker.counters().tls_failed.one();
            speak_tls(worker, client, (pace, over)).await
        }
        Err(failure) => {
            worker.counters().tls_failed.one();
            Err(failure)
        }
    }
}

/// Answers a request that came without TLS to an address with TLS.
async fn speak_tls(
    worker: &Rc<Worker>,
    client: Client,
    (pace, over): Timeouts<'_, impl Future<Output = &'static str>>,
) -> Result<(), Failure> {
    let mut http = http(&worker.shared().config);
    http.half_close(true).keep_alive(false);
    let answer = |_| {
        let (answering, text) = (pace.request(), "this address speaks TLS: use https:// or wss://\n");
        let response: Response = dog::text_response(StatusCode::BAD_REQUEST, text);
        async move { Ok::<_, Infallible>(response.map(|body| answering.with(body))) }
    };
    tokio::select! {
        biased;
        ended = http.serve_connection(TokioIo::new(client), service_fn(answer)) => ended.map_err(Into::into),
        why = over => Err(why.into()),
    }
}

/// Answers requests until the connection ends or is upgraded.
async fn exchange(
    worker: &Rc<Worker>,
    client: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    (pace, mut over): Timeouts<'_, impl Future<Output = &'static str>>,
    origin: &Origin,
    opened: &Opened,
) -> Result<(), Failure> {
    let mut http = http(&worker.shared().config);
    // A client that has shut down its side but still reads gets its response.
    http.half_close(true);
    // Held from the first request until the connection leaves HTTP, so that the worker waits until the response is
    // written.
    let busy = RefCell::new(None);
    let events = EventsOpened::default();
    let answer = |request: hyper::Request<Incoming>| {
        busy.borrow_mut().get_or_insert_with(|| worker.shutdown().hold());
        answer(worker, pace, origin, request, opened, &events)
    };
    let mut connection = pin!(http.serve_connection(TokioIo::new(client), service_fn(answer)).with_upgrades());
    let mut stop_begins = pin!(worker.shutdown().begins());
    let mut hangs_up = pin!(events.hangs_up(pace));
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            ended = &mut connection => return ended.map_err(Into::into),
            why = &mut over => return Err(why.into()),
            () = &mut hangs_up => return Err("the client of an event stream is gone".into()),
            () = &mut stop_begins, if !stopping => {
                // An idle connection ends now, any other one after its response.
                connection.as_mut().graceful_shutdown();
                stopping = true;
            }
        }
    }
}

/// Whether a response on the connection was an event stream.
#[derive(Default)]
struct EventsOpened(Notify);

impl EventsOpened {
    fn note(&self, pace: &Pace) {
        pace.gives_up_after(VANISHED);
        self.0.notify_one();
    }

    /// Completes when a client to which an event stream was opened hangs up. It may say nothing more on this connection, so one
    /// that shuts down its sending side has gone.
    async fn hangs_up(&self, pace: &Pace) {
        self.0.notified().await;
        pace.hangs_up().await;
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn answer(
    worker: &Rc<Worker>,
    pace: &Pace,
    origin: &Origin,
    mut request: hyper::Request<Incoming>,
    opened: &Opened,
    events: &EventsOpened,
) -> Result<hyper::Response<Answering<Body>>, Failure> {
    let answering = pace.request();
    if let Err(refusal) = check(&mut request) {
        worker.counters().requests.one();
        return Ok(refusal.map(|body| answering.with(body)));
    }
    let Some((client, permit)) = origin.client(worker, request.headers()) else {
        return Ok(too_many().map(|body| answering.with(body)));
    };
    dog::set_peer_address(&mut request, client);
    let opens = handshake::is_asked_for(request.headers());
    let (request, upgrade) = take_upgrade(request.map(|body| pace.incoming(body)));
    let span = worker.requests().span(&request);
    let answer = worker.answer(request).instrument(span);
    let mut response = tokio::select! {
        response = answer => response,
        // A client that has shut down its side cannot use a socket, so it counts as gone.
        () = pace.hangs_up(), if opens => return Err("the client is gone, and no socket for it is opened".into()),
    };
    if is_event_stream(&response) {
        events.note(pace);
    }
    let handover = Handover::of(upgrade, &mut response);
    opened.replace(handover.map(|handover| (handover, Arc::clone(&permit))));
    Ok(response.map(|body| answering.holding(Some(permit)).with(body)))
}

/// Returns the response to a request whose client has too many connections, behind a proxy whose connection goes on.
fn too_many() -> Response {
    dog::text_response(StatusCode::SERVICE_UNAVAILABLE, "too many connections of one address")
}
