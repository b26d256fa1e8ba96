//! One HTTP request and its response.

use std::net::SocketAddr;

use bytes::Bytes;
use dog::http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::check::{Outcome, same, within};

/// Requests `path`.
///
/// # Errors
/// If no complete response comes in time.
pub async fn get(entry: SocketAddr, path: &str) -> Outcome<Response<Bytes>> {
    send(entry, Request::get(path).header("host", "conformance").body(Bytes::new())?).await
}

/// Sends `request` on a new connection and reads the whole response.
///
/// # Errors
/// If no complete response comes in time.
pub(crate) async fn send(entry: SocketAddr, request: Request<Bytes>) -> Outcome<Response<Bytes>> {
    let what = format!("the response to {} {}", request.method(), request.uri());
    within(&what, send_patiently(entry, request)).await
}

/// Sends `request` without a deadline.
///
/// # Errors
/// If no complete response comes.
pub(crate) async fn send_patiently(entry: SocketAddr, request: Request<Bytes>) -> Outcome<Response<Bytes>> {
    let stream = TokioIo::new(TcpStream::connect(entry).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    let exchange = async move {
        let (parts, body) = sender.send_request(request.map(Full::new)).await?.into_parts();
        Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
    };
    // The connection ends with the exchange, which reports the error of the connection.
    tokio::select! {
        response = exchange => response,
        Err(error) = connection => Err(error.into()),
    }
}

/// A streamed response.
pub struct Streamed {
    content_type: String,
    body: hyper::body::Incoming,
    /// Ends the connection when it is dropped.
    connection: tokio::task::JoinHandle<()>,
}

impl Streamed {
    /// Requests `path` and reads the head of the response.
    ///
    /// # Errors
    /// If there is none in time, or its status is not 200.
    pub(crate) async fn open(entry: SocketAddr, path: &str) -> Outcome<Self> {
        Self::answered(entry, Request::get(path).header("host", "conformance").body(Bytes::new())?).await
    }

    /// Sends `request` and reads the head of the response.
    ///
    /// # Errors
    /// If there is none in time, or its status is not 200.
    pub(crate) async fn answered(entry: SocketAddr, request: Request<Bytes>) -> Outcome<Self> {
        let what = format!("the stream of {}", request.uri());
        let opened = async {
            let stream = TokioIo::new(TcpStream::connect(entry).await?);
            let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
            let connection = tokio::spawn(async { drop(connection.await) });
            let response = sender.send_request(request.map(Full::new)).await?;
            same(response.status(), StatusCode::OK, "the status of a stream")?;
            let content_type = response.headers().get("content-type").and_then(|kind| kind.to_str().ok());
            let content_type = content_type.unwrap_or_default().to_owned();
            Ok(Self { content_type, body: response.into_body(), connection })
        };
        within(&what, opened).await
    }

    /// The header `content-type`.
    pub(crate) fn content_type(&self) -> &str {
        &self.content_type
    }

    /// The next text, or `None` at the end.
    ///
    /// # Errors
    /// If nothing comes in time, or if the stream breaks off.
    pub async fn next(&mut self) -> Outcome<Option<String>> {
        Ok(self.next_bytes().await?.map(|data| String::from_utf8_lossy(&data).into_owned()))
    }

    /// The next bytes, or `None` at the end.
    ///
    /// # Errors
    /// If nothing comes in time, or if the stream breaks off.
    pub(crate) async fn next_bytes(&mut self) -> Outcome<Option<Bytes>> {
        within("what is streamed", async {
            loop {
                match self.body.frame().await.transpose()?.map(hyper::body::Frame::into_data) {
                    Some(Ok(data)) => return Ok(Some(data)),
                    Some(Err(_)) => {}
                    None => return Ok(None),
                }
            }
        })
        .await
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
