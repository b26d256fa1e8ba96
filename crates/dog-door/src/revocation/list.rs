//! The Group that keeps what was revoked: [`RevocationList`].

use std::rc::Rc;
use std::time::Duration;

use dog::http::StatusCode;
use dog::{
    Context, Error, Failure, Group, GroupContext, GroupHandle, Limit, Replica, Request, Response, Result, Timestamp,
};
use futures_util::lock::Mutex;

use super::protocol::{Call, Changes, Entry, ListCall, ListReply, Reply, Seen};
use super::signal::Signal;
use super::stored::Stored;
use super::{Looked, Revocation, Subject, is_issued_by};
use crate::denied::Denied;
use crate::gate::Admitted;

/// The most entries of one answer: 300 KiB at most.
const PAGE: usize = 1000;
/// For how long an answer waits for something new.
const WAIT: Duration = Duration::from_secs(1);

/// The most revocations of a [`RevocationList`], if the [`Env`](dog::Env) holds it: a number from 1 on. Each takes about 300 bytes of
/// memory where the list is, and 200 on every node that follows it.
#[derive(Clone, Copy, Debug)]
pub struct MaxRevocations(pub usize);

/// The most, unless the program says something else.
const MOST: usize = 50_000;

/// A Group that keeps [revocations](Revocation), durably. Name it in [`App::Groups`](dog::App::Groups).
///
/// On native and over NATS, one of them serves the whole cluster, and every node [follows](super::Revocations) it. On Workers,
/// have one for each Group of yours, by the same name, and [ask](Self::check) it at each handshake: nothing there runs between
/// requests that could follow a list, and one object for all handshakes would be a bottleneck.
///
/// It has at most 50,000 revocations; a [`MaxRevocations`] in the [`Env`](dog::Env) is another bound. An entry that is over makes room when the next one is stored. If none is over,
/// [`revoke`](Self::revoke) fails and nothing is forgotten: change the key that signs the tokens, which ends all of them.
pub struct RevocationList {
    known: Rc<Known>,
    cx: GroupContext,
}

#[derive(Default)]
struct Known {
    /// `None` until it was read, and again after a write that failed: it may have been made.
    stored: Mutex<Option<Stored>>,
    signal: Signal,
}

impl RevocationList {
    /// Stores a revocation. When this returns, it is durable. Every node that follows the list obeys it within a second from then
    /// on, if it can reach the list; what a node does that cannot is said at [`Revocations`](super::Revocations).
    ///
    /// Not cancel safe: if the future is dropped after its first poll, it may be stored or not.
    ///
    /// # Errors
    /// - The list is full.
    /// - The list cannot be reached, or cannot write. Repeat it: revoking twice is revoking once.
    pub async fn revoke(list: &GroupHandle<Self>, revocation: &Revocation) -> Result<()> {
        list.call(&revocation.call()).await?.revoked()
    }

    /// Asks the list itself about a token, for hosts whose nodes follow none. It is one call to a Group.
    ///
    /// # Errors
    /// The refusal: with status 403 if the token or its client was revoked, 503 if the list cannot be reached.
    pub async fn check<C>(list: &GroupHandle<Self>, admitted: &Admitted<C>) -> std::result::Result<(), Denied> {
        let client = Subject::Client(admitted.client().clone());
        let id = admitted.token().id().map(|id| Subject::Token(id.to_owned()));
        let subjects = std::iter::once(client).chain(id).collect();
        let call = ListCall(Call::Check { subjects, issued: admitted.token().issued() });
        match list.call(&call).await {
            Ok(ListReply(Reply::Checked { is_revoked: false })) => Ok(()),
            Ok(ListReply(Reply::Checked { is_revoked: true })) => Err(Denied::revoked()),
            Ok(_) => Err(Denied::later("the list of revocations is one of another release")),
            Err(error) => Err(Denied::later(format!("the list of revocations does not answer: {error}"))),
        }
    }
}

impl Group for RevocationList {
    type Replica = NoReplica;
    type Call = ListCall;
    type Reply = ListReply;
    const NAME: &'static str = "dog-revocations";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        Ok(Self { known: Rc::default(), cx: cx.clone() })
    }

    fn limit(&self) -> Limit {
        Limit::new(1)
    }

    async fn on_call(&self, cx: &GroupContext, call: ListCall) -> Result<ListReply> {
        let known = Rc::clone(&self.known);
        Ok(ListReply(match call.0 {
            // A task: a call whose deadline passes must not leave a write half known.
            Call::Revoke(revocation) => {
                let context = self.cx.clone();
                cx.spawn(async move { known.revoke(&context, revocation).await })?.await??
            }
            Call::Check { subjects, issued } => {
                Reply::Checked { is_revoked: known.is_revoked(cx, &subjects, issued).await? }
            }
            Call::After { seen, waits } => Reply::Changes(known.news(cx, seen, waits).await?),
        }))
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

/// `group.revoke(…)`: for revocations that are kept per Group, above all on Workers.
pub trait RevokeIn {
    /// Stores a revocation in `list` and tells it to every Replica of this Group that has sockets, by gossip. Let
    /// [`on_gossip`](Replica::on_gossip) give it to [`Expiry::close_revoked`](crate::Expiry::close_revoked): that closes the sockets,
    /// also those of a Replica that hibernates. A client that is let in at the same moment can be missed: it stays until its token
    /// ends.
    ///
    /// Returns how many Replicas have not answered within 3 s. Repeat it then.
    ///
    /// # Errors
    /// As [`RevocationList::revoke`], and those of [`GroupHandle::gossip`].
    fn revoke(
        &self,
        list: &GroupHandle<RevocationList>,
        revocation: &Revocation,
    ) -> impl Future<Output = Result<usize>>;
}

impl<G: Group> RevokeIn for GroupHandle<G>
where
    <G::Replica as Replica>::Gossip: From<Revocation>,
{
    async fn revoke(&self, list: &GroupHandle<RevocationList>, revocation: &Revocation) -> Result<usize> {
        RevocationList::revoke(list, revocation).await?;
        let replies = self.gossip(&revocation.clone().into()).await.map_err(|error: Error| Failure::from(error))?;
        Ok(replies.missing.len())
    }
}
