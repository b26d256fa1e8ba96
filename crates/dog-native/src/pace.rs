//! The timeouts of HTTP: for a request's line and headers, for its body, for reading the response, and for the next
//! request. hyper has only one timeout, for everything before a request, so this module enforces them. A response that
//! is written without waiting needs no timer.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::addresses::AddressPermit;
use crate::config::Config;

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// For a request's line and headers, from its first byte. For the first request, from the start of the connection.
    pub(crate) head: Duration,
    /// Without reading a byte of a response, or sending a byte of an expected body.
    pub(crate) stall: Duration,
    /// From one request to the next.
    pub(crate) idle: Duration,
}

impl Times {
    pub(crate) fn of(config: &Config) -> Self {
        Self { head: config.handshake_timeout, stall: config.stall_timeout, idle: config.keep_alive_timeout }
    }
}

/// The phase of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waiting for a request: for the first one, or for the rest of one that has begun to arrive.
    Head,
    /// A request is being answered.
    Busy,
    /// The response is complete and is being written. The next request may arrive.
    Idle,
}

/// The shared state of a connection's parts. Usually all of them belong to one task.
#[derive(Debug, Default)]
struct State {
    /// The number of phase changes, and the phase. The number shows that a phase was left and entered again.
    phase: AtomicU64,
    /// How often bytes were read or written.
    moved: AtomicU64,
    /// Whether a write is waiting for the client to read.
    writes: AtomicBool,
}

impl State {
    fn enter(&self, phase: Phase) {
        let changes = self.phase.load(Ordering::Relaxed) / 4 + 1;
        self.phase.store(changes * 4 + phase as u64, Ordering::Relaxed);
    }

    fn phase(&self) -> (u64, Phase) {
        let phase = self.phase.load(Ordering::Relaxed);
        let is = match phase % 4 {
            0 => Phase::Head,
            1 => Phase::Busy,
            _ => Phase::Idle,
        };
        (phase, is)
    }

    fn moves(&self) {
        self.moved.store(self.moved() + 1, Ordering::Relaxed);
    }

    fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }
}

/// The connection as hyper reads and writes it.
#[derive(Debug)]
pub(crate) struct Client {
    stream: Arc<TcpStream>,
    state: Arc<State>,
    stall: Stall,
}

/// Enforces the timeouts of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    stream: Arc<TcpStream>,
    state: Arc<State>,
    times: Times,
}

/// Applies these timeouts to a connection.
pub(crate) fn keep(stream: TcpStream, times: Times) -> (Client, Pace) {
    let (stream, state) = (Arc::new(stream), Arc::<State>::default());
    let client = Client { stream: Arc::clone(&stream), state: Arc::clone(&state), stall: Stall::new(times.stall) };
    (client, Pace { stream, state, times })
}

impl Client {
    /// Returns the stream, if no other part of the connection is left.
    pub(crate) fn into_stream(self) -> io::Result<TcpStream> {
        Arc::try_unwrap(self.stream).map_err(|_| io::Error::other("another part of the connection still exists"))
    }

    /// Waits for the first byte, and leaves it to be read. `None` is the end of the stream.
    pub(crate) async fn first_byte(&self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        let length = self.stream.peek(&mut byte).await?;
        Ok((length > 0).then_some(byte[0]))
    }

    fn wrote(&mut self, written: io::Result<usize>) -> Poll<io::Result<usize>> {
        self.stall.ends();
        self.state.writes.store(false, Ordering::Relaxed);
        self.state.moves();
        Poll::Ready(written)
    }

    /// Completes when the kernel may take more bytes, or with an error when the client has read nothing for too long.
    fn poll_writable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.stream.poll_write_ready(context) {
            Poll::Ready(ready) => Poll::Ready(ready),
            Poll::Pending => {
                self.state.writes.store(true, Ordering::Relaxed);
                ready!(self.stall.poll(context));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
            }
        }
    }
}

impl AsyncRead for Client {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(context))?;
            match self.stream.try_read_buf(buffer) {
                Ok(length) => {
                    if length > 0 {
                        self.state.moves();
                        if self.state.phase().1 == Phase::Idle {
                            self.state.enter(Phase::Head);
                        }
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Client {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_writable(context))?;
            match self.stream.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return self.wrote(written),
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_writable(context))?;
            match self.stream.try_write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return self.wrote(written),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.stream).shutdown(Shutdown::Write))
    }
}

impl Pace {
    /// Notes that a request has arrived. It is being answered until the returned value is dropped.
    pub(crate) fn request<B>(&self) -> Answering<B> {
        self.state.enter(Phase::Busy);
        Answering { state: Some(Arc::clone(&self.state)), body: None, permit: None }
    }

    /// Wraps the body of a request. It fails if the client stops sending.
    pub(crate) fn incoming<B>(&self, body: B) -> Incoming<B> {
        Incoming { body, stall: Stall::new(self.times.stall) }
    }

    /// Completes when the client has shut down its side or is gone.
    pub(crate) async fn hangs_up(&self) {
        tokio::select! {
            () = has_finished(&self.stream) => {}
            () = is_lost(&self.stream) => {}
        }
    }

    /// Makes the kernel give up a client that has vanished while something is sent to it, instead of trying for a quarter of
    /// an hour.
    pub(crate) fn gives_up_after(&self, time: Duration) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        // If the system refuses this option, the client is only noticed later.
        let _ = SockRef::from(&*self.stream).set_tcp_user_timeout(Some(time));
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let _ = time;
    }

    /// Completes with a reason when the connection must be closed: the client is gone, or has taken too long. Poll it
    /// in the task of the connection, after everything else.
    pub(crate) async fn over(&self) -> &'static str {
        let mut lost = pin!(is_lost(&self.stream));
        let mut finished = pin!(has_finished(&self.stream));
        let mut has_finished = false;
        let mut due = pin!(sleep(self.times.head));
        // The state at the start of the connection: much may have happened before the first poll.
        let (mut seen, mut moved, mut is_due) = (0, 0, true);
        poll_fn(|context| {
            if lost.as_mut().poll(context).is_ready() {
                return Poll::Ready("the client is gone");
            }
            let mut changed = false;
            if !has_finished && finished.as_mut().poll(context).is_ready() {
                (has_finished, changed) = (true, true);
            }
            let (phase, is) = self.state.phase();
            changed |= std::mem::replace(&mut seen, phase) != phase;
            let (time, why) = match is {
                Phase::Head => (Some(self.times.head), "a request did not arrive in time"),
                Phase::Idle => (Some(self.times.idle), "no request has arrived for a long time"),
                // The client may have shut down its side and be waiting for the response, or it may be gone. A write
                // shows which.
                Phase::Busy => {
                    (has_finished.then_some(self.times.stall), "no progress since the client shut down its side")
                }
            };
            if changed {
                (moved, is_due) = (self.state.moved(), time.is_some());
                time.into_iter().for_each(|time| due.as_mut().reset(Instant::now() + time));
            }
            while is_due && due.as_mut().poll(context).is_ready() {
                let moves = std::mem::replace(&mut moved, self.state.moved()) != self.state.moved();
                // Writing has a timeout of its own.
                let goes_on = moves || self.state.writes.load(Ordering::Relaxed);
                match time.filter(|_| goes_on && is != Phase::Head) {
                    Some(time) => due.as_mut().reset(Instant::now() + time),
                    None => return Poll::Ready(why),
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Completes when the client has shut down its side. It sends nothing more, but may still read.
async fn has_finished(stream: &TcpStream) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // This readiness reports the end of the stream, even if unread bytes come before it.
    if stream.ready(Interest::PRIORITY).await.is_ok() {
        return;
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = stream;
    std::future::pending::<()>().await;
}

/// Completes when the connection is broken.
async fn is_lost(stream: &TcpStream) {
    // It fails when the runtime shuts down.
    let _ = stream.ready(Interest::ERROR).await;
}

/// A timeout that starts with the first wait, and ends with the next progress.
#[derive(Debug)]
struct Stall {
    time: Duration,
    due: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    fn new(time: Duration) -> Self {
        Self { time, due: None }
    }

    fn ends(&mut self) {
        self.due = None;
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let time = self.time;
        self.due.get_or_insert_with(|| Box::pin(sleep(time))).as_mut().poll(context)
    }
}

/// The body of a response. Dropping it ends the request.
pub(crate) struct Answering<B> {
    state: Option<Arc<State>>,
    body: Option<B>,
    /// The slot that the request takes in the limit of its client's address, if its connection takes none.
    #[allow(dead_code, reason = "it is there to be dropped")]
    permit: Option<Arc<AddressPermit>>,
}

impl<B> Answering<B> {
    pub(crate) fn with(mut self, body: B) -> Self {
        self.body = Some(body);
        self
    }

    pub(crate) fn holding(mut self, permit: Option<Arc<AddressPermit>>) -> Self {
        self.permit = permit;
        self
    }
}

impl<B> Drop for Answering<B> {
    fn drop(&mut self) {
        if let Some(state) = self.state.take() {
            state.enter(Phase::Idle);
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answering<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.body.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// The body of a request. It fails if the client stops sending.
#[derive(Debug)]
pub(crate) struct Incoming<B> {
    body: B,
    stall: Stall,
}

impl<B> Body for Incoming<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => {
                self.stall.ends();
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                ready!(self.stall.poll(context));
                Poll::Ready(Some(Err("the client has stopped sending its request".into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
