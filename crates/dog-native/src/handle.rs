//! [`Handle`]: the way to the Groups of a server from the rest of its process.
//!
//! A request goes as mail to the home worker of its Group. The worker makes it as the App would, and the answer comes back over
//! a channel, so the future of the caller is `Send` and needs no particular runtime.

mod remote;

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;

use dog::internal::{
    GroupVerb, HistoryOrder, HistoryPage, Kind, LogVerb, NewPublication, Position, PresenceCounts, PresenceCursor,
    PresencePage, Presences, PublicationReport, Topic, VerbAnswer, are_among, decode, encode, encode_call,
};
use dog::{
    AnyApp, App, BroadcastReport, ClientCount, ClientId, ClientPage, CloseCode, Dog, Error, GossipReplies, Group,
    GroupId, Groups, Message, Replica,
};

use crate::repeats::seldom;

pub(crate) use remote::Remote;

/// The future of a request of a handle. It can be sent to another thread, and runs on any runtime.
pub type SendFuture<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

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
        RemoteGroup::new(&self.remote, id)
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
        RemoteGroup::new(&self.remote, id)
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
    pub fn call(&self, call: &G::Call) -> SendFuture<G::Reply> {
        let (remote, id, call) = (self.remote.clone(), self.id, encode_call("call", call));
        Box::pin(async move {
            let call = call?;
            let carried = call.len();
            decode(&remote.ask(id, carried, async move |port| port.call_group(G::NAME, id, call).await).await?)
        })
    }

    /// Sends to all sockets of the Group, as [`dog::GroupHandle::broadcast`] does. The message is on its way when the call
    /// returns. What one thread sends to one Group arrives in the order in which it was sent.
    ///
    /// # Errors
    /// [`Error::is_unreachable`]: the server does not run, or has too much to do. If the Group refuses the message later, because
    /// too much waits for its Replicas to be counted, the log says so; [`broadcast_confirmed`](Self::broadcast_confirmed)
    /// returns that error.
    pub fn broadcast(&self, message: impl Into<Message>) -> Result<(), Error> {
        self.cast(None, message.into())
    }

    /// Sends to the subscribers of a topic, as [`dog::GroupHandle::broadcast_to`] does, and in order with
    /// [`broadcast`](Self::broadcast).
    ///
    /// # Errors
    /// [`Error::is_invalid_topic`]: there can be no such topic. Otherwise as [`broadcast`](Self::broadcast).
    pub fn broadcast_to(&self, topic: &str, message: impl Into<Message>) -> Result<(), Error> {
        self.cast(Some(Topic::new(topic)?), message.into())
    }

    /// Sends to all sockets of the Group and waits until every Replica has answered, as
    /// [`dog::GroupHandle::broadcast_confirmed`] does.
    ///
    /// Not cancel safe: if the future is dropped after its first poll, Replicas may have sent the message or not.
    ///
    /// # Errors
    /// As [`dog::GroupHandle::broadcast_confirmed`]. Also [`Error::is_unreachable`] if the server does not run, or has too much
    /// to do.
    pub fn broadcast_confirmed(&self, message: impl Into<Message>) -> SendFuture<BroadcastReport> {
        let message = message.into();
        self.have(message.len(), async move |group| group.broadcast_confirmed(message).await)
    }

    /// Sends to all sockets of one client, as [`dog::GroupHandle::whisper`] does.
    ///
    /// Not cancel safe: if the future is dropped after its first poll, the message may have been sent or not.
    ///
    /// # Errors
    /// As [`broadcast_confirmed`](Self::broadcast_confirmed).
    pub fn whisper(&self, client: &ClientId, message: impl Into<Message>) -> SendFuture<BroadcastReport> {
        let (client, message) = (client.clone(), message.into());
        self.have(message.len(), async move |group| group.whisper(&client, message).await)
    }

    /// Closes all sockets of one client, as [`dog::GroupHandle::disconnect`] does.
    ///
    /// Not cancel safe: if the future is dropped after its first poll, sockets may have been closed or not.
    ///
    /// # Errors
    /// As [`broadcast_confirmed`](Self::broadcast_confirmed).
    pub fn disconnect(&self, client: &ClientId, code: CloseCode, reason: &str) -> SendFuture<BroadcastReport> {
        let (client, reason) = (client.clone(), reason.to_owned());
        self.have(0, async move |group| group.disconnect(&client, code, &reason).await)
    }

    /// Returns the clients with open sockets after `after`, at most `limit` of them (1 to 1000), as
    /// [`dog::GroupHandle::clients`] does. Cancel safe.
    ///
    /// # Errors
    /// As [`broadcast_confirmed`](Self::broadcast_confirmed).
    pub fn clients(&self, after: Option<&ClientId>, limit: usize) -> SendFuture<ClientPage> {
        let after = after.cloned();
        self.have(0, async move |group| group.clients(after.as_ref(), limit).await)
    }

    /// Returns how many clients and open sockets the Group has, as [`dog::GroupHandle::count`] does. Cancel safe.
    ///
    /// # Errors
    /// As [`broadcast_confirmed`](Self::broadcast_confirmed).
    pub fn count(&self) -> SendFuture<ClientCount> {
        self.have(0, async move |group| group.count().await)
    }

    /// Asks every Replica of the Group that has sockets, as [`dog::GroupHandle::gossip`] does. The question is encoded at once,
    /// and sent when the future is first polled.
    ///
    /// Cancel safe for the caller: if the future is dropped, Replicas may run `on_gossip`, and their answers are discarded.
    ///
    /// # Errors
    /// [`Error::is_encoding`]: the question cannot be serialised. Otherwise as
    /// [`broadcast_confirmed`](Self::broadcast_confirmed).
    pub fn gossip(
        &self,
        gossip: &<G::Replica as Replica>::Gossip,
    ) -> SendFuture<GossipReplies<<G::Replica as Replica>::Answer>> {
        let (remote, id, gossip) = (self.remote.clone(), self.id, encode(gossip));
        Box::pin(async move {
            let gossip = gossip?;
            let (carried, verb) = (gossip.len(), GroupVerb::Gossip(gossip));
            // The answers are decoded here: they need not be `Send`.
            remote.ask(id, carried, async move |port| port.verb(G::NAME, id, verb).await).await?.into_replies()
        })
    }

    /// Publishes to a topic or to `""`, the room, as [`dog::GroupHandle`]'s `publish` does (feature `log` of `dog`). Publications of
    /// one thread are numbered in the order in which their futures are first polled.
    ///
    /// Not cancel safe: if the future is dropped after its first poll, the message may be published or not. Repeat it with the same
    /// key.
    ///
    /// # Errors
    /// As `publish` of [`dog::GroupHandle`]. Also [`Error::is_unreachable`] if the server does not run, or has too much to do.
    pub fn publish(&self, topic: &str, publication: impl Into<NewPublication>) -> SendFuture<Position> {
        let (remote, id, verb) = (self.remote.clone(), self.id, LogVerb::publish(topic, publication.into()));
        Box::pin(async move {
            let verb = verb?;
            let carried = verb.carried();
            remote.ask(id, carried, async move |port| port.log(G::NAME, id, verb).await?.into_position()).await
        })
    }

    /// Publishes as [`publish`](Self::publish) does, and waits until every Replica that has subscribers has said how many sockets
    /// took it, as `publish_confirmed` of [`dog::GroupHandle`].
    ///
    /// Not cancel safe, as [`publish`](Self::publish).
    ///
    /// # Errors
    /// As `publish_confirmed` of [`dog::GroupHandle`]. Also [`Error::is_unreachable`] if the server does not run, or has too much to
    /// do.
    pub fn publish_confirmed(
        &self,
        topic: &str,
        publication: impl Into<NewPublication>,
    ) -> SendFuture<PublicationReport> {
        let (remote, id, verb) = (self.remote.clone(), self.id, LogVerb::publish_confirmed(topic, publication.into()));
        Box::pin(async move {
            let verb = verb?;
            let carried = verb.carried();
            remote.ask(id, carried, async move |port| port.log(G::NAME, id, verb).await?.into_report()).await
        })
    }

    /// Has the log of a topic begin again, as `reset_log` of [`dog::GroupHandle`].
    ///
    /// Not cancel safe: if the future is dropped after its first poll, the log may be reset or not.
    ///
    /// # Errors
    /// As `reset_log` of [`dog::GroupHandle`]. Also [`Error::is_unreachable`] if the server does not run, or has too much to do.
    pub fn reset_log(&self, topic: &str) -> SendFuture<Position> {
        let (remote, id, verb) = (self.remote.clone(), self.id, LogVerb::reset(topic));
        Box::pin(async move {
            let verb = verb?;
            remote.ask(id, 0, async move |port| port.log(G::NAME, id, verb).await?.into_position()).await
        })
    }

    /// Deletes the log of a topic, as `purge_log` of [`dog::GroupHandle`].
    ///
    /// Not cancel safe: if the future is dropped after its first poll, the log may be purged or not. Purge it again.
    ///
    /// # Errors
    /// As `purge_log` of [`dog::GroupHandle`]. Also [`Error::is_unreachable`] if the server does not run, or has too much to do.
    pub fn purge_log(&self, topic: &str) -> SendFuture<()> {
        let (remote, id, verb) = (self.remote.clone(), self.id, LogVerb::purge(topic));
        Box::pin(async move {
            let verb = verb?;
            remote.ask(id, 0, async move |port| port.log(G::NAME, id, verb).await?.into_purged()).await
        })
    }

    /// A page of what the log of a topic keeps, as `history` of [`dog::GroupHandle`]. Cancel safe.
    ///
    /// # Errors
    /// As `history` of [`dog::GroupHandle`]. Also [`Error::is_unreachable`] if the server does not run, or has too much to do.
    pub fn history(
        &self,
        topic: &str,
        since: Option<&Position>,
        order: HistoryOrder,
        limit: usize,
    ) -> SendFuture<HistoryPage> {
        let (remote, id, verb) = (self.remote.clone(), self.id, LogVerb::history(topic, since, order, limit));
        Box::pin(async move {
            let verb = verb?;
            remote.ask(id, 0, async move |port| port.log(G::NAME, id, verb).await?.into_page()).await
        })
    }

    /// A page of those who are in the Group, as `presence` of [`dog::GroupHandle`] (feature `presence` of `dog`). Cancel safe.
    ///
    /// # Errors
    /// As `presence` of [`dog::GroupHandle`]. Also [`Error::is_unreachable`] if the server does not run, or has too much to do.
    pub fn presence(&self, after: Option<&PresenceCursor>, limit: usize) -> SendFuture<PresencePage> {
        let verb = |feature| GroupVerb::presence(None, after, limit, feature);
        self.read_presence(Presences::get().map(verb).ok_or_else(no_presence), VerbAnswer::into_presence)
    }

    /// A page of those who are in a topic, as `presence_of` of [`dog::GroupHandle`] (features `presence` and `topics` of `dog`).
    /// Cancel safe.
    ///
    /// # Errors
    /// As `presence_of` of [`dog::GroupHandle`]. Also [`Error::is_unreachable`] if the server does not run, or has too much to do.
    pub fn presence_of(&self, topic: &str, after: Option<&PresenceCursor>, limit: usize) -> SendFuture<PresencePage> {
        let verb =
            |topic| Ok(GroupVerb::presence(Some(topic), after, limit, Presences::get().ok_or_else(no_presence)?));
        self.read_presence(Topic::new(topic).and_then(verb), VerbAnswer::into_presence)
    }

    /// How many clients and connections are in the Group, as `presence_counts` of [`dog::GroupHandle`] (feature `presence` of
    /// `dog`). Cancel safe.
    ///
    /// # Errors
    /// As [`presence`](Self::presence).
    pub fn presence_counts(&self) -> SendFuture<PresenceCounts> {
        let verb = |feature| GroupVerb::PresenceCounts { feature, topic: None };
        self.read_presence(Presences::get().map(verb).ok_or_else(no_presence), VerbAnswer::into_presence_counts)
    }

    /// How many clients and connections are in a topic, as `presence_counts_of` of [`dog::GroupHandle`] (features `presence` and `topics`
    /// of `dog`). Cancel safe.
    ///
    /// # Errors
    /// As [`presence_of`](Self::presence_of).
    pub fn presence_counts_of(&self, topic: &str) -> SendFuture<PresenceCounts> {
        let verb = |topic| {
            let feature = Presences::get().ok_or_else(no_presence)?;
            Ok(GroupVerb::PresenceCounts { feature, topic: Some(topic) })
        };
        self.read_presence(Topic::new(topic).and_then(verb), VerbAnswer::into_presence_counts)
    }

    fn read_presence<T: Send + 'static>(
        &self,
        verb: Result<GroupVerb, Error>,
        read: fn(VerbAnswer) -> Result<T, Error>,
    ) -> SendFuture<T> {
        let (remote, id) = (self.remote.clone(), self.id);
        Box::pin(async move {
            let verb = verb?;
            remote.ask(id, 0, async move |port| read(port.verb(G::NAME, id, verb).await?)).await
        })
    }

    fn cast(&self, topic: Option<Topic>, message: Message) -> Result<(), Error> {
        let id = self.id;
        self.remote.send(id, message.len(), move |port| {
            if let Err(error) = port.broadcast(G::NAME, id, topic, message) {
                seldom!(
                    warn,
                    "a broadcast of a handle was refused",
                    group = G::NAME,
                    "a broadcast of a handle was refused: {error}"
                );
            }
            Box::pin(async {})
        })
    }

    /// Uses the handle that the App would have, on the worker.
    fn have<T, F>(&self, carried: usize, what: F) -> SendFuture<T>
    where
        T: Send + 'static,
        F: AsyncFnOnce(dog::GroupHandle<G>) -> Result<T, Error> + Send + 'static,
    {
        let (remote, id) = (self.remote.clone(), self.id);
        let job = async move |port| what(Dog::<AnyApp>::new(port).group_by_id(id)).await;
        Box::pin(remote.ask(id, carried, job))
    }
}

fn no_presence() -> Error {
    Error::new(Kind::NoPresence, "the feature `presence` of dog is off")
}

impl<G> RemoteGroup<G> {
    fn new(remote: &Remote, id: GroupId) -> Self {
        Self { remote: remote.clone(), id, class: PhantomData }
    }
}

impl<G> Clone for RemoteGroup<G> {
    fn clone(&self) -> Self {
        Self::new(&self.remote, self.id)
    }
}

impl<G: Group> fmt::Debug for RemoteGroup<G> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RemoteGroup({:?}, {:?})", G::NAME, self.id)
    }
}
