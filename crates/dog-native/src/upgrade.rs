//! What happens to a connection that is upgraded to a WebSocket: it is handed over to the thread of its Replica, or to
//! a tunnel to the node of its Replica.

use std::sync::Arc;

use dog::http::header::SEC_WEBSOCKET_EXTENSIONS;
use dog::internal::CloseAtOnce;
use dog::{Body, Close, Request, Response};
use dog_engine::Upgrade;
use dog_engine::handshake::Deflate;
use hyper::server::conn::http1;
use hyper::upgrade::{OnUpgrade, Parts, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::addresses::AddressPermit;
use crate::config::Config;
use crate::connection::{Lane, Session, Stream, Transport};
use crate::mail::{Attach, Mail, TurnedAway};
use crate::pace::Client;
use crate::repeats::seldom;
use crate::shared::Shared;
use crate::shutdown_watch::StreamTimes;
use crate::tls::{NodeStream, TlsClient};
use crate::tunnel::{Tunnel, copy_both_ways};

/// Returns the HTTP settings of every connection.
pub(crate) fn http(config: &Config) -> http1::Builder {
    let mut http = http1::Builder::new();
    // `pace` enforces the timeouts.
    http.header_read_timeout(None).max_buf_size(config.max_header);
    http
}

/// Returns the request with a body of type [`Body`], and the future of its connection if it is upgraded.
pub(crate) fn take_upgrade<B>(mut request: hyper::Request<B>) -> (Request, Option<OnUpgrade>)
where
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let request = request.map(|body| if body.is_end_stream() { Body::empty() } else { Body::stream(body) });
    (request, upgrade)
}

/// A connection that is being upgraded, and its destination.
pub(crate) struct Handover {
    upgrade: OnUpgrade,
    destination: Destination,
}

enum Destination {
    /// A Replica of this process, and how its client takes messages.
    Replica { upgrade: Upgrade, lane: Lane },
    /// Nobody: the connection is closed at once.
    Nobody { close: Close, lane: Lane },
    /// The node that has the Replica.
    Node(Tunnel),
}

impl Handover {
    /// Returns the handover that a response requires, if it opens a WebSocket.
    pub(crate) fn of(upgrade: Option<OnUpgrade>, response: &mut Response) -> Option<Self> {
        // Removed in any case, because nothing else uses them.
        let replica = response.extensions_mut().remove::<Upgrade>();
        let node = response.extensions_mut().remove::<Tunnel>();
        let nobody = response.extensions_mut().remove::<CloseAtOnce>();
        if response.status() != dog::http::StatusCode::SWITCHING_PROTOCOLS {
            return None;
        }
        let lane = agreed_lane(response);
        let destination = match (replica, node, nobody) {
            (Some(upgrade), ..) => Destination::Replica { upgrade, lane },
            (_, Some(node), _) => Destination::Node(node),
            (_, _, Some(CloseAtOnce(close))) => Destination::Nobody { close, lane },
            (None, None, None) => return None,
        };
        Some(Self { upgrade: upgrade?, destination })
    }

    /// Waits until HTTP releases the connection, then hands it over. If that fails, its socket ends. The worker `index` closes
    /// a connection that is refused.
    pub(crate) async fn complete(self, shared: &Shared, index: usize, permit: Option<Arc<AddressPermit>>) {
        let Ok(upgraded) = self.upgrade.await else { return };
        match self.destination {
            Destination::Replica { upgrade, lane } => attach(upgraded, upgrade, lane, shared, permit),
            Destination::Nobody { close, lane } => turn_away(upgraded, close, (lane, permit), shared, index),
            Destination::Node(tunnel) => {
                tokio::spawn(async move {
                    tunnel.run(upgraded).await;
                    drop(permit);
                });
            }
        }
    }
}

fn agreed_lane(response: &mut Response) -> Lane {
    let deflate = response.extensions_mut().remove::<Deflate>();
    // The client reads the header, and the App may have removed it.
    let agreed = deflate.filter(|deflate| response.headers().get(SEC_WEBSOCKET_EXTENSIONS) == Some(&deflate.answer()));
    agreed.map_or(Lane::Plain, |deflate| Lane::of_window(deflate.window()))
}

/// Sends the connection to the thread of its Replica. From then on, no other thread uses it.
fn attach(upgraded: Upgraded, upgrade: Upgrade, lane: Lane, shared: &Shared, permit: Option<Arc<AddressPermit>>) {
    if let Some((transport, unread)) = release(upgraded, shared) {
        let (replica, socket) = upgrade.accept();
        let attach = Attach { socket, transport, unread, lane, permit };
        let worker = shared.post.worker_of(replica.replica.as_bytes());
        shared.post.send(worker, vec![Mail::Attach(Box::new(attach))]);
    }
}

/// Sends a connection that is refused to a worker, which closes it as it closes sockets, and waits for the client's close.
fn turn_away(
    upgraded: Upgraded,
    close: Close,
    (lane, permit): (Lane, Option<Arc<AddressPermit>>),
    shared: &Shared,
    index: usize,
) {
    if let Some((transport, unread)) = release(upgraded, shared) {
        let refused = TurnedAway { close, transport, unread, lane, permit };
        shared.post.send(index, vec![Mail::TurnAway(Box::new(refused))]);
    }
}

/// Takes the connection out of HTTP.
fn release(upgraded: Upgraded, shared: &Shared) -> Option<(Transport, Vec<u8>)> {
    match detach(upgraded, StreamTimes::of(&shared.config)) {
        Ok(released) => Some(released),
        Err(error) => {
            seldom!(error, "a connection could not be handed over", "a connection could not be handed over: {error}");
            None
        }
    }
}

fn detach(upgraded: Upgraded, times: StreamTimes) -> std::io::Result<(Transport, Vec<u8>)> {
    let upgraded = match upgraded.downcast::<TokioIo<Client>>() {
        Ok(Parts { io, read_buf, .. }) => return Ok((plain(io.into_inner().into_stream()?)?, read_buf.into())),
        Err(upgraded) => upgraded,
    };
    let upgraded = match upgraded.downcast::<TokioIo<TlsClient>>() {
        Ok(Parts { io, read_buf, .. }) => {
            let (client, session) = (*io.into_inner()).into_inner();
            let stream = client.into_stream()?.into_std()?;
            return Ok((Transport::encrypted(stream, Session::new(session)), read_buf.into()));
        }
        Err(upgraded) => upgraded,
    };
    // The connection of another node.
    let upgraded = match upgraded.downcast::<TokioIo<NodeStream>>() {
        Ok(Parts { io, read_buf, .. }) => {
            let (stream, session) = (*io.into_inner()).into_inner();
            return Ok((Transport::encrypted(stream.into_std()?, Session::new(session)), read_buf.into()));
        }
        Err(upgraded) => upgraded,
    };
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(Parts { io, read_buf, .. }) => Ok((plain(io.into_inner())?, read_buf.into())),
        Err(upgraded) => Ok((bridge(upgraded, times)?.into(), Vec::new())),
    }
}

fn plain(stream: TcpStream) -> std::io::Result<Transport> {
    Ok(Stream::from_tcp(stream.into_std()?).into())
}

/// Wraps the transport of another server, such as axum's TLS, which stays with its own runtime. Its bytes are copied to and
/// from one end of a socket pair. The other end is like any other connection.
fn bridge(upgraded: Upgraded, times: StreamTimes) -> std::io::Result<Stream> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    let theirs = tokio::net::UnixStream::from_std(theirs)?;
    tokio::spawn(copy_both_ways(TokioIo::new(upgraded), theirs, std::future::pending(), times));
    Ok(Stream::from_pair(ours))
}
