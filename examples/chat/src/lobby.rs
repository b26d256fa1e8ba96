//! Who is announced by the Group, and when.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use dog::{ClientId, GroupContext, List, MAX_PRESENCE_PAGE, PresenceCursor, ReplicaId, Result};

use crate::protocol::Output;

/// How long those who were there before a crash may take to come back. Their pages wait 30 s at most between two attempts.
const RETURNS_WITHIN: Duration = Duration::from_secs(35);

/// What the keys of those who were announced begin with.
const HERE: &str = "here/";

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
pub(crate) struct Announced {
    here: RefCell<BTreeSet<ClientId>>,
    /// Those of them who were not there when a presence began, and may come back.
    awaited: RefCell<BTreeSet<ClientId>>,
}

impl Announced {
    pub(crate) async fn load(cx: &GroupContext) -> Result<Self> {
        let keys = cx.storage().keys(&List::prefix(HERE)).await?;
        let names = keys.iter().filter_map(|key| key.strip_prefix(HERE));
        let here = names.map(ClientId::new).collect::<Result<_, _>>()?;
        Ok(Self { here: RefCell::new(here), awaited: RefCell::default() })
    }

    pub(crate) async fn join(&self, cx: &GroupContext, user: &ClientId) -> Result {
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

    pub(crate) async fn exit(&self, cx: &GroupContext, user: &ClientId) -> Result {
        self.awaited.borrow_mut().remove(user);
        let was_here = self.here.borrow_mut().remove(user);
        if was_here {
            cx.broadcast(Output::Exit { from: user }.at(cx.now())?)?;
            cx.storage().delete(&key(user)).await?;
        }
        Ok(())
    }

    /// A presence begins: announces those of whom nobody knows, and awaits the others.
    pub(crate) async fn compare(this: &Rc<Self>, cx: &GroupContext) -> Result {
        let present = everybody(cx).await?;
        for user in &present {
            this.join(cx, user).await?;
        }
        if this.await_all_but(&present) {
            let (this, task) = (Rc::clone(this), cx.clone());
            cx.spawn(async move {
                task.sleep(RETURNS_WITHIN).await;
                // If it fails, the next life does it.
                let _ = this.give_up(&task).await;
            })?;
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

/// The first eight of 64 digits, enough for people to tell Replicas apart.
pub(crate) fn short(id: ReplicaId) -> String {
    let mut digits = id.to_string();
    digits.truncate(8);
    digits
}
