//! The Group and its Replica: [`Lobby`], [`Room`].

use std::cell::Cell;
use std::time::Duration;

use dog::{
    Alarm, Context, Env, Failure, Group, GroupContext, Limit, Message, Replica, Request, Response, Result, Socket,
};
use dog_door::{EXPIRY_ALARM, Expiry, FORBIDDEN, Gate, ListCall, ListReply, Renewed, Revocation, RevocationStore};

pub(crate) fn gate(env: &Env) -> Result<&Gate> {
    env.get().ok_or_else(|| Failure::new("no gate: SECRET has 32 bytes"))
}

pub(crate) struct Lobby {
    revoked: RevocationStore,
}

impl Group for Lobby {
    type Replica = Room;
    type Call = ListCall;
    type Reply = ListReply;
    const NAME: &'static str = "lobby";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        Ok(Self { revoked: RevocationStore::new(cx) })
    }

    fn limit(&self) -> Limit {
        Limit::new(2)
    }

    async fn on_call(&self, _: &GroupContext, call: ListCall) -> Result<ListReply> {
        self.revoked.on_call(call).await
    }
}

pub(crate) struct Room {
    expiry: Expiry,
    /// The messages of this life.
    messages: Cell<u32>,
}

impl Replica for Room {
    type Group = Lobby;
    type Gossip = Revocation;
    type Answer = usize;

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self { expiry: Expiry::new().grace(Duration::from_secs(1)), messages: Cell::new(0) })
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        Ok(cx.connect(request))
    }

    async fn on_open(&self, cx: &Context<Self>, socket: &Socket) -> Result {
        let lobby = cx.dog().group_by_id::<Lobby>(cx.group());
        if self.expiry.close_if_revoked(&lobby, socket).await? {
            return Ok(());
        }
        Ok(self.expiry.watch_by_alarm(cx, socket).await?)
    }

    async fn on_message(&self, cx: &Context<Self>, socket: &Socket, message: Message) -> Result {
        self.messages.set(self.messages.get() + 1);
        let Some(token) = message.as_text().and_then(|text| text.strip_prefix("renew ")) else {
            return Ok(socket.send(self.messages.get().to_string())?);
        };
        match gate(cx.env())?.check(token, cx.now()).await {
            Ok(admitted) => match self.expiry.renew(socket, &admitted)? {
                Renewed::Until(_) => socket.send("renewed")?,
                Renewed::OtherClient => socket.close(FORBIDDEN, "the token is one of another client"),
            },
            Err(denied) => socket.send(denied.text())?,
        }
        Ok(())
    }

    async fn on_alarm(&self, cx: &Context<Self>, alarm: Alarm) -> Result {
        if alarm.name() == EXPIRY_ALARM { Ok(self.expiry.ring(cx).await?) } else { Ok(()) }
    }

    async fn on_gossip(&self, cx: &Context<Self>, revocation: Revocation) -> Result<usize> {
        Ok(self.expiry.close_revoked(cx, &revocation)?)
    }
}
