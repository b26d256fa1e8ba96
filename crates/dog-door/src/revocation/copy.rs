//! What a node knows of a list: [`Revocations`].

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dog::{ClientId, Error, Timestamp};
use futures_util::future::{Either, select};

use super::protocol::{Changes, Entry, ListCall, ListReply, Seen};
use super::signal::Signal;
use super::{Looked, Subject, is_issued_by};
use crate::denied::Denied;

/// How often it is looked whether the list answers, and how long after a failure it is asked again.
const TICK: Duration = Duration::from_millis(500);
/// How many ticks an answer may take. A list that has nothing new answers after a second.
const PATIENCE: u32 = 8;
/// After this many ticks without an answer the copy counts as too old: 30 s.
const STALE: u32 = 60;

/// A copy with fewer entries is not worth a sweep.
const MIN_SWEPT: usize = 1000;

/// A node's copy of a `RevocationList`. Give it to [`Gate::revocations`](crate::Gate::revocations), which
/// then refuses who was revoked, to [`Expiry::revocations`](crate::Expiry::revocations), which then closes their sockets, and let it
/// [`follow`](Self::follow) the list. Cloning it is cheap, and clones are the same copy.
///
/// A node that cannot reach the list goes on with what it knows for 30 s, longer than it takes a cluster to replace a node. From
/// then on, and before it has read the list for the first time, it admits nobody (status 503): it cannot know who was revoked.
/// Sockets that are open stay open, and it obeys what it has missed as soon as the list answers.
///
/// The copy takes about 200 bytes for each revocation, 20 MB at most for a list that is full.
#[derive(Clone, Debug, Default)]
pub struct Revocations(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    copy: Mutex<Copy>,
    signal: Signal,
}

#[derive(Debug, Default)]
struct Copy {
    seen: Seen,
    is_read: bool,
    silent: u32,
    sweeps_at: usize,
    entries: HashMap<Subject, Entry>,
}

impl Revocations {
    /// A copy of nothing yet: it admits nobody until it follows a list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Follows a list, for ever. `call` calls the list, `sleep` waits. It asks for changes, and the list answers when there is one,
    /// or after a second.
    ///
    /// ```
    /// use dog_door::{RevocationList, Revocations};
    ///
    /// fn follow<A: dog::App + Send + Sync>(server: &dog_native::Server<A>, known: &Revocations) {
    ///     // The handle works when the server runs.
    ///     let (list, copy) = (server.handle().group::<RevocationList>("all"), known.clone());
    ///     tokio::spawn(async move { copy.follow(|call| list.call(&call), tokio::time::sleep).await });
    /// }
    /// ```
    ///
    /// Cancel safe.
    pub async fn follow<A, S>(&self, call: impl Fn(ListCall) -> A, sleep: impl Fn(Duration) -> S) -> !
    where
        A: Future<Output = Result<ListReply, Error>>,
        S: Future<Output = ()>,
    {
        loop {
            let (seen, waits) = {
                let copy = self.lock();
                (copy.seen, copy.is_read)
            };
            let answer = call(ListCall::after(seen, waits));
            self.attempt(answer, &sleep).await;
        }
    }

    /// One question. Every tick without an answer counts, however the attempt ends.
    async fn attempt<S: Future<Output = ()>>(
        &self,
        answer: impl Future<Output = Result<ListReply, Error>>,
        sleep: impl Fn(Duration) -> S,
    ) {
        let mut answer = pin!(answer);
        for _ in 0..PATIENCE {
            let tick = pin!(sleep(TICK));
            match select(answer.as_mut(), tick).await {
                Either::Left((answer, tick)) => {
                    match answer.map(ListReply::changes) {
                        Ok(Some(changes)) => return self.take(changes),
                        Ok(None) => tracing::debug!("the list of revocations is one of another release"),
                        Err(error) => tracing::debug!("the list of revocations does not answer: {error}"),
                    }
                    tick.await;
                    return self.fall_silent();
                }
                Either::Right(_) => self.fall_silent(),
            }
        }
    }

    /// Whether the token of this client was revoked, as far as this node knows.
    ///
    /// # Errors
    /// The refusal: with status 403 if it was, 503 if this node does not know.
    pub(crate) fn check(&self, client: &ClientId, token: &Looked<'_>) -> Result<(), Denied> {
        let copy = self.lock();
        if !copy.is_read || copy.silent >= STALE {
            return Err(Denied::later("this node does not reach the list of revocations"));
        }
        if copy.concerns(client, token) { Err(Denied::revoked()) } else { Ok(()) }
    }

    /// The same for a socket that is open: it stays if this node does not know.
    pub(crate) fn concerns(&self, client: &ClientId, token: &Looked<'_>) -> bool {
        self.lock().concerns(client, token)
    }

    /// How often something new was heard.
    pub(crate) fn changes(&self) -> u64 {
        self.0.signal.changes()
    }

    pub(crate) async fn changed(&self, seen: u64) {
        self.0.signal.changed(seen).await;
    }

    fn fall_silent(&self) {
        let mut copy = self.lock();
        copy.silent = copy.silent.saturating_add(1);
    }

    fn take(&self, changes: Changes) {
        let is_news = !changes.entries.is_empty();
        {
            let mut copy = self.lock();
            if changes.starts_over {
                copy.entries.clear();
            }
            // What is over is forgotten when the copy has doubled: a look at all of it for each news would be too much.
            if copy.entries.len() >= copy.sweeps_at {
                copy.entries.retain(|_, entry| !entry.is_over(changes.now));
                copy.sweeps_at = MIN_SWEPT.max(2 * copy.entries.len());
            }
            copy.entries.extend(changes.entries.into_iter().map(|entry| (entry.revocation.subject.clone(), entry)));
            copy.seen = changes.seen;
            copy.is_read |= changes.is_all;
            copy.silent = 0;
        }
        if is_news {
            self.0.signal.change();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Copy> {
        self.0.copy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Copy {
    fn concerns(&self, client: &ClientId, token: &Looked<'_>) -> bool {
        if self.entries.is_empty() {
            return false;
        }
        let by_id = token.id.is_some_and(|id| self.entries.contains_key(&Subject::Token(id.to_owned())));
        by_id || self.at(client).is_some_and(|at| is_issued_by(token, at))
    }

    fn at(&self, client: &ClientId) -> Option<Timestamp> {
        self.entries.get(&Subject::Client(client.clone())).map(|entry| entry.at)
    }
}
