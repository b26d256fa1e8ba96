//! One HTTP request and its response.

use std::net::SocketAddr;

use bytes::Bytes;
use dog::http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::check::{Outcome, same, within};

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

/// A response that comes bit by bit.
pub struct Streamed {
    body: hyper::body::Incoming,
    /// Dropped with this, it ends the connection.
    connection: tokio::task::JoinHandle<()>,
}

impl Streamed {
    /// Asks for `path`, and reads the head of the response.
    ///
    /// # Errors
    /// When there is none in time, or it is not 200.
    pub(crate) async fn open(entry: SocketAddr, path: &str) -> Outcome<Self> {
        let request = Request::get(path).header("host", "conformance").body(Full::<Bytes>::default())?;
        let opened = async {
            let stream = TokioIo::new(TcpStream::connect(entry).await?);
            let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
            let connection = tokio::spawn(async { drop(connection.await) });
            let response = sender.send_request(request).await?;
            same(response.status(), StatusCode::OK, "the status of a stream")?;
            Ok(Self { body: response.into_body(), connection })
        };
        within(&format!("the stream of {path}"), opened).await
    }

    /// The next text; `None` at its proper end.
    ///
    /// # Errors
    /// When nothing comes in time, or the stream breaks off.
    pub async fn next(&mut self) -> Outcome<Option<String>> {
        within("what is streamed", async {
            loop {
                match self.body.frame().await.transpose()?.map(hyper::body::Frame::into_data) {
                    Some(Ok(data)) => return Ok(Some(String::from_utf8_lossy(&data).into_owned())),
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
