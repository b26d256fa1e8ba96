//! The HTTP/1.1 front for clients, on every worker. It uses hyper.

use std::cell::RefCell;
use std::io::Write;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use dog::Body;
use dog_engine::handshake;
use dog_engine::request::check;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tracing::Instrument;

use crate::addresses::{AddressPermit, Addresses};
use crate::descriptors::Descriptors;
use crate::pace::{self, Answering, Pace, Times};
use crate::repeats::seldom;
use crate::upgrade::{Handover, http, take_upgrade};
use crate::worker::Worker;
use crate::worker::stream_end::is_event_stream;

/// The response to a connection above a limit, that of its address or of the process.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

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
        return refuse(stream);
    }
    let Some(permit) = addresses.permit(address.ip(), worker.shared().config.max_sockets_per_address) else {
        worker.counters().refused.one();
        seldom!(warn, "a connection refused, too many of one address", address = %address.ip(), "refused: too many connections of one address");
        return refuse(stream);
    };
    worker.counters().accepted.one();
    // Small frames are sent at once. If the system refuses this option, they are only slower.
    let _ = stream.set_nodelay(true);
    // The kernel detects a client that has disappeared, even if nothing is sent to it.
    let _ =
        SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(VANISHED).with_interval(VANISHED / 4));
    tokio::task::spawn_local(serve(Rc::clone(worker), stream, Arc::new(permit)));
}

fn refuse(stream: TcpStream) {
    if let Ok(mut stream) = stream.into_std() {
        // Write only what can be written at once.
        let _ = stream.write(TOO_MANY);
    }
}

async fn serve(worker: Rc<Worker>, stream: TcpStream, permit: Arc<AddressPermit>) {
    let opened = RefCell::new(None);
    if let Err(why) = converse(&worker, stream, &opened).await {
        // An error of a client ends only its own connection.
        tracing::debug!("a connection ended: {why}");
    }
    // HTTP releases the connection only now.
    if let Some(handover) = opened.take() {
        handover.complete(worker.shared(), Some(permit)).await;
    }
}

/// The handover of the connection, if a response has opened a WebSocket.
type Opened = RefCell<Option<Handover>>;

/// Answers the requests of one connection until it ends or is upgraded.
async fn converse(worker: &Rc<Worker>, stream: TcpStream, opened: &Opened) -> Result<(), Failure> {
    let mut http = http(&worker.shared().config);
    // A client that has shut down its side but still reads gets its response.
    http.half_close(true);
    let (client, pace) = pace::keep(stream, Times::of(&worker.shared().config));
    // Held from the first request until the connection leaves HTTP, so that the worker waits until the response is
    // written.
    let busy = RefCell::new(None);
    let events = EventsOpened::default();
    let answer = |request: hyper::Request<Incoming>| {
        busy.borrow_mut().get_or_insert_with(|| worker.shutdown().hold());
        answer(worker, &pace, request, opened, &events)
    };
    let mut connection = pin!(http.serve_connection(TokioIo::new(client), service_fn(answer)).with_upgrades());
    let (mut over, mut stop_begins) = (pin!(pace.over()), pin!(worker.shutdown().begins()));
    let mut hangs_up = pin!(events.hangs_up(&pace));
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
    mut request: hyper::Request<Incoming>,
    opened: &Opened,
    events: &EventsOpened,
) -> Result<hyper::Response<Answering<Body>>, Failure> {
    let answering = pace.request();
    if let Err(refusal) = check(&mut request) {
        worker.counters().requests.one();
        return Ok(refusal.map(|body| answering.with(body)));
    }
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
    opened.replace(Handover::of(upgrade, &mut response));
    Ok(response.map(|body| answering.with(body)))
}
