//! One HTTP request and its response.

use std::net::SocketAddr;

use bytes::Bytes;
use dog::http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::check::{Outcome, within};

/// Asks for `path`.
///
/// # Errors
/// When no complete response comes in time.
pub async fn get(entry: SocketAddr, path: &str) -> Outcome<Response<Bytes>> {
    send(entry, Request::get(path).header("host", "conformance").body(Bytes::new())?).await
}

/// Sends `request` on a connection of its own, and reads the whole response.
///
/// # Errors
/// When no complete response comes in time.
pub(crate) async fn send(entry: SocketAddr, request: Request<Bytes>) -> Outcome<Response<Bytes>> {
    let what = format!("the response to {} {}", request.method(), request.uri());
    within(&what, send_patiently(entry, request)).await
}

/// The same without a deadline.
///
/// # Errors
/// When no complete response comes.
pub(crate) async fn send_patiently(entry: SocketAddr, request: Request<Bytes>) -> Outcome<Response<Bytes>> {
    let stream = TokioIo::new(TcpStream::connect(entry).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    let exchange = async move {
        let (parts, body) = sender.send_request(request.map(Full::new)).await?.into_parts();
        Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
    };
    // The connection ends with the exchange, so what it says is the exchange's to tell.
    tokio::select! {
        response = exchange => response,
        Err(error) = connection => Err(error.into()),
    }
}
