//! [`Handle`]: the way to the Groups of a server from the rest of its process.
//!
//! A request goes as mail to the home worker of its Group. The worker makes it as the App would, and the answer comes back over
//! a channel, so the future of the caller is `Send` and needs no particular runtime.

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use dog::internal::{AppPort, Kind, LocalFuture, are_among, decode, encode_call};
use dog::{App, Error, Group, GroupId, Groups};
use tokio::sync::oneshot;
use tracing::Span;

use crate::mail::{Job, Mail};
use crate::post::Post;

/// The most requests of all handles of one server that have no answer yet.
const MOST: usize = 10_000;

/// The way to the Groups of a server, for the rest of its process: an axum handler, the consumer of a queue, a job that runs
/// at night. It can be cloned and sent to any thread, and its futures are `Send` and run on any runtime.
///
/// [`Server::handle`](crate::Server::handle) returns it before the server starts. Requests that are made while the server does
/// not run, because it has not started yet or has ended, fail with [`Error::is_unreachable`].
///
/// At most 10,000 requests of all handles of one server can be in progress, and what waits for one worker thread is limited to
/// 64 MiB. Further requests fail at once with [`Error::is_unreachable`]. A request waits while the code of an object blocks
/// the worker thread. If the caller must not wait as long, it should use a timeout of its runtime.
///
/// ```
/// # use dog::*;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result {
/// # struct Room;
/// # impl Replica for Room {
/// #     type Group = Score;
/// #     type Gossip = ();
/// #     type Answer = ();
/// #     async fn activate(_: &Context<Self>) -> Result<Self> { Ok(Room) }
/// #     async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> { Ok(cx.connect(request)) }
/// # }
/// # struct Score;
/// # impl Group for Score {
/// #     type Replica = Room;
/// #     type Call = u64;
/// #     type Reply = u64;
/// #     const NAME: &'static str = "score";
/// #     async fn activate(_: &GroupContext) -> Result<Self> { Ok(Score) }
/// #     fn limit(&self) -> Limit { Limit::new(2) }
/// #     async fn on_call(&self, _: &GroupContext, points: u64) -> Result<u64> { Ok(points) }
/// # }
/// # struct Game;
/// # impl App for Game {
/// #     type Groups = (Score,);
/// #     async fn fetch(&self, _: Request, _: &Dog<Self>) -> Result<Response> { Err(Failure::new("unused")) }
/// # }
/// let server = dog_native::Server::new(Game).bind("127.0.0.1:0");
/// let handle = server.handle();
/// let running = server.start().await?;
/// // Anywhere in the process, for example in an axum handler:
/// let points = handle.group::<Score>("ann").call(&3).await?;
/// # assert_eq!(points, 3);
/// # running.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub struct Handle<A> {
    remote: Remote,
    app: PhantomData<fn() -> A>,
}

/// Stands for the App in a [`Handle`] of a running server, which does not know the type of its App.
#[derive(Debug)]
pub enum Unchecked {}

impl<A: App> Handle<A> {
    /// Returns a handle to the Group `G` called `name`. This sends nothing.
    ///
    /// A Group that [`App::Groups`] does not contain does not compile.
    pub fn group<G: Group>(&self, name: &str) -> RemoteGroup<G> {
        self.group_by_id(GroupId::from_name(G::NAME, name))
    }

    /// Returns a handle to the Group `G` with this id, as [`group`](Self::group).
    pub fn group_by_id<G: Group>(&self, id: GroupId) -> RemoteGroup<G> {
        const {
            assert!(
                are_among(&[G::NAME], <A::Groups as Groups>::NAMES),
                "a Group is used that App::Groups does not contain: add its type to the tuple"
            );
        }
        self.remote.group(id)
    }
}

impl Handle<Unchecked> {
    /// Returns a handle to the Group `G` called `name`. This sends nothing. If the App does not run that Group, requests fail
    /// with [`Error::is_unknown_group`].
    pub fn group<G: Group>(&self, name: &str) -> RemoteGroup<G> {
        self.group_by_id(GroupId::from_name(G::NAME, name))
    }

    /// Returns a handle to the Group `G` with this id, as [`group`](Self::group).
    pub fn group_by_id<G: Group>(&self, id: GroupId) -> RemoteGroup<G> {
        self.remote.group(id)
    }
}

impl<A> Handle<A> {
    pub(crate) fn new(remote: &Remote) -> Self {
        Self { remote: remote.clone(), app: PhantomData }
    }
}

impl<A> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Self::new(&self.remote)
    }
}

impl<A> fmt::Debug for Handle<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Handle")
    }
}

/// A Group, for the rest of a process: what [`dog::GroupHandle`] is for the App. See [`Handle`].
pub struct RemoteGroup<G> {
    remote: Remote,
    id: GroupId,
    class: PhantomData<fn() -> G>,
}

impl<G: Group> RemoteGroup<G> {
    /// Returns the id of the Group.
    pub fn id(&self) -> GroupId {
        self.id
    }

    /// Calls the Group, as [`dog::GroupHandle::call`] does. The call is encoded at once, and sent when the future is first
    /// polled.
    ///
    /// Not cancel safe: if the future is dropped after its first poll, the Group may carry out the call or not.
    ///
    /// # Errors
    /// As [`dog::GroupHandle::call`]. Also [`Error::is_unreachable`] if the server does not run, or has too much to do.
    pub fn call(&self, call: &G::Call) -> impl Future<Output = Result<G::Reply, Error>> + Send + use<G> {
        let (remote, id, call) = (self.remote.clone(), self.id, encode_call("call", call));
        async move {
            let call = call?;
            let reply = remote
                .ask(id, call.len(), move |port| Box::pin(async move { port.call_group(G::NAME, id, call).await }));
            decode(&reply.await?)
        }
    }
}

impl<G> Clone for RemoteGroup<G> {
    fn clone(&self) -> Self {
        Self { remote: self.remote.clone(), id: self.id, class: PhantomData }
    }
}

impl<G: Group> fmt::Debug for RemoteGroup<G> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RemoteGroup({:?}, {:?})", G::NAME, self.id)
    }
}

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

    fn group<G>(&self, id: GroupId) -> RemoteGroup<G> {
        RemoteGroup { remote: self.clone(), id, class: PhantomData }
    }

    /// Has the home worker of a Group do something, and waits for its result. `carried` is how many bytes are sent with it.
    async fn ask<T: Send + 'static>(
        self,
        group: GroupId,
        carried: usize,
        job: impl FnOnce(Rc<dyn AppPort>) -> LocalFuture<Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let Some(post) = self.0.post.get() else { return Err(unreachable("the server has not been started")) };
        let progress = self.begin()?;
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |port| {
            let done = job(port);
            Box::pin(async move {
                // The receiver may have given up.
                let _ = reply.send(done.await);
                drop(progress);
            })
        });
        let worker = post.worker_of(group.as_bytes());
        post.send(worker, vec![Mail::Job { job, carried, span: Span::current() }]);
        answer.await.unwrap_or_else(|_| Err(unreachable("the server has ended or has too much to do")))
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
        remote.clone().ask(GroupId::from_name("lobby", "main"), 0, |_| Box::pin(async { Ok(()) }))
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
