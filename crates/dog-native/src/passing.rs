//! Connections of clients whose Replica lives at another node: their bytes are copied, and nobody here knows what they
//! say. Only when this node ends, or the other is given up, its clients are told to come back, at the end of a frame, and
//! may answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dog::CloseCode;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, split};
use tokio::sync::watch;

use crate::cluster::Lasts;
use crate::config::Config;
use crate::websocket::close_frame;
use crate::worker::{Mail, Post};

/// So many are told to come back at once: too few to come back as a storm.
const FEW: usize = 100;

/// In the response of a request that was passed on to another node: what becomes the connection there. Of a private type,
/// so that no App's response is taken for one.
#[derive(Clone)]
pub(crate) struct Passage {
    there: OnUpgrade,
    counted: Arc<Counted>,
    other: Lasts,
}

/// What a passage knows of the worker that it was made on, whatever thread its bytes are copied on.
#[derive(Clone)]
pub(crate) struct Leaving {
    /// Set when sockets are to be sent away.
    pub(crate) sends_away: watch::Receiver<bool>,
    /// All of this worker.
    pub(crate) passages: Arc<AtomicUsize>,
    /// Over what time they are sent away, if they are many.
    pub(crate) within: Duration,
    pub(crate) times: PassTimes,
    pub(crate) post: Post,
    pub(crate) worker: usize,
}

/// How long a client may take whose bytes are copied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PassTimes {
    /// To hang up, and to take what is left, once its connection is to end.
    pub(crate) close: Duration,
    /// Without taking a byte of what is sent to it.
    stall: Duration,
}

impl PassTimes {
    pub(crate) fn of(config: &Config) -> Self {
        Self { close: config.close_timeout, stall: config.stall_timeout }
    }
}

/// Counts while it is there: its worker waits for it.
pub(crate) struct Counted(Leaving);

impl Counted {
    pub(crate) fn new(leaving: Leaving) -> Self {
        leaving.passages.fetch_add(1, Ordering::AcqRel);
        Self(leaving)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.passages.fetch_sub(1, Ordering::AcqRel);
        if *self.0.sends_away.borrow() {
            // It looks again whether it has done.
            self.0.post.send(self.0.worker, vec![Mail::Drained]);
        }
    }
}

impl Leaving {
    /// Ends when clients are being sent away.
    pub(crate) async fn begins(&mut self) {
        if self.sends_away.wait_for(|sends_away| *sends_away).await.is_err() {
            // The worker is gone, and the task goes with it.
            std::future::pending::<()>().await;
        }
    }

    /// Ends when it is this client's turn.
    pub(crate) async fn is_due(&mut self) {
        self.begins().await;
        if self.passages.load(Ordering::Acquire) > FEW {
            let mut random = [0; 4];
            // Without randomness all come back at once.
            let _ = getrandom::fill(&mut random);
            let share = f64::from(u32::from_ne_bytes(random)) / f64::from(u32::MAX);
            tokio::time::sleep(self.within.mul_f64(share)).await;
        }
    }
}

impl Passage {
    pub(crate) fn new(there: OnUpgrade, leaving: Leaving, other: Lasts) -> Self {
        Self { there, counted: Arc::new(Counted::new(leaving)), other }
    }

    /// Copies between a client and the node of its Replica, until both have ended or either breaks.
    pub(crate) async fn pass(self, client: Upgraded) {
        let Ok(there) = self.there.await else { return };
        let (mut leaving, mut other) = (self.counted.0.clone(), self.other);
        let times = leaving.times;
        let due = async {
            tokio::select! {
                () = leaving.is_due() => {}
                () = other.ends() => {}
            }
        };
        between(TokioIo::new(client), TokioIo::new(there), due, times).await;
    }
}

/// Copies between a client and the node of its Replica, until both have ended or either breaks. Once that node has ended
/// the connection, or the client is `due` to be sent away, what is left to be said has its time: a client that does not
/// read, or does not hang up, keeps nothing for longer.
pub(crate) async fn between<Client, There>(
    client: Client,
    there: There,
    due: impl Future<Output = ()>,
    times: PassTimes,
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
            // The client's answer goes there, and ends the connection there. What else is said comes too late.
            copy(&mut from_there, &mut tokio::io::sink()).await?;
        }
        is_ending.send_replace(true);
        to_client.shutdown().await
    };
    let too_late = async {
        tokio::select! {
            // Beside the copying, which may be waiting for a client that does not read.
            () = due => drop(is_due.send_replace(true)),
            () = is_set(&is_ending) => {}
        }
        tokio::time::sleep(times.close).await;
    };
    tokio::select! {
        // How it ends is between the client and the node of the Replica.
        _ = async { tokio::try_join!(up, down) } => {}
        () = too_late => {}
    }
}

async fn is_set(flag: &watch::Sender<bool>) {
    // The sender is borrowed, and lives as long.
    let _ = flag.subscribe().wait_for(|set| *set).await;
}

async fn upwards(mut client: impl AsyncRead + Unpin, mut there: impl AsyncWrite + Unpin) -> std::io::Result<()> {
    copy(&mut client, &mut there).await?;
    there.shutdown().await
}

/// Writes all of this, to one that takes some of it from time to time.
async fn write(to: &mut (impl AsyncWrite + Unpin), mut bytes: &[u8], stall: Duration) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match tokio::time::timeout(stall, to.write(bytes)).await?? {
            0 => return Err(std::io::ErrorKind::WriteZero.into()),
            written => bytes = &bytes[written..],
        }
    }
    tokio::time::timeout(stall, to.flush()).await?
}

/// Copies frames to a client until there are no more, or it is `due` to be sent away: whether it was.
async fn downwards(
    mut there: impl AsyncRead + Unpin,
    mut client: impl AsyncWrite + Unpin,
    due: impl Future<Output = ()>,
    stall: Duration,
) -> std::io::Result<bool> {
    let mut due = std::pin::pin!(due);
    let (mut is_due, mut frames) = (false, Frames::default());
    let mut buffer = vec![0; 8 * 1024];
    while !is_due || frames.is_within() {
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
        let length = if is_due { frames.advance(&buffer[..length]) } else { frames.advance_all(&buffer[..length]) };
        write(&mut client, &buffer[..length], stall).await?;
    }
    write(&mut client, &close_frame(Some(CloseCode::RESTARTING.as_u16()), "the server restarts"), stall).await?;
    Ok(true)
}

/// Where in a server's frames a stream of bytes is.
#[derive(Default)]
struct Frames {
    /// The first bytes of a frame whose header is not whole yet.
    head: [u8; Self::LONGEST],
    begun: usize,
    /// Bytes of payload that are still to come.
    left: u64,
}

impl Frames {
    /// Two bytes, and a length of eight: a server masks nothing.
    const LONGEST: usize = 10;

    fn is_within(&self) -> bool {
        self.begun > 0 || self.left > 0
    }

    /// The header's length, as far as it shows.
    fn header(&self) -> usize {
        match self.head[1] & 0x7f {
            _ if self.begun < 2 => 2,
            126 => 4,
            127 => Self::LONGEST,
            _ => 2,
        }
    }

    /// Goes on to the end of the frame that is under way, if that is among these bytes: how many belong to it.
    fn advance(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        while self.left == 0 {
            let Some(byte) = bytes.get(used) else { return used };
            self.head[self.begun] = *byte;
            self.begun += 1;
            used += 1;
            if self.begun == self.header() {
                self.left = self.payload();
                self.begun = 0;
                if self.left == 0 {
                    return used;
                }
            }
        }
        let rest = bytes.len() - used;
        let payload = usize::try_from(self.left).map_or(rest, |left| left.min(rest));
        self.left -= payload as u64;
        used + payload
    }

    fn payload(&self) -> u64 {
        let [_, short, long @ ..] = self.head;
        match short & 0x7f {
            126 => u64::from(u16::from_be_bytes([long[0], long[1]])),
            127 => u64::from_be_bytes(long),
            length => u64::from(length),
        }
    }

    fn advance_all(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        while used < bytes.len() {
            used += self.advance(&bytes[used..]);
        }
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dog::Message;

    fn sent(lengths: &[usize]) -> Vec<Vec<u8>> {
        lengths.iter().map(|length| Message::binary(vec![7; *length]).frame().to_vec()).collect()
    }

    #[test]
    fn frames_of_all_lengths_are_told_apart_however_their_bytes_come() {
        let frames = sent(&[0, 1, 125, 126, 300, 65_535, 65_536, 70_000, 0, 5]);
        let all = frames.concat();
        for size in [1, 2, 3, 7, 1000, all.len()] {
            let (mut parser, mut ends, mut at) = (Frames::default(), Vec::new(), 0);
            for mut bytes in all.chunks(size) {
                while !bytes.is_empty() {
                    let used = parser.advance(bytes);
                    at += used;
                    bytes = &bytes[used..];
                    if !parser.is_within() {
                        ends.push(at);
                    }
                }
            }
            let expected = frames.iter().scan(0, |at, frame| {
                *at += frame.len();
                Some(*at)
            });
            assert_eq!(ends, expected.collect::<Vec<_>>(), "{size} bytes at once");
        }
    }

    /// Longer than anything here takes; reached only by what hangs.
    const PATIENCE: Duration = Duration::from_secs(30);

    const SHORT: PassTimes = PassTimes { close: Duration::from_millis(20), stall: PATIENCE };

    #[tokio::test]
    async fn a_client_that_takes_nothing_for_long_is_let_go() {
        let (client, _outside) = tokio::io::duplex(1000);
        let (there, mut replica) = tokio::io::duplex(1 << 16);
        replica.write_all(&sent(&[4000]).concat()).await.unwrap();
        let times = PassTimes { close: PATIENCE, stall: Duration::from_millis(20) };
        let passes = between(client, there, std::future::pending(), times);
        assert!(tokio::time::timeout(PATIENCE, passes).await.is_ok(), "it is waited for without an end");
    }

    #[tokio::test]
    async fn a_client_that_does_not_hang_up_after_its_replica_has_is_let_go() {
        let (client, mut outside) = tokio::io::duplex(1 << 16);
        let (there, mut replica) = tokio::io::duplex(1 << 16);
        let close = close_frame(Some(1001), "no answer to a ping");
        let replica = async move {
            replica.write_all(&close).await.unwrap();
            replica.shutdown().await.unwrap();
            // It has read nothing more from a client that says nothing any more.
            replica
        };
        let passes = between(client, there, std::future::pending(), SHORT);
        let (ended, _replica) = tokio::join!(tokio::time::timeout(PATIENCE, passes), replica);
        assert!(ended.is_ok(), "the connection is kept for as long as the client likes");
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
            // What the client does not take fills the way to it.
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            tell.send(()).unwrap();
        };
        let due = async { drop(told.await) };
        let passes = between(client, there, due, SHORT);
        let (ended, ()) = tokio::join!(tokio::time::timeout(PATIENCE, passes), replica);
        assert!(ended.is_ok(), "it waits for the client for ever");
    }

    #[tokio::test]
    async fn a_client_that_is_sent_away_gets_the_frame_under_way_and_then_the_close() {
        let frames = sent(&[10, 40_000, 20]);
        let all = frames.concat();
        let (mut there, from_there) = tokio::io::duplex(1 << 20);
        let (to_client, mut client) = tokio::io::duplex(1 << 20);
        // The second frame is under way when the time has come.
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
