//! Tunnels: connections of clients whose Replica lives on another node.
//!
//! This node copies their bytes and does not look at the messages. When this node shuts down, or the other node is
//! given up, the client gets a close frame at the next frame boundary, and may answer it.

use std::sync::Arc;
use std::time::Duration;

use dog::CloseCode;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, split};
use tokio::sync::watch;

use crate::cluster::peer_watch::PeerAlive;
use crate::shutdown_watch::{OpenStream, StreamTimes};
use crate::websocket::{FrameBoundary, close_frame};

/// The connection to the other node, in the response to a request that was forwarded there. The type is private, so
/// that no response of an App can contain one.
#[derive(Clone)]
pub(crate) struct Tunnel {
    other_end: OnUpgrade,
    stream: Arc<OpenStream>,
    peer: PeerAlive,
}

impl Tunnel {
    pub(crate) fn new(other_end: OnUpgrade, stream: OpenStream, peer: PeerAlive) -> Self {
        Self { other_end, stream: Arc::new(stream), peer }
    }

    /// Copies between the client and the node of its Replica, until both have ended or one of them breaks.
    pub(crate) async fn run(self, client: Upgraded) {
        let Ok(other_end) = self.other_end.await else { return };
        let (mut shutdown, mut peer) = (self.stream.watch(), self.peer);
        let times = shutdown.times();
        let due = async {
            tokio::select! {
                () = shutdown.is_due() => {}
                () = peer.ends() => {}
            }
        };
        copy_both_ways(TokioIo::new(client), TokioIo::new(other_end), due, times).await;
    }
}

/// Copies between a client and the node of its Replica, until both have ended or one of them breaks. When that node has
/// ended the connection, or `due` completes, the remaining bytes have `times.close` to be sent. So a client that does
/// not read or does not close cannot keep the connection open.
pub(crate) async fn copy_both_ways<Client, There>(
    client: Client,
    there: There,
    due: impl Future<Output = ()>,
    times: StreamTimes,
) where
    Client: AsyncRead + AsyncWrite,
    There: AsyncRead + AsyncWrite,
{
    let (from_client, mut to_client) = split(client);
    let (mut from_there, to_there) = split(there);
    let (is_due, is_ending) = (watch::Sender::new(false), watch::Sender::new(false));
    let up = upwards(from_client, to_there);
    let down = async {
        if downwards(&mut from_there, &mut to_client, is_set(&is_due), times.stall).await? {
            // The client's close frame goes to the other node, which then ends the connection. Whatever that node still
            // sends is dropped.
            copy(&mut from_there, &mut tokio::io::sink()).await?;
        }
        is_ending.send_replace(true);
        to_client.shutdown().await
    };
    let timed_out = async {
        tokio::select! {
            // This runs concurrently with the copying, which may be waiting for a client that does not read.
            () = due => drop(is_due.send_replace(true)),
            () = is_set(&is_ending) => {}
        }
        tokio::time::sleep(times.close).await;
    };
    tokio::select! {
        // Errors concern only the client and the node of its Replica.
        _ = async { tokio::try_join!(up, down) } => {}
        () = timed_out => {}
    }
}

async fn is_set(flag: &watch::Sender<bool>) {
    // The sender is borrowed, so it outlives this.
    let _ = flag.subscribe().wait_for(|set| *set).await;
}

async fn upwards(mut client: impl AsyncRead + Unpin, mut there: impl AsyncWrite + Unpin) -> std::io::Result<()> {
    copy(&mut client, &mut there).await?;
    there.shutdown().await
}

/// Writes all bytes. Fails if the client takes none of them for `stall`.
async fn write(to: &mut (impl AsyncWrite + Unpin), mut bytes: &[u8], stall: Duration) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match tokio::time::timeout(stall, to.write(bytes)).await?? {
            0 => return Err(std::io::ErrorKind::WriteZero.into()),
            written => bytes = &bytes[written..],
        }
    }
    tokio::time::timeout(stall, to.flush()).await?
}

/// Copies frames to a client until there are no more, or until `due` completes: then the client gets a close frame
/// after the current frame. Returns whether it got one.
async fn downwards(
    mut there: impl AsyncRead + Unpin,
    mut client: impl AsyncWrite + Unpin,
    due: impl Future<Output = ()>,
    stall: Duration,
) -> std::io::Result<bool> {
    let mut due = std::pin::pin!(due);
    let (mut is_due, mut boundary) = (false, FrameBoundary::default());
    let mut buffer = vec![0; 8 * 1024];
    while !is_due || boundary.is_within() {
        let length = tokio::select! {
            biased;
            () = &mut due, if !is_due => {
                is_due = true;
                continue;
            }
            length = there.read(&mut buffer) => length?,
        };
        if length == 0 {
            return Ok(false);
        }
        let length = if is_due { boundary.advance(&buffer[..length]) } else { boundary.advance_all(&buffer[..length]) };
        write(&mut client, &buffer[..length], stall).await?;
    }
    write(&mut client, &close_frame(Some(CloseCode::RESTARTING.as_u16()), "the server restarts"), stall).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dog::Message;

    fn sent(lengths: &[usize]) -> Vec<Vec<u8>> {
        lengths.iter().map(|length| Message::binary(vec![7; *length]).frame().to_vec()).collect()
    }

    /// Longer than any test takes. Only a test that hangs reaches it.
    const PATIENCE: Duration = Duration::from_secs(30);

    const SHORT: StreamTimes = StreamTimes { close: Duration::from_millis(20), stall: PATIENCE };

    #[tokio::test]
    async fn a_client_that_takes_nothing_for_long_is_let_go() {
        let (client, _outside) = tokio::io::duplex(1000);
        let (there, mut replica) = tokio::io::duplex(1 << 16);
        replica.write_all(&sent(&[4000]).concat()).await.unwrap();
        let times = StreamTimes { close: PATIENCE, stall: Duration::from_millis(20) };
        let passes = copy_both_ways(client, there, std::future::pending(), times);
        assert!(tokio::time::timeout(PATIENCE, passes).await.is_ok(), "the connection did not time out");
    }

    #[tokio::test]
    async fn a_client_that_does_not_hang_up_after_its_replica_has_is_let_go() {
        let (client, mut outside) = tokio::io::duplex(1 << 16);
        let (there, mut replica) = tokio::io::duplex(1 << 16);
        let close = close_frame(Some(1001), "no answer to a ping");
        let replica = async move {
            replica.write_all(&close).await.unwrap();
            replica.shutdown().await.unwrap();
            // The replica reads nothing more, because the client sends nothing.
            replica
        };
        let passes = copy_both_ways(client, there, std::future::pending(), SHORT);
        let (ended, _replica) = tokio::join!(tokio::time::timeout(PATIENCE, passes), replica);
        assert!(ended.is_ok(), "the connection did not end after the replica had closed it");
        let mut got = Vec::new();
        outside.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, close_frame(Some(1001), "no answer to a ping"));
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_does_not_put_off_the_end_of_its_node() {
        let (client, _outside) = tokio::io::duplex(1000);
        let (there, mut replica) = tokio::io::duplex(1 << 20);
        let (tell, told) = tokio::sync::oneshot::channel::<()>();
        let frames = sent(&[500, 40_000]).concat();
        let replica = async {
            replica.write_all(&frames).await.unwrap();
            // The bytes that the client does not read fill the buffers.
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            tell.send(()).unwrap();
        };
        let due = async { drop(told.await) };
        let passes = copy_both_ways(client, there, due, SHORT);
        let (ended, ()) = tokio::join!(tokio::time::timeout(PATIENCE, passes), replica);
        assert!(ended.is_ok(), "it waits for a client that does not read");
    }

    #[tokio::test]
    async fn a_client_that_is_sent_away_gets_the_frame_under_way_and_then_the_close() {
        let frames = sent(&[10, 40_000, 20]);
        let all = frames.concat();
        let (mut there, from_there) = tokio::io::duplex(1 << 20);
        let (to_client, mut client) = tokio::io::duplex(1 << 20);
        // The second frame is incomplete when `due` completes.
        let cut = frames[0].len() + 1000;
        there.write_all(&all[..cut]).await.unwrap();
        let (tell, told) = tokio::sync::oneshot::channel::<()>();
        let due = async { drop(told.await) };
        let mut got = vec![0; cut];
        let passes = async { downwards(from_there, to_client, due, PATIENCE).await.unwrap() };
        let rest = async {
            client.read_exact(&mut got).await.unwrap();
            tell.send(()).unwrap();
            tokio::task::yield_now().await;
            there.write_all(&all[cut..]).await.unwrap();
            client.read_to_end(&mut got).await.unwrap();
        };
        let (was_sent_away, ()) = tokio::join!(passes, rest);
        assert!(was_sent_away);
        let close = close_frame(Some(1012), "the server restarts");
        assert_eq!(got, [&frames[0][..], &frames[1], &close].concat());
    }
}
