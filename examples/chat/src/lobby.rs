//! The Group: it keeps what is said to everyone, and announces who comes and who leaves.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use dog::{
    ClientId, Group, GroupContext, Limit, List, Log, MAX_PRESENCE_PAGE, Policy, Presence, PresenceCursor, ROOM, Result,
};

use dog_door::{ListCall, ListReply, RevocationStore};

use crate::app::{Room, short};
use crate::protocol::Output;

/// The seats of one Replica, unless the [`Env`](dog::Env) holds a [`Limit`]. Two is so few that three windows need two Replicas.
pub const DEFAULT_LIMIT: Limit = Limit::new(2);

/// How long a user stays after the last socket. A page that is loaded again needs less.
const GRACE: Duration = Duration::from_secs(1);

/// How long those who were there before a crash may take to come back. Their pages wait longer and longer between two attempts.
const RETURNS_WITHIN: Duration = Duration::from_secs(10);

/// What the keys of those who were announced begin with.
const HERE: &str = "here/";

/// The Group. There is one, called "lobby-id".
pub struct Lobby {
    limit: Limit,
    announced: Rc<Announced>,
    /// The users who were removed.
    removed: RevocationStore,
}

impl Group for Lobby {
    type Replica = Room;
    type Call = ListCall;
    type Reply = ListReply;
    const NAME: &'static str = "lobby";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        let limit = cx.env().get().copied().unwrap_or(DEFAULT_LIMIT);
        let announced = Rc::new(Announced::load(cx).await?);
        Ok(Self { limit, announced, removed: RevocationStore::new(cx) })
    }

    fn limit(&self) -> Limit {
        self.limit
    }

    fn policy(&self) -> Policy {
        Policy { presence: Some(Presence::default().grace(GRACE)), ..Policy::default() }
    }

    /// What is said to everyone: the newest 1,000 messages of 24 hours. Topics have no log.
    fn log(&self, topic: &str) -> Log {
        if topic == ROOM { Log::durable() } else { Log::none() }
    }

    async fn on_call(&self, _: &GroupContext, call: ListCall) -> Result<ListReply> {
        self.removed.on_call(call).await
    }

    async fn on_arrive(&self, cx: &GroupContext, user: &ClientId) -> Result {
        self.announced.join(cx, user).await
    }

    async fn on_leave(&self, cx: &GroupContext, user: &ClientId) -> Result {
        self.announced.exit(cx, user).await
    }

    /// Nobody knows what an earlier life has told, only what is stored. (After a crash, or when all objects have left memory.)
    async fn on_presence_reset(&self, cx: &GroupContext) -> Result {
        let present = everybody(cx).await?;
        for user in &present {
            self.announced.join(cx, user).await?;
        }
        if self.announced.await_all_but(&present) {
            let (announced, task) = (Rc::clone(&self.announced), cx.clone());
            cx.spawn(async move {
                task.sleep(RETURNS_WITHIN).await;
                // If it fails, the next life does it.
                let _ = announced.give_up(&task).await;
            })?;
        }
        Ok(())
    }
}

async fn everybody(cx: &GroupContext) -> Result<BTreeSet<ClientId>> {
    let (mut everybody, mut after) = (BTreeSet::new(), None);
    loop {
        let page = cx.presence(after.as_ref(), MAX_PRESENCE_PAGE).await?;
        everybody.extend(page.clients.into_iter().map(|present| present.client));
        after = page.next;
        if after.is_none() {
            return Ok(everybody);
        }
    }
}

/// Who was announced and has not left since. It is stored, so that no user is announced twice, whatever crashes.
struct Announced {
    here: RefCell<BTreeSet<ClientId>>,
    /// Those of them who were not there when a presence began, and may come back.
    awaited: RefCell<BTreeSet<ClientId>>,
}

impl Announced {
    async fn load(cx: &GroupContext) -> Result<Self> {
        let keys = cx.storage().keys(&List::prefix(HERE)).await?;
        let names = keys.iter().filter_map(|key| key.strip_prefix(HERE));
        let here = names.map(ClientId::new).collect::<Result<_, _>>()?;
        Ok(Self { here: RefCell::new(here), awaited: RefCell::default() })
    }

    async fn join(&self, cx: &GroupContext, user: &ClientId) -> Result {
        self.awaited.borrow_mut().remove(user);
        let is_new = self.here.borrow_mut().insert(user.clone());
        if !is_new {
            return Ok(());
        }
        if let Err(error) = cx.storage().put(&key(user), &()).await {
            self.here.borrow_mut().remove(user);
            return Err(error.into());
        }
        let page = cx.presence(Some(&PresenceCursor::at(user)), 1).await?;
        let first = page.clients.first().filter(|present| present.client == *user);
        let replica = first.and_then(|present| present.connections.first()).map(|socket| short(socket.id().replica()));
        Ok(cx.broadcast(Output::Join { from: user, replica: replica.as_deref() }.at(cx.now())?)?)
    }

    async fn exit(&self, cx: &GroupContext, user: &ClientId) -> Result {
        self.awaited.borrow_mut().remove(user);
        let was_here = self.here.borrow_mut().remove(user);
        if was_here {
            cx.broadcast(Output::Exit { from: user }.at(cx.now())?)?;
            cx.storage().delete(&key(user)).await?;
        }
        Ok(())
    }

    /// Returns whether anybody is awaited.
    fn await_all_but(&self, present: &BTreeSet<ClientId>) -> bool {
        let missing: BTreeSet<_> = self.here.borrow().difference(present).cloned().collect();
        self.awaited.replace(missing);
        !self.awaited.borrow().is_empty()
    }

    /// Those who have not come back have left.
    async fn give_up(&self, cx: &GroupContext) -> Result {
        loop {
            let next = self.awaited.borrow_mut().pop_first();
            let Some(user) = next else { return Ok(()) };
            self.exit(cx, &user).await?;
        }
    }
}

fn key(user: &ClientId) -> String {
    format!("{HERE}{user}")
}
