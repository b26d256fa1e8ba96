//! Where it is kept what was revoked: [`RevocationStore`] in a Group of the program, and [`RevocationList`] for a cluster.

use std::rc::Rc;
use std::time::Duration;

use dog::http::StatusCode;
use dog::{Context, Group, GroupContext, GroupHandle, Limit, Replica, Request, Response, Result, Timestamp};
use futures_util::lock::Mutex;

use super::protocol::{Call, Changes, Entry, ListCall, ListReply, Reply, Seen};
use super::signal::Signal;
use super::stored::Stored;
use super::{Looked, Revocation, Subject, is_issued_by};

/// The most entries of one answer: 300 KiB at most.
const PAGE: usize = 1000;
/// For how long an answer waits for something new.
const WAIT: Duration = Duration::from_secs(1);

/// The most revocations of a [`RevocationStore`] or a [`RevocationList`], if the [`Env`](dog::Env) holds it: a number from 1 on. Each takes about 300 bytes of
/// memory where the list is, and 200 on every node that follows it.
#[derive(Clone, Copy, Debug)]
pub struct MaxRevocations(pub usize);

/// The most, unless the program says something else.
const MOST: usize = 50_000;

/// A Group that keeps [revocations](Revocation), durably, for a whole cluster. Name it in [`App::Groups`](dog::App::Groups). On native
/// and over NATS every node [follows](super::Revocations) it. On Workers nothing runs between requests that could follow a list, and
/// one object for all handshakes would be a bottleneck: there each Group [keeps its own](RevocationStore).
pub struct RevocationList(RevocationStore);

/// Revocations in the storage of a Group of yours, for hosts whose nodes follow no list. The Group makes one in
/// [`activate`](Group::activate) and gives it calls in [`on_call`](Group::on_call); [`RevokeIn`](crate::RevokeIn) sends them.
///
/// It has at most 50,000 revocations; a [`MaxRevocations`] in the [`Env`](dog::Env) is another bound. An entry that is over makes room
/// when the next one is stored. If none is over, storing fails and nothing is forgotten: change the key that signs the tokens, which
/// ends all of them. Its keys in the storage begin with `dog-door/`.
///
/// ```
/// # use dog::*;
/// use dog_door::{ListCall, ListReply, RevocationStore};
///
/// struct Lobby {
///     revoked: RevocationStore,
/// }
///
/// impl Group for Lobby {
///     type Replica = Room;
///     /// If your Group has calls of its own: a type with `From<ListCall>`, and one with `TryInto<ListReply>`.
///     type Call = ListCall;
///     type Reply = ListReply;
///     const NAME: &'static str = "lobby";
///
///     async fn activate(cx: &GroupContext) -> Result<Self> {
///         Ok(Self { revoked: RevocationStore::new(cx) })
///     }
///
///     fn limit(&self) -> Limit {
///         Limit::new(50)
///     }
///
///     async fn on_call(&self, _: &GroupContext, call: ListCall) -> Result<ListReply> {
///         self.revoked.on_call(call).await
///     }
/// }
/// # struct Room;
/// # impl Replica for Room {
/// #     type Group = Lobby;
/// #     type Gossip = ();
/// #     type Answer = ();
/// #     async fn activate(_: &Context<Self>) -> Result<Self> { Ok(Self) }
/// #     async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> { Ok(cx.connect(request)) }
/// # }
/// ```
pub struct RevocationStore {
    known: Rc<Known>,
    cx: GroupContext,
}

#[derive(Default)]
struct Known {
    /// `None` until it was read, and again after a write that failed: it may have been made.
    stored: Mutex<Option<Stored>>,
    signal: Signal,
}

impl RevocationStore {
    /// It is read when it is first asked.
    pub fn new(cx: &GroupContext) -> Self {
        Self { known: Rc::default(), cx: cx.clone() }
    }

    /// Stores, or answers from what is stored.
    ///
    /// # Errors
    /// The storage cannot be read or written.
    pub async fn on_call(&self, call: ListCall) -> Result<ListReply> {
        let (known, cx) = (Rc::clone(&self.known), &self.cx);
        Ok(ListReply(match call.0 {
            // A task: a call whose deadline passes must not leave a write half known.
            Call::Revoke(revocation) => {
                let context = cx.clone();
                cx.spawn(async move { known.revoke(&context, revocation).await })?.await??
            }
            Call::Check { subjects, issued } => {
                Reply::Checked { is_revoked: known.is_revoked(cx, &subjects, issued).await? }
            }
            Call::After { seen, waits } => Reply::Changes(known.news(cx, seen, waits).await?),
        }))
    }
}

impl RevocationList {
    /// Stores a revocation. When this returns, it is durable. Every node that follows the list obeys it within a second from then
    /// on, if it can reach the list; what a node does that cannot is said at [`Revocations`](super::Revocations).
    ///
    /// Not cancel safe: if the future is dropped after its first poll, it may be stored or not.
    ///
    /// # Errors
    /// - The list is full: it has the bounds of a [`RevocationStore`].
    /// - The list cannot be reached, or cannot write. Repeat it: revoking twice is revoking once.
    pub async fn revoke(list: &GroupHandle<Self>, revocation: &Revocation) -> Result<()> {
        list.call(&revocation.call()).await?.revoked()
    }
}

impl Group for RevocationList {
    type Replica = NoReplica;
    type Call = ListCall;
    type Reply = ListReply;
    const NAME: &'static str = "dog-revocations";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        Ok(Self(RevocationStore::new(cx)))
    }

    fn limit(&self) -> Limit {
        Limit::new(1)
    }

    async fn on_call(&self, _: &GroupContext, call: ListCall) -> Result<ListReply> {
        self.0.on_call(call).await
    }
}

impl Known {
    async fn revoke(&self, cx: &GroupContext, revocation: Revocation) -> Result<Reply> {
        let mut guard = self.stored.lock().await;
        let mut stored = match guard.take() {
            Some(stored) => stored,
            None => Stored::read(cx).await?,
        };
        let now = cx.now();
        let most = cx.env().get::<MaxRevocations>().map_or(MOST, |most| most.0);
        let over = stored.over(now);
        let is_known = stored.of(&revocation.subject).is_some();
        if stored.len() - over.len() >= most && !is_known {
            *guard = Some(stored);
            return Ok(Reply::Full);
        }
        stored.write(cx, Entry { revocation, at: now }, over).await?;
        *guard = Some(stored);
        drop(guard);
        self.signal.change();
        Ok(Reply::Revoked)
    }

    async fn is_revoked(&self, cx: &GroupContext, subjects: &[Subject], issued: Option<Timestamp>) -> Result<bool> {
        self.with(cx, |stored| {
            subjects.iter().filter_map(|subject| stored.of(subject)).any(|entry| match entry.revocation.subject {
                Subject::Token(_) => true,
                Subject::Client(_) => is_issued_by(&Looked { id: None, issued }, entry.at),
            })
        })
        .await
    }

    /// What is new after `seen`: at once, or as soon as something is, and after a second at the latest.
    async fn news(&self, cx: &GroupContext, seen: Seen, waits: bool) -> Result<Changes> {
        let changes = self.signal.changes();
        let first = self.with(cx, |stored| Changes::after(stored, seen, cx.now())).await?;
        if !waits || first.starts_over || !first.entries.is_empty() {
            return Ok(first);
        }
        // Its end is no error.
        let _ = cx.timeout(WAIT, self.signal.changed(changes)).await;
        self.with(cx, |stored| Changes::after(stored, seen, cx.now())).await
    }

    async fn with<T>(&self, cx: &GroupContext, read: impl FnOnce(&Stored) -> T) -> Result<T> {
        let mut guard = self.stored.lock().await;
        if guard.is_none() {
            *guard = Some(Stored::read(cx).await?);
        }
        Ok(read(guard.get_or_insert_default()))
    }
}

impl Changes {
    fn after(stored: &Stored, seen: Seen, now: Timestamp) -> Self {
        let starts_over = seen.list != stored.head().list || seen.number > stored.head().number;
        let from = if starts_over { 0 } else { seen.number };
        let page: Vec<(u64, &Entry)> = stored.after(from).take(PAGE + 1).collect();
        let is_all = page.len() <= PAGE;
        let page = &page[..page.len().min(PAGE)];
        let number = if is_all { stored.head().number } else { page.last().map_or(from, |(number, _)| *number) };
        let entries = page.iter().map(|(_, entry)| (*entry).clone()).filter(|entry| !entry.is_over(now)).collect();
        Self { starts_over, seen: Seen { list: stored.head().list, number }, is_all, entries, now }
    }
}

/// The Replica of a [`RevocationList`], of which there is none: nobody takes a seat.
pub struct NoReplica;

impl Replica for NoReplica {
    type Group = RevocationList;
    type Gossip = ();
    type Answer = ();

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self)
    }

    async fn receive(&self, _: &Context<Self>, _: Request) -> Result<Response> {
        Ok(dog::text_response(StatusCode::NOT_FOUND, "not found"))
    }
}
