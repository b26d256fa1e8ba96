#![doc = include_str!("../README.md")]

use dog::http::StatusCode;
use dog::{
    App, ClientId, Context, Dog, Group, GroupContext, Limit, Message, Replica, Request, Response, Result, Socket, To,
    query_param, text_response,
};

/// The seats of one Replica, unless the [`Env`](dog::Env) holds a [`Limit`].
pub const DEFAULT_LIMIT: Limit = Limit::new(10_000);

/// Answers every request.
pub struct Relay;

impl App for Relay {
    type Groups = (Room,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        if request.uri().path() != "/ws" {
            return Ok(text_response(StatusCode::NOT_FOUND, "not found"));
        }
        let (client, room) = (query_param(&request, "u"), query_param(&request, "room"));
        let client = ClientId::new(client.map_or_else(unique, Ok)?)?;
        // Before a Group is named: a request that can only fail should not create a room.
        if let Some(refusal) = dog.refuse_websocket(&request) {
            return Ok(refusal);
        }
        // The prefix keeps named rooms apart from private ones.
        let room = match room {
            Some(name) => format!("named {name}"),
            None => format!("own {}", unique()?),
        };
        let wire = dog.group::<Room>(&room).identify(&client).await?;
        Ok(wire.fetch(request).await?)
    }
}

/// A random name.
fn unique() -> Result<String> {
    Ok(format!("{:016x}{:016x}", getrandom::u64()?, getrandom::u64()?))
}

/// One room.
pub struct Room {
    limit: Limit,
}

impl Group for Room {
    type Replica = Wire;
    type Call = ();
    type Reply = ();
    const NAME: &'static str = "room";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        Ok(Self { limit: cx.env().get().copied().unwrap_or(DEFAULT_LIMIT) })
    }

    fn limit(&self) -> Limit {
        self.limit
    }
}

/// One Replica of a room.
pub struct Wire;

impl Replica for Wire {
    type Group = Room;
    type Gossip = ();
    type Answer = ();

    async fn activate(_: &Context<Self>) -> Result<Self> {
        Ok(Self)
    }

    async fn receive(&self, cx: &Context<Self>, request: Request) -> Result<Response> {
        Ok(cx.connect(request))
    }

    async fn on_message(&self, _: &Context<Self>, socket: &Socket, message: Message) -> Result {
        Ok(socket.broadcast(message, To::Everyone)?)
    }
}
