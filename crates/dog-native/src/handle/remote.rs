//! [`Remote`]: a server, as its handles see it. How requests come to its workers, and how many there can be.

use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use dog::internal::{AppPort, Kind, LocalFuture};
use dog::{Error, GroupId};
use tokio::sync::oneshot;
use tracing::Span;

use crate::mail::{Job, Mail};
use crate::post::{OVERFULL, Post};

/// The most requests of all handles of one server that have no answer yet.
const MOST: usize = 10_000;

/// A server, as its handles see it.
#[derive(Clone, Default)]
pub(crate) struct Remote(Arc<State>);

#[derive(Default)]
struct State {
    /// Empty until the server has started.
    post: OnceLock<Post>,
    in_progress: AtomicUsize,
}

impl Remote {
    /// The server has started.
    pub(crate) fn started(&self, post: &Post) {
        // A server starts once.
        let _ = self.0.post.set(post.clone());
    }

    /// Has the home worker of a Group do something, and waits for its result.
    pub(super) async fn ask<T: Send + 'static>(
        self,
        group: GroupId,
        carried: usize,
        job: impl AsyncFnOnce(Rc<dyn AppPort>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.send(group, carried, move |port| {
            Box::pin(async move {
                // The receiver may have given up.
                let _ = reply.send(job(port).await);
            })
        })?;
        answer.await.unwrap_or_else(|_| Err(unreachable("the server has ended or has too much to do")))
    }

    /// Has the home worker of a Group do something. `carried` is how many bytes are sent with it.
    pub(super) fn send(
        &self,
        group: GroupId,
        carried: usize,
        job: impl FnOnce(Rc<dyn AppPort>) -> LocalFuture<()> + Send + 'static,
    ) -> Result<(), Error> {
        let Some(post) = self.0.post.get() else { return Err(unreachable("the server has not been started")) };
        let worker = post.worker_of(group.as_bytes());
        if post.backlog(worker) > OVERFULL {
            return Err(unreachable("the server has too much to do: try again later"));
        }
        let progress = self.begin()?;
        let job: Job = Box::new(move |port| {
            let done = job(port);
            Box::pin(async move {
                done.await;
                drop(progress);
            })
        });
        post.send(worker, vec![Mail::Job { job, carried, span: Span::current() }]);
        Ok(())
    }

    fn begin(&self) -> Result<InProgress, Error> {
        let progress = InProgress(Arc::clone(&self.0));
        if self.0.in_progress.fetch_add(1, Ordering::Relaxed) >= MOST {
            return Err(unreachable("too many requests of handles are in progress: try again later"));
        }
        Ok(progress)
    }
}

fn unreachable(text: &str) -> Error {
    Error::new(Kind::Unreachable, text)
}

/// One request in progress, until it is dropped.
struct InProgress(Arc<State>);

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.in_progress.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn count(remote: &Remote) -> usize {
        remote.0.in_progress.load(Ordering::Relaxed)
    }

    /// Asks for something that no worker does.
    fn ask(remote: &Remote) -> impl Future<Output = Result<(), Error>> + use<> {
        remote.clone().ask(GroupId::from_name("lobby", "main"), 0, async |_| Ok(()))
    }

    #[test]
    fn what_is_in_progress_is_bounded() {
        let remote = Remote::default();
        assert!(ask(&remote).now_or_never().is_some_and(|asked| asked.is_err_and(|error| error.is_unreachable())));
        let (post, mailboxes) = Post::new(1);
        remote.started(&post);
        let waiting: Vec<_> = (0..MOST)
            .map(|_| {
                let mut asking = Box::pin(ask(&remote));
                assert!((&mut asking).now_or_never().is_none());
                asking
            })
            .collect();
        assert_eq!(count(&remote), MOST);
        let refused = ask(&remote).now_or_never();
        assert!(refused.is_some_and(|asked| asked.is_err_and(|error| error.to_string().contains("too many"))));
        // Those who ask no longer wait, but the worker still has to do it.
        drop(waiting);
        assert_eq!(count(&remote), MOST);
        drop(mailboxes);
        assert_eq!(count(&remote), 0);
        assert!(ask(&remote).now_or_never().is_some_and(|asked| asked.is_err_and(|error| error.is_unreachable())));
        assert_eq!(count(&remote), 0);
    }
}
