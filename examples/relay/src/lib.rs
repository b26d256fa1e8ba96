//! A relay: every text or binary message from a socket goes to every socket of that room, the sender's too. Nothing is
//! read, copied or kept on the way, which makes it the program that the benchmarks and the Autobahn suite drive.
//!
//! `cargo run --release -p relay -- --listen 127.0.0.1:9000`, or as a Cloudflare Worker: `npx wrangler dev` in this folder.
//!
//! `GET /ws?u=ID&room=NAME` is the socket. Without `u` the client gets an identifier of its own; without `room` it gets
//! a room of its own, so that plain `/ws` is an echo.

use dog::http::StatusCode;
use dog::{
    App, ClientId, Context, Dog, Group, GroupContext, Limit, Message, Replica, Request, Response, Result, Socket, To,
    query_param, text_response,
};

#[cfg(target_family = "wasm")]
mod worker;

/// The seats of one Replica, unless the [`Env`](dog::Env) holds a [`Limit`].
pub const DEFAULT_LIMIT: Limit = Limit::new(10_000);

/// The way into a room.
pub struct Relay;

impl App for Relay {
    type Groups = (Room,);

    async fn fetch(&self, request: Request, dog: &Dog<Self>) -> Result<Response> {
        if request.uri().path() != "/ws" {
            return Ok(text_response(StatusCode::NOT_FOUND, "not found"));
        }
        let (client, room) = (query_param(&request, "u"), query_param(&request, "room"));
        let client = ClientId::new(client.map_or_else(unique, Ok)?)?;
        // Before anything is named: what can only fail is to cost nothing.
        if let Some(refusal) = dog.refuse_websocket(&request) {
            return Ok(refusal);
        }
        // Prefixed, so that nobody can name a room that is somebody's own.
        let room = match room {
            Some(name) => format!("named {name}"),
            None => format!("own {}", unique()?),
        };
        let wire = dog.group::<Room>(&room).identify(&client).await?;
        Ok(wire.fetch(request).await?)
    }
}

/// A name that nothing else has.
fn unique() -> Result<String> {
    Ok(format!("{:016x}{:016x}", getrandom::u64()?, getrandom::u64()?))
}

/// One room.
pub struct Room {
    limit: Limit,
}

impl Group for Room {
    type Replica = Wire;
    const NAME: &'static str = "room";

    async fn activate(cx: &GroupContext) -> Result<Self> {
        Ok(Self { limit: cx.env().get().copied().unwrap_or(DEFAULT_LIMIT) })
    }

    fn limit(&self) -> Limit {
        self.limit
    }
}

/// Passes on what it gets.
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
