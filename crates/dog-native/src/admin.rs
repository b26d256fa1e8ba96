//! The server as its operator sees it: metrics, health and readiness on an address of their own, from a thread of their
//! own, so that they answer when the workers do not. The thread also watches the workers, address or not.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use dog::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use crate::error::Error;
use crate::metrics::{CONTENT_TYPE, Figures, Process, report};
use crate::watch::stuck;
use crate::worker::{Mail, Shared};

/// How long a worker may take to say its figures.
const ANSWER: Duration = Duration::from_secs(1);
/// How long a client may take to ask.
const QUESTION: Duration = Duration::from_secs(5);
/// Connections at a time; more are hung up on.
const CONNECTIONS: usize = 32;
/// How often the workers are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The thread, as long as it is to run.
#[derive(Debug)]
pub(crate) struct Admin {
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Admin {
    pub(crate) fn start(shared: Arc<Shared>, listener: Option<std::net::TcpListener>) -> Result<Self, Error> {
        let (end, ends) = oneshot::channel();
        let run = move || {
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return tracing::error!("nobody watches the workers: {error}"),
            };
            runtime.block_on(async {
                let serve = serve(Arc::clone(&shared), listener);
                tokio::select! {
                    // Dropped without a word, the end is meant too.
                    _ = ends => {}
                    () = watch(&shared) => {}
                    Err(error) = serve => tracing::error!("the admin address is not served: {error}"),
                }
            });
        };
        let thread = std::thread::Builder::new().name("dog-admin".into()).spawn(run);
        let thread = thread.map_err(|cause| Error::system("admin: the system gives no thread", cause))?;
        Ok(Self { end, thread })
    }

    pub(crate) fn end(self) {
        // It may have ended by itself; and it never waits for anything outside once it is told to.
        let _ = self.end.send(());
        let _ = self.thread.join();
    }
}

/// Logs which workers get stuck, and that they have come back.
async fn watch(shared: &Shared) {
    let mut known: Vec<usize> = Vec::new();
    loop {
        tokio::time::sleep(LOOK).await;
        let stuck = stuck(shared);
        for stuck in stuck.iter().filter(|stuck| !known.contains(&stuck.worker)) {
            tracing::error!(worker = stuck.worker, "{stuck}");
        }
        for worker in known.iter().filter(|known| stuck.iter().all(|stuck| stuck.worker != **known)) {
            tracing::warn!(worker, "the worker comes round again");
        }
        known = stuck.into_iter().map(|stuck| stuck.worker).collect();
    }
}

async fn serve(shared: Arc<Shared>, listener: Option<std::net::TcpListener>) -> std::io::Result<Infallible> {
    let Some(listener) = listener else { return std::future::pending().await };
    let listener = TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::error!("a connection to the admin address could not be accepted: {error}");
                tokio::time::sleep(LOOK).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            converse(shared, stream).await;
            drop(place);
        });
    }
}

async fn converse(shared: Arc<Shared>, stream: TcpStream) {
    let answer = service_fn(|request: Request<Incoming>| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(&shared, &request).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(QUESTION);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), answer).await {
        tracing::debug!("a connection to the admin address ended: {error}");
    }
}

async fn answer(shared: &Shared, request: &Request<Incoming>) -> Response<Full<Bytes>> {
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

/// The process lives: nothing to be said against it.
fn health(shared: &Shared) -> Result<(), String> {
    let stuck: Vec<String> = stuck(shared).iter().map(ToString::to_string).collect();
    if stuck.is_empty() { Ok(()) } else { Err(stuck.join("\n")) }
}

/// New clients are welcome.
fn readiness(shared: &Shared) -> Result<(), String> {
    if shared.draining.load(Ordering::Relaxed) {
        return Err("draining".into());
    }
    if let Some(cluster) = &shared.cluster {
        if !cluster.has_lease() {
            return Err("not part of the cluster: this node has no lease".into());
        }
        if !cluster.ports.directory.standing().connected {
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

/// Asks every worker for its figures, all at once.
async fn metrics(shared: &Shared) -> String {
    let ask = |worker| {
        let (reply, figures) = oneshot::channel();
        shared.post.send(worker, vec![Mail::Figures(reply)]);
        async move { timeout(ANSWER, figures).await.ok()?.ok() }
    };
    let asked: Vec<_> = (0..shared.post.workers()).map(ask).collect();
    let workers: Vec<Option<Figures>> = futures_util::future::join_all(asked).await;
    let draining = shared.draining.load(Ordering::Relaxed);
    let cluster = shared.cluster.as_ref().map(|cluster| cluster.figures());
    report(&Process { draining, storage: shared.storage.figures(), cluster }, &workers)
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// The listener of the admin address.
pub(crate) fn listen(address: SocketAddr) -> Result<std::net::TcpListener, Error> {
    crate::front::listen(address, false).map_err(|cause| crate::front::cannot_listen("admin", address, cause))
}
