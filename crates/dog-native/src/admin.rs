//! The server for operators: metrics, health and readiness. It has an address and a thread of its own, so that it
//! answers even if the workers do not. The thread also watches the workers, with or without an address.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use dog::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use dog_engine::request::check;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::error::Error;
use crate::mail::Mail;
use crate::metrics::figures::Figures;
use crate::metrics::{CONTENT_TYPE, Process, report};
use crate::newcomers::Newcomers;
use crate::pace::{self, Times};
use crate::repeats::{say_all_that_was_counted, say_what_was_counted, seldom};
use crate::shared::Shared;
use crate::tls;
use crate::watchdog::stuck;

/// How long a worker may take to send its counts.
const ANSWER: Duration = Duration::from_secs(1);
/// How long a client may take to send its request or to read the response.
const QUESTION: Duration = Duration::from_secs(5);
/// The most connections at a time. A new one replaces the oldest of the client that has the most.
const CONNECTIONS: usize = 64;
/// How long a connection is always kept: longer than an answer takes.
const GRACE: Duration = Duration::from_millis(100);
/// How often the workers are checked.
const LOOK: Duration = Duration::from_secs(1);

/// The thread for operators. It runs until [`Admin::end`].
#[derive(Debug)]
pub(crate) struct Admin {
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Admin {
    pub(crate) fn start(shared: Arc<Shared>, listeners: Vec<std::net::TcpListener>) -> Result<Self, Error> {
        let (end, ends) = oneshot::channel();
        let run = move || {
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return tracing::error!("the workers are not watched: {error}"),
            };
            runtime.block_on(async {
                let serve = serve(Arc::clone(&shared), listeners);
                tokio::select! {
                    // A dropped sender means the end, too.
                    _ = ends => {}
                    () = watch(&shared) => {}
                    () = tls::watch(shared.config.tls.as_deref()) => {}
                    () = tls::watch(shared.config.node_tls.as_deref()) => {}
                    Err(error) = serve => tracing::error!("the admin address is not served: {error}"),
                }
            });
            say_all_that_was_counted();
        };
        let thread = std::thread::Builder::new().name("dog-admin".into()).spawn(run);
        let thread = thread.map_err(|cause| Error::system("admin: cannot start a thread", cause))?;
        Ok(Self { end, thread })
    }

    pub(crate) fn end(self) {
        // The thread may have ended already. After this signal it waits for nothing outside of the process.
        let _ = self.end.send(());
        let _ = self.thread.join();
    }
}

/// Logs which workers are stuck, and which have recovered.
async fn watch(shared: &Shared) {
    let mut known: Vec<usize> = Vec::new();
    loop {
        tokio::time::sleep(LOOK).await;
        say_what_was_counted();
        let stuck = stuck(shared);
        for stuck in stuck.iter().filter(|stuck| !known.contains(&stuck.worker)) {
            tracing::error!(worker = stuck.worker, "{stuck}");
        }
        for worker in known.iter().filter(|known| stuck.iter().all(|stuck| stuck.worker != **known)) {
            tracing::warn!(worker, "the worker is no longer stuck");
        }
        known = stuck.into_iter().map(|stuck| stuck.worker).collect();
    }
}

async fn serve(shared: Arc<Shared>, listeners: Vec<std::net::TcpListener>) -> std::io::Result<Infallible> {
    let listeners: Vec<_> = listeners.into_iter().map(TcpListener::from_std).collect::<Result<_, _>>()?;
    let mut newcomers = Newcomers::new(CONNECTIONS, GRACE);
    loop {
        let (stream, address) = match accept(&listeners).await {
            Ok(accepted) => accepted,
            Err(error) => {
                seldom!(
                    error,
                    "a connection to the admin address could not be accepted",
                    "a connection to the admin address could not be accepted: {error}"
                );
                tokio::time::sleep(LOOK).await;
                continue;
            }
        };
        newcomers.room().await;
        let task = tokio::spawn(converse(Arc::clone(&shared), stream));
        newcomers.add(address.ip(), task.abort_handle());
        // Serve the requests that have already arrived first, however many connections come.
        tokio::task::yield_now().await;
    }
}

/// Returns the next connection on any listener. It never completes if there are no listeners.
async fn accept(listeners: &[TcpListener]) -> std::io::Result<(TcpStream, SocketAddr)> {
    poll_fn(|context| {
        let accepted = listeners.iter().map(|listener| listener.poll_accept(context));
        accepted.into_iter().find(Poll::is_ready).unwrap_or(Poll::Pending)
    })
    .await
}

async fn converse(shared: Arc<Shared>, stream: TcpStream) {
    let times = Times { head: QUESTION, stall: QUESTION, idle: shared.config.keep_alive_timeout };
    let (client, pace) = pace::keep(stream, times);
    let answer = service_fn(|request: Request<Incoming>| {
        let (shared, answering) = (Arc::clone(&shared), pace.request());
        async move { Ok::<_, Infallible>(answer(&shared, request).await.map(|body| answering.with(body))) }
    });
    let mut http = http1::Builder::new();
    http.header_read_timeout(None).half_close(true);
    let ended = tokio::select! {
        biased;
        ended = http.serve_connection(TokioIo::new(client), answer) => ended.map_err(|error| error.to_string()),
        why = pace.over() => Err(why.to_owned()),
    };
    if let Err(why) = ended {
        tracing::debug!("a connection to the admin address ended: {why}");
    }
}

async fn answer(shared: &Shared, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    if let Err(refusal) = check(&mut request) {
        let mut response = text(refusal.status(), "this is not a valid HTTP/1.1 request\n");
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return response;
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
    }
    match request.uri().path() {
        "/metrics" => {
            let mut response = text(StatusCode::OK, metrics(shared).await);
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
            response
        }
        "/healthz" => verdict("ok", health(shared)),
        "/readyz" => verdict("ready", readiness(shared)),
        _ => text(StatusCode::NOT_FOUND, "there is /metrics, /healthz, /readyz\n"),
    }
}

/// Returns an error if the process does not work.
fn health(shared: &Shared) -> Result<(), String> {
    let stuck: Vec<String> = stuck(shared).iter().map(ToString::to_string).collect();
    if stuck.is_empty() { Ok(()) } else { Err(stuck.join("\n")) }
}

/// Returns an error if new clients should not be sent to this server.
fn readiness(shared: &Shared) -> Result<(), String> {
    if shared.draining.load(Ordering::Relaxed) {
        return Err("draining".into());
    }
    if let Some(node) = &shared.node {
        if !node.has_lease() {
            return Err("not part of the cluster: this node has no lease".into());
        }
        if !node.ports.directory.standing().connected {
            return Err("degraded: the cluster cannot be reached".into());
        }
    }
    if shared.storage.figures().failing {
        return Err("the storage fails".into());
    }
    Ok(())
}

fn verdict(good: &str, verdict: Result<(), String>) -> Response<Full<Bytes>> {
    match verdict {
        Ok(()) => text(StatusCode::OK, format!("{good}\n")),
        Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

/// Gets the counts of all workers, concurrently.
async fn metrics(shared: &Shared) -> String {
    let ask = |worker| {
        let (reply, figures) = oneshot::channel();
        shared.post.send(worker, vec![Mail::Figures(reply)]);
        async move { timeout(ANSWER, figures).await.ok()?.ok() }
    };
    let asked: Vec<_> = (0..shared.post.workers()).map(ask).collect();
    let workers: Vec<Option<Figures>> = futures_util::future::join_all(asked).await;
    let draining = shared.draining.load(Ordering::Relaxed);
    let cluster = shared.node.as_ref().map(|node| node.figures());
    let tls = shared.config.tls.as_ref().map(|certificates| certificates.figures());
    report(&Process { draining, storage: shared.storage.figures(), cluster, tls }, &workers)
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
