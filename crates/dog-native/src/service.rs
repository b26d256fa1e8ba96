//! [`Service`]: the App as a service inside another server.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use dog::Response;
use dog::http::{self, StatusCode};
use tokio::sync::oneshot;

use crate::handle::{Handle, Remote, Unchecked};
use crate::mail::Mail;
use crate::upgrade::{Handover, take_upgrade};
use crate::workers::Workers;

/// An App that answers requests from any server that uses [`tower`](https://docs.rs/tower-service) services.
/// [`Server::service`](crate::Server::service) creates it.
///
/// The service does not know from where a request has come. Set [`dog::set_peer_address`] on it if your App asks for it.
///
/// It takes over the connection of a WebSocket when the other server has sent the response. Clones are cheap. The
/// objects end when the last clone is dropped.
#[derive(Clone)]
pub struct Service {
    workers: Arc<Workers>,
    next: Arc<AtomicUsize>,
    remote: Remote,
}

impl Service {
    pub(crate) fn new(workers: Workers, remote: Remote) -> Self {
        Self { workers: Arc::new(workers), next: Arc::default(), remote }
    }

    /// Returns the address for operators, if [`Server::admin`](crate::Server::admin) was set.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.workers.admin_addr()
    }

    /// Returns a handle to the App's Groups, for the rest of the process. Unlike that of
    /// [`Server::handle`](crate::Server::handle), it does not know the type of the App, and it does not keep the objects
    /// alive.
    pub fn handle(&self) -> Handle<Unchecked> {
        Handle::new(&self.remote)
    }

    /// Shuts down gracefully, as [`Running::shutdown`](crate::Running::shutdown) does, and completes when everything is
    /// done. New requests are answered with 503. Several clones may wait for the same shutdown.
    ///
    /// Call it when the other server has stopped accepting connections: with axum, after
    /// `serve(…).with_graceful_shutdown(…)` has returned.
    pub async fn shutdown(&self) {
        self.workers.stop().await;
    }

    async fn answer<B>(self, request: http::Request<B>) -> Response
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (request, upgrade) = take_upgrade(request);
        let (reply, answer) = oneshot::channel();
        let post = self.workers.post();
        let worker = self.next.fetch_add(1, Ordering::Relaxed) % post.workers();
        post.send(worker, vec![Mail::Outside { request, reply, span: tracing::Span::current() }]);
        let Ok(mut response) = answer.await else {
            return dog::text_response(StatusCode::SERVICE_UNAVAILABLE, "the server ends");
        };
        if let Some(handover) = Handover::of(upgrade, &mut response) {
            let service = self.clone();
            tokio::spawn(async move { handover.complete(service.workers.shared(), worker, None).await });
        }
        response
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Service({} workers)", self.workers.post().workers())
    }
}

impl<B> tower_service::Service<http::Request<B>> for Service
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(service.answer(request).await) })
    }
}
