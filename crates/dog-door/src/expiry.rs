//! Sockets whose token ends: [`Expiry`].

use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::Duration;

use dog::{Context, Error, Replica, Socket, Task, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::denied::{EXPIRED, FORBIDDEN, REVOKED, TOKEN_REFUSED};
use crate::gate::Admitted;
use crate::revocation::{Looked, Revocation, Revocations, or};

/// For how long a socket stays open after its token, unless you say something else.
const GRACE: Duration = Duration::from_secs(60);

/// Closes the sockets of a Replica when their tokens end, unless they are renewed in time.
///
/// The end of a token comes with the identity of the socket, which is the [`Admitted`] that the App gives to
/// [`fetch_as`](dog::ReplicaHandle::fetch_as). A newer token can come in a message: check it with
/// [`Gate::check`](crate::Gate::check) and give it to [`renew`](Self::renew). What was renewed is in the socket's attachment, so it
/// survives hibernation. If your sockets have an attachment of their own, put a [`Renewal`] into it and implement [`Renewable`];
/// that type is `A`.
///
/// [`grace`](Self::grace) after the end of its token (60 s by default), a socket closes with [4401](TOKEN_REFUSED). The client
/// gets another token and comes back.
///
/// Make one in [`activate`](Replica::activate) and keep it in a field. Then choose who looks at the clock:
///
/// - **A task**: [`resume`](Self::resume) in `activate` and [`watch`](Self::watch) in `on_open`. While a socket with a token is
///   open, the task keeps the Replica in memory, so it does not hibernate. On Workers the runtime takes it out of memory all the
///   same, and an expired socket stays open until its next event: use an alarm there.
/// - **An alarm**: `watch_by_alarm` in `on_open`, and `ring` in `on_alarm` for the alarm `EXPIRY_ALARM`. The Replica hibernates. An
///   alarm is a write. The feature `alarms` has them.
///
/// The [crate's documentation](crate) has an example.
pub struct Expiry<A = Renewal> {
    grace: Duration,
    plan: Rc<RefCell<Option<Plan>>>,
    alarm: Rc<Cell<Option<Timestamp>>>,
    revocations: Option<Revocations>,
    attachment: PhantomData<fn() -> A>,
}

/// The task that waits until the first socket expires.
struct Plan {
    at: Timestamp,
    /// The news of revocations for which the sockets were looked at.
    seen: Rc<Cell<u64>>,
    task: Task<()>,
}

/// Until when a socket was renewed, and with which token. It is in the attachment of the socket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    until: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

/// An attachment that contains a [`Renewal`].
///
/// ```
/// #[derive(Default, serde::Serialize, serde::Deserialize)]
/// struct Player { score: u64, renewal: dog_door::Renewal }
///
/// impl dog_door::Renewable for Player {
///     fn renewal(&mut self) -> &mut dog_door::Renewal {
///         &mut self.renewal
///     }
/// }
/// ```
pub trait Renewable: Default + Serialize + DeserializeOwned + 'static {
    /// Where it is.
    fn renewal(&mut self) -> &mut Renewal;
}

impl Renewable for Renewal {
    fn renewal(&mut self) -> &mut Renewal {
        self
    }
}

/// What [`Expiry::renew`] has done.
#[must_use = "a token of another client has renewed nothing: tell the client, or close its socket"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// The token that counts ends at this time.
    Until(Timestamp),
    /// The token is one of another client. Nothing has changed. A socket belongs to one client from its begin to its end.
    OtherClient,
}

/// What is read of an [`Admitted`], whatever its claims are.
#[derive(Deserialize)]
struct Identity {
    token: Ends,
}

#[derive(Deserialize)]
struct Ends {
    id: Option<String>,
    issued: Option<Timestamp>,
    expires: Timestamp,
}

/// What is asked about a socket.
pub(crate) struct Tokens {
    /// Of the token with which it came, and of the one that renewed it.
    pub(crate) ids: [Option<String>; 2],
    /// When the token with which it came was issued.
    pub(crate) issued: Option<Timestamp>,
}

impl Expiry {
    /// For sockets that have no attachment, or none but a [`Renewal`].
    pub fn new() -> Self {
        Self::with_attachment()
    }
}

impl Default for Expiry {
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Renewable> Expiry<A> {
    /// For sockets that have an `A` attached, or nothing.
    pub fn with_attachment() -> Self {
        Self { grace: GRACE, plan: Rc::default(), alarm: Rc::default(), revocations: None, attachment: PhantomData }
    }

    /// How long a socket stays open after the end of its token, 60 s by default. It should be as long as the
    /// [leeway](crate::Verifier::leeway) at least: otherwise a client that comes in with a token just before the end of the leeway
    /// is closed at once.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Also closes sockets whose token or client is [revoked](Revocations), with [4403](crate::FORBIDDEN): the task as soon as this
    /// node knows, `sweep` when it is called. A socket that was renewed counts with both of its tokens. Each news costs the task one
    /// look at the sockets of its Replica.
    #[must_use]
    pub fn revocations(mut self, revocations: Revocations) -> Self {
        self.revocations = Some(revocations);
        self
    }

    /// Closes the sockets that a revocation is about, with [4403](crate::FORBIDDEN), and says how many. For revocations that come by
    /// gossip: see [`RevokeIn`](crate::RevokeIn).
    ///
    /// # Errors
    /// [`Error::is_encoding`]: an identity is no [`Admitted`], or an attachment is no `A`.
    pub fn close_revoked<R: Replica>(&self, cx: &Context<R>, revocation: &Revocation) -> Result<usize, Error> {
        let now = cx.now();
        let mut closed = 0;
        for socket in cx.sockets() {
            if self.is_any_token(&socket, |token| revocation.concerns(socket.client(), token, now))? {
                socket.close(FORBIDDEN, REVOKED);
                closed += 1;
            }
        }
        Ok(closed)
    }

    /// Whether one of the tokens of a socket is such a one.
    fn is_any_token(&self, socket: &Socket, is: impl Fn(&Looked<'_>) -> bool) -> Result<bool, Error> {
        let Some(Tokens { ids, issued }) = self.tokens(socket)? else { return Ok(false) };
        Ok(ids.iter().any(|id| is(&Looked { id: id.as_deref(), issued })))
    }

    /// `None`: the socket has come without a token.
    pub(crate) fn tokens(&self, socket: &Socket) -> Result<Option<Tokens>, Error> {
        let Some(Identity { token }) = socket.identity()? else { return Ok(None) };
        let renewed = socket.attachment::<A>()?.and_then(|mut attached| attached.renewal().id.take());
        Ok(Some(Tokens { ids: [token.id, renewed], issued: token.issued }))
    }

    /// Closes the socket if it is revoked, as far as this node knows. Returns whether it was.
    pub(crate) fn close_if_known(&self, socket: &Socket) -> Result<bool, Error> {
        let Some(known) = &self.revocations else { return Ok(false) };
        let is_revoked = self.is_any_token(socket, |token| known.concerns(socket.client(), token))?;
        if is_revoked {
            socket.close(FORBIDDEN, REVOKED);
        }
        Ok(is_revoked)
    }

    async fn revoked(&self, seen: u64) {
        match &self.revocations {
            Some(revocations) => revocations.changed(seen).await,
            None => std::future::pending().await,
        }
    }

    fn revoked_so_far(&self) -> u64 {
        self.revocations.as_ref().map_or(0, Revocations::changes)
    }

    /// Watches all sockets of the Replica. Call it in [`activate`](Replica::activate), for those that have stayed open during
    /// hibernation.
    ///
    /// # Errors
    /// As [`watch`](Self::watch).
    pub fn resume<R: Replica>(&self, cx: &Context<R>) -> Result<(), Error> {
        match first(cx.sockets(), |socket| self.closes(socket))? {
            // The life before may have missed news.
            Some(first) => self.plan(cx, 0, first),
            None => Ok(()),
        }
    }

    /// Watches a socket. Call it in [`on_open`](Replica::on_open). A socket without a token is not watched.
    ///
    /// # Errors
    /// - [`Error::is_closed`]: the socket has closed, or this activation of the Replica is over.
    /// - [`Error::is_encoding`]: the identity is no [`Admitted`], or the attachment is no `A`.
    /// - [`Error::is_too_many`]: the Replica has [`MAX_TASKS`](dog::MAX_TASKS) tasks.
    pub fn watch<R: Replica>(&self, cx: &Context<R>, socket: &Socket) -> Result<(), Error> {
        // Before the socket is looked at: news come from other threads, and those that come from here on end the wait of the task.
        let seen = self.revoked_so_far();
        if self.close_if_known(socket)? {
            return Ok(());
        }
        match self.closes(socket)? {
            Some(at) => self.plan(cx, seen, at),
            None => Ok(()),
        }
    }

    /// Renews a socket with a token that was just checked. A token that ends earlier than the one before changes nothing.
    ///
    /// A watch goes on with the new time. An alarm rings when the token before ends, and then takes the new one into account.
    ///
    /// # Errors
    /// - [`Error::is_closed`]: the socket has closed, or this activation of the Replica is over.
    /// - [`Error::is_encoding`]: the identity is no [`Admitted`], or the attachment is no `A`.
    /// - [`Error::is_too_large`]: the attachment has more than 16 KiB now.
    pub fn renew<C>(&self, socket: &Socket, admitted: &Admitted<C>) -> Result<Renewed, Error> {
        if admitted.client() != socket.client() {
            return Ok(Renewed::OtherClient);
        }
        let expires = admitted.token().expires();
        let before = self.ends(socket)?;
        if before.is_none_or(|before| before < expires) {
            let renewal = Renewal { until: Some(expires), id: admitted.token().id().map(str::to_owned) };
            socket.update_attachment(|attached: &mut A| *attached.renewal() = renewal)?;
        }
        Ok(Renewed::Until(before.map_or(expires, |before| before.max(expires))))
    }

    /// Closes the sockets whose time is over. Returns when the next one has to be closed, or `None` if no socket has a token.
    ///
    /// # Errors
    /// [`Error::is_encoding`]: an identity is no [`Admitted`], or an attachment is no `A`.
    pub fn sweep<R: Replica>(&self, cx: &Context<R>) -> Result<Option<Timestamp>, Error> {
        let now = cx.now();
        first(cx.sockets(), |socket| {
            if self.close_if_known(socket)? {
                return Ok(None);
            }
            let closes = self.closes(socket)?;
            if closes.is_some_and(|at| at <= now) {
                socket.close(TOKEN_REFUSED, EXPIRED);
                return Ok(None);
            }
            Ok(closes)
        })
    }

    /// When the token that counts ends.
    fn ends(&self, socket: &Socket) -> Result<Option<Timestamp>, Error> {
        let came = socket.identity::<Identity>()?.map(|identity| identity.token.expires);
        let renewed = socket.attachment::<A>()?.and_then(|mut attached| attached.renewal().until);
        Ok(came.max(renewed))
    }

    /// For when this life of the Replica has set the alarm.
    #[cfg(feature = "alarms")]
    pub(crate) fn alarm(&self) -> &Cell<Option<Timestamp>> {
        &self.alarm
    }

    pub(crate) fn closes(&self, socket: &Socket) -> Result<Option<Timestamp>, Error> {
        Ok(self.ends(socket)?.map(|end| end + self.grace))
    }

    /// Makes sure that the sockets are looked at by `at`, and when there are other news than `seen`.
    fn plan<R: Replica>(&self, cx: &Context<R>, mut seen: u64, at: Timestamp) -> Result<(), Error> {
        if let Some(plan) = &*self.plan.borrow() {
            if plan.at <= at {
                return Ok(());
            }
            plan.task.abort();
            // There may be news for which this task has not run yet.
            seen = plan.seen.get();
        }
        let (expiry, context, seen) = (self.clone(), cx.clone(), Rc::new(Cell::new(seen)));
        let known = Rc::clone(&seen);
        let task = cx.spawn(async move { expiry.run(&context, &known, at).await })?;
        *self.plan.borrow_mut() = Some(Plan { at, seen, task });
        Ok(())
    }

    /// Waits until `at`, and no longer than until something is revoked.
    async fn wait<R: Replica>(&self, cx: &Context<R>, seen: &Cell<u64>, at: Timestamp) {
        or(self.revoked(seen.get()), cx.sleep(at.since(cx.now()))).await;
        // Before the sockets are looked at, so that nothing is missed in between.
        seen.set(self.revoked_so_far());
    }

    async fn run<R: Replica>(&self, cx: &Context<R>, seen: &Cell<u64>, mut at: Timestamp) {
        loop {
            self.wait(cx, seen, at).await;
            match self.sweep(cx) {
                Ok(Some(next)) => at = next,
                // No socket is left, or this life is over.
                Ok(None) | Err(_) => break,
            }
            if let Some(plan) = &mut *self.plan.borrow_mut() {
                plan.at = at;
            }
        }
        *self.plan.borrow_mut() = None;
    }
}

/// The first of the times of some sockets. One that has just closed has none.
fn first(
    sockets: impl Iterator<Item = Socket>,
    mut time: impl FnMut(&Socket) -> Result<Option<Timestamp>, Error>,
) -> Result<Option<Timestamp>, Error> {
    let mut first: Option<Timestamp> = None;
    for socket in sockets {
        match time(&socket) {
            Ok(at) => first = first.into_iter().chain(at).min(),
            Err(error) if error.is_closed() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(first)
}

/// It shares the watch.
impl<A> Clone for Expiry<A> {
    fn clone(&self) -> Self {
        Self {
            grace: self.grace,
            plan: Rc::clone(&self.plan),
            alarm: Rc::clone(&self.alarm),
            revocations: self.revocations.clone(),
            attachment: PhantomData,
        }
    }
}

impl<A> fmt::Debug for Expiry<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.plan.borrow().as_ref().map(|plan| plan.at);
        formatter.debug_struct("Expiry").field("grace", &self.grace).field("at", &at).finish()
    }
}
