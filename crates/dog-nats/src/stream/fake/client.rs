//! [`FakeClient`]: a simulated stream as one process sees it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, timeout};

use super::server::{Accepted, FakeStream};
use crate::stream::{Answer, Change, Changes, MessageStream, Put, Stored, StreamError};

/// How long a request waits for its answer, as in `connect`.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether a process is suspended. A suspended process sends nothing and receives nothing, while time goes on.
#[derive(Clone, Debug)]
pub(crate) struct Suspension(Arc<Suspended>);

#[derive(Debug, Default)]
struct Suspended {
    is_suspended: AtomicBool,
    /// Wakes the tasks of the process in the order in which they wait, so that a seed repeats its run.
    ended: Notify,
}

impl Suspension {
    /// Creates the state of a running process.
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    pub(crate) fn set(&self, is_suspended: bool) {
        self.0.is_suspended.store(is_suspended, Ordering::Relaxed);
        self.0.ended.notify_waiters();
    }

    /// Waits until the process runs.
    pub(crate) async fn over(&self) {
        loop {
            let ended = self.0.ended.notified();
            // From here on, no wake-up is missed.
            if !self.0.is_suspended.load(Ordering::Relaxed) {
                return;
            }
            ended.await;
        }
    }
}

/// A simulated stream as one process sees it.
#[derive(Clone, Debug)]
pub(crate) struct FakeClient {
    stream: Arc<FakeStream>,
    process: Suspension,
    is_cut_off: Arc<AtomicBool>,
}

impl FakeClient {
    pub(crate) fn new(stream: Arc<FakeStream>, process: Suspension, is_cut_off: Arc<AtomicBool>) -> Self {
        Self { stream, process, is_cut_off }
    }

    fn is_cut_off(&self) -> bool {
        self.is_cut_off.load(Ordering::Relaxed)
    }

    /// Transports a request or an answer. Returns false if it is lost.
    async fn travel(&self) -> bool {
        let Some(time) = self.stream.travel() else { return false };
        let was_cut_off = self.is_cut_off();
        sleep(time).await;
        !was_cut_off && !self.is_cut_off()
    }

    /// Sends a request and waits for the answer. The request goes on even if the caller is dropped. `None`: no answer
    /// came.
    async fn ask<T, F>(&self, serve: impl Fn(Self) -> F) -> Option<Result<T, StreamError>>
    where
        T: Send + 'static,
        F: Future<Output = Option<Result<T, StreamError>>> + Send + 'static,
    {
        self.process.over().await;
        let (answer, answered) = oneshot::channel();
        let answer = Arc::new(Mutex::new(Some(answer)));
        for _ in 0..=usize::from(self.stream.doubles()) {
            let (client, served, answer) = (self.clone(), serve(self.clone()), Arc::clone(&answer));
            tokio::spawn(async move {
                if !client.travel().await {
                    return;
                }
                let Some(outcome) = served.await else { return };
                if client.travel().await
                    && let Some(answer) = answer.lock().unwrap_or_else(PoisonError::into_inner).take()
                {
                    let _ = answer.send(outcome);
                }
            });
        }
        drop(answer);
        // The connection stays open, so only the timeout shows that no answer comes.
        let started = tokio::time::Instant::now();
        let answer = timeout(REQUEST_TIMEOUT, answered).await.ok().and_then(Result::ok);
        if answer.is_none() {
            tokio::time::sleep_until(started + REQUEST_TIMEOUT).await;
        }
        self.process.over().await;
        answer
    }

    async fn write(&self, puts: Vec<Put>) -> Result<u64, StreamError> {
        let serve = |client: Self| {
            let puts = puts.clone();
            async move { client.store(puts).await }
        };
        let answer = self.ask(serve).await;
        answer.unwrap_or_else(|| Err(StreamError::Unknown("request timed out".into())))
    }

    /// Executes a write that has reached the leader. `None`: the leader does not answer.
    async fn store(self, puts: Vec<Put>) -> Option<Result<u64, StreamError>> {
        match self.stream.accept(puts) {
            Accepted::Ignored => None,
            Accepted::Refused(error) => Some(Err(error)),
            Accepted::InFlight(number, time) => {
                sleep(time).await;
                self.stream.commit(number).map(Ok)
            }
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl Fn(&FakeStream) -> T + Clone + Send + 'static,
    ) -> Result<T, StreamError> {
        let serve = |client: Self| {
            let read = read.clone();
            async move {
                match client.stream.unavailable() {
                    Some(error) => error.map(Err),
                    None => Some(Ok(read(&client.stream))),
                }
            }
        };
        let answer = self.ask(serve).await;
        answer.unwrap_or_else(|| Err(StreamError::Retry("request timed out".into())))
    }

    /// Waits for the next change after that one. Returns an error if the follower breaks.
    async fn next_change(&self, filter: &str, after: u64) -> Result<Change, String> {
        loop {
            let stored = self.stream.stored();
            let Some(change) = self.stream.next(filter, after) else {
                stored.await;
                continue;
            };
            if self.stream.breaks() {
                return Err("the consumer is gone".into());
            }
            // A lost change is delivered again.
            if self.travel().await {
                self.process.over().await;
                return Ok(change);
            }
            sleep(REQUEST_TIMEOUT).await;
        }
    }
}

impl MessageStream for FakeClient {
    fn put(&self, put: Put) -> Answer<'_, u64> {
        Box::pin(self.write(vec![put]))
    }

    fn put_all(&self, puts: Vec<Put>) -> Answer<'_, u64> {
        Box::pin(self.write(puts))
    }

    fn last<'a>(&'a self, subject: &'a str) -> Answer<'a, Option<Stored>> {
        let subject = subject.to_owned();
        Box::pin(self.read(move |stream| stream.last(&subject)))
    }

    fn subjects<'a>(&'a self, filter: &'a str) -> Answer<'a, Vec<String>> {
        let filter = filter.to_owned();
        Box::pin(self.read(move |stream| stream.subjects(&filter)))
    }

    fn follow<'a>(&'a self, filter: &'a str) -> Answer<'a, Changes> {
        let filter = filter.to_owned();
        Box::pin(async move {
            self.read(|_| ()).await?;
            let state = Some((self.clone(), filter, 0));
            let changes = futures_util::stream::unfold(state, |state| async {
                let (client, filter, after) = state?;
                match client.next_change(&filter, after).await {
                    Ok(change) => {
                        let after = change.sequence;
                        Some((Ok(change), Some((client, filter, after))))
                    }
                    Err(error) => Some((Err(error), None)),
                }
            });
            Ok(changes.boxed())
        })
    }
}
